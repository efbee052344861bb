// SPDX-License-Identifier: Apache-2.0
#include "net/iptables_legacy.hpp"

// Before the kernel's headers, which then leave out what it has.
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <vector>

#include "base/fd.hpp"

namespace egw::net {
namespace {

constexpr const char* kFilter = "filter";

struct Ip4 {
  using Info = ipt_getinfo;
  using Entries = ipt_get_entries;
  using Entry = ipt_entry;
  using Match = ipt_ip;
  static constexpr int kDomain = AF_INET, kLevel = SOL_IP, kInfo = IPT_SO_GET_INFO,
                       kEntries = IPT_SO_GET_ENTRIES;
  static constexpr const char* kTables = "/proc/thread-self/net/ip_tables_names";
  static const Match& match(const Entry& entry) { return entry.ip; }
};
struct Ip6 {
  using Info = ip6t_getinfo;
  using Entries = ip6t_get_entries;
  using Entry = ip6t_entry;
  using Match = ip6t_ip6;
  static constexpr int kDomain = AF_INET6, kLevel = SOL_IPV6, kInfo = IP6T_SO_GET_INFO,
                       kEntries = IP6T_SO_GET_ENTRIES;
  static constexpr const char* kTables = "/proc/thread-self/net/ip6_tables_names";
  static const Match& match(const Entry& entry) { return entry.ipv6; }
};

bool in_use(const char* names) {
  std::ifstream file(names);
  for (std::string name; file >> name;) {
    if (name == kFilter) return true;
  }
  return false;
}

// Copies what stands at the offset; false where the table ends before it does.
template <class T>
bool read(const std::vector<char>& table, std::size_t offset, T& to) {
  if (offset > table.size() || table.size() - offset < sizeof(T)) return false;
  std::memcpy(&to, table.data() + offset, sizeof to);
  return true;
}

template <class Ip>
bool has_verdict(const std::vector<char>& table, std::size_t offset, int verdict) {
  typename Ip::Entry entry;
  if (!read(table, offset, entry)) return false;
  const std::size_t target = offset + entry.target_offset;
  char name = 0;
  int said = 0;
  return read(table, target + offsetof(xt_standard_target, target.u.user.name), name) &&
         read(table, target + offsetof(xt_standard_target, verdict), said) && name == '\0' &&
         said == -verdict - 1;
}

// Whether a rule asks for nothing but the interface.
template <class Ip>
bool asks_for(const typename Ip::Entry& entry, const std::string& device, bool input) {
  if (entry.target_offset != sizeof entry) return false; // it has matches of modules
  typename Ip::Match wanted{};
  std::memcpy(input ? wanted.iniface : wanted.outiface, device.c_str(), device.size() + 1);
  std::memset(input ? wanted.iniface_mask : wanted.outiface_mask, 0xff, device.size() + 1);
  // All bytes: iptables fills what is between the fields with zeros.
  const auto* is = reinterpret_cast<const char*>(&Ip::match(entry));
  return std::equal(is, is + sizeof wanted, reinterpret_cast<const char*>(&wanted));
}

template <class Ip>
bool forward_drops(const std::string& device) {
  if (device.size() >= IFNAMSIZ || !in_use(Ip::kTables)) return false;
  const Fd socket(::socket(Ip::kDomain, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  typename Ip::Info info{};
  std::strncpy(info.name, kFilter, sizeof info.name - 1);
  socklen_t size = sizeof info;
  if (getsockopt(socket.get(), Ip::kLevel, Ip::kInfo, &info, &size) != 0) return false;

  constexpr std::size_t kHead = offsetof(typename Ip::Entries, entrytable);
  std::vector<char> table(kHead + info.size);
  std::strncpy(table.data() + offsetof(typename Ip::Entries, name), kFilter, sizeof info.name - 1);
  std::memcpy(table.data() + offsetof(typename Ip::Entries, size), &info.size, sizeof info.size);
  size = static_cast<socklen_t>(table.size());
  if (getsockopt(socket.get(), Ip::kLevel, Ip::kEntries, table.data(), &size) != 0) return false;

  const std::size_t policy = kHead + info.underflow[NF_INET_FORWARD];
  if (!has_verdict<Ip>(table, policy, NF_DROP)) return false;
  bool in = false, out = false;
  std::size_t offset = kHead + info.hook_entry[NF_INET_FORWARD];
  while (offset < policy) {
    typename Ip::Entry entry;
    if (!read(table, offset, entry) || entry.next_offset == 0) break;
    const bool accepts = has_verdict<Ip>(table, offset, NF_ACCEPT);
    in = in || (accepts && asks_for<Ip>(entry, device, true));
    out = out || (accepts && asks_for<Ip>(entry, device, false));
    offset += entry.next_offset;
  }
  return !in || !out;
}

} // namespace

std::set<Family> legacy_forward_drops(const std::string& device) {
  std::set<Family> drops;
  if (forward_drops<Ip4>(device)) drops.insert(Family::V4);
  if (forward_drops<Ip6>(device)) drops.insert(Family::V6);
  return drops;
}

} // namespace egw::net
