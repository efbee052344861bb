// SPDX-License-Identifier: Apache-2.0
#include "net/conntrack.hpp"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include "fuzz/netlink.hpp"

// Dumps of the connection tracking table.
using namespace egw;
using namespace egw::net;
using egw::test::require;

namespace {

// An entry as a kernel tells it whose both directions are the one that our request names.
Buffer as_entry(const Buffer& request) {
  const Attributes a = attributes_of(test::message_in(request), sizeof(nfgenmsg));
  Message m(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, 0);
  m.header<nfgenmsg>().nfgen_family = AF_INET;
  m.put(CTA_TUPLE_ORIG, a.bytes(CTA_TUPLE_ORIG));
  m.put(CTA_TUPLE_REPLY, a.bytes(CTA_TUPLE_ORIG));
  if (a.has(CTA_ID)) m.put(CTA_ID, a.bytes(CTA_ID));
  return m.bytes();
}

void connection(const nlmsghdr& message) {
  const auto c = decode_connection(message);
  if (!c) return;
  const auto named = test::decoded(as_entry(encode_connection_delete(*c)), decode_connection);
  require(named.has_value(), "the entry that is deleted is named");
  require(named->original == c->original && named->reply == c->original, "by its tuple");
  require(named->protocol == c->protocol && named->id == c->id, "its protocol and its id");
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Buffer bytes = test::datagram(data, size);
  for_each_message(bytes, [](const nlmsghdr& h) {
    connection(h);
    (void)decode_connection_count(h);
  });
  return 0;
}
