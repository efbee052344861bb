// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>

#include "net/attributes.hpp"
#include "net/events.hpp"
#include "net/iptables_forward.hpp"
#include "net/nft_dump.hpp"
#include "net/nft_expr.hpp"
#include "net/recorded.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

namespace {

std::vector<std::string> rules_of(const std::string& chain) {
  std::vector<std::string> out;
  for (const RuleOfChain& r : decoded("nft_rules", decode_rule_of_chain))
    if (r.chain == chain) out.push_back(to_string(r.rule));
  return out;
}

Elements elements_of(const std::string& name) {
  Set shape;
  for (const NamedSet& s : decoded("nft_sets", decode_named_set))
    if (s.name == name) shape = s.shape;
  std::vector<RawElement> raw;
  const Buffer bytes = recorded("nft_elements_" + name);
  for_each_message(bytes, [&](const nlmsghdr& h) { (void)decode_elements(h, raw); });
  return from_raw(shape, raw);
}

} // namespace

TEST_CASE("chains as the kernel tells them") {
  const auto chains = decoded("nft_chains", decode_chain);
  const auto find = [&](const std::string& table, const std::string& name) {
    const auto it = std::find_if(chains.begin(), chains.end(), [&](const ChainInfo& c) {
      return c.table == table && c.name == name;
    });
    REQUIRE(it != chains.end());
    return *it;
  };
  CHECK_FALSE(find("egw", "eip_1").chain.base);
  CHECK(find("egw", "raw_pre").chain.base == BaseChain{"filter", Hook::Prerouting, -310});
  CHECK(find("egw", "postrouting").chain.base == BaseChain{"nat", Hook::Postrouting, 90});
  const ChainInfo forward = find("filter", "FORWARD");
  CHECK(is_iptables_forward(forward));
  CHECK(forward.drops);
  CHECK(forward.chain.base->type != "filter");
}

TEST_CASE("rules as nft writes them decode to the same expressions that egw writes") {
  CHECK(
      rules_of("eip_1") ==
      std::vector<std::string>{
          "ct state => 1; bitwise 1 = (1 & 0x08000000) ^ 0x00000000; cmp neq 1 0x00000000; ct mark "
          "=> 1; "
          "bitwise 1 = (1 & 0xffff0000) ^ 0x00000100; ct set mark = 1",
          "meta mark => 1; bitwise 1 = (1 & 0x80cfffff) ^ 0x04000000; meta set mark = 1; accept"});
  CHECK(rules_of("raw_pre") ==
        std::vector<std::string>{
            "meta l4proto => 1; cmp eq 1 0x11; payload 2b @ transport + 2 => 1; cmp eq 1 0x1e6d; "
            "payload 4b @ network + 12 => 1; lookup 1 in cluster; notrack; accept",
            "meta l4proto => 1; cmp eq 1 0x11; payload 2b @ transport + 2 => 1; cmp eq 1 0x1e6d; "
            "fib daddr type => 1; cmp eq 1 0x02000000; drop"});
  CHECK(rules_of("prerouting") ==
        std::vector<std::string>{"meta iifname => 1; cmp eq 1 0x65677730000000000000000000000000; "
                                 "payload 4b @ network + 12 => 1; lookup 1 in pods => verdict",
                                 "ct direction => 1; cmp eq 1 0x01; return"});
  CHECK(rules_of("forward") ==
        std::vector<std::string>{
            "meta l4proto => 1; cmp eq 1 0x06; payload 1b @ transport + 13 => 1; "
            "bitwise 1 = (1 & 0x06) ^ 0x00; cmp eq 1 0x02; rt mtu => 1; "
            "byteorder 1 = hton(1, 2, 2); tcp option mss set 1"});
  CHECK(rules_of("postrouting") ==
        std::vector<std::string>{"meta oifname => 1; cmp eq 1 0x65677730000000000000000000000000; "
                                 "payload 4b @ network + 12 => 1; snat to 1",
                                 "ct mark => 1; bitwise 1 = (1 & 0x0000ff7f) ^ 0x00000000; lookup "
                                 "1 in eips => 1; snat to 1"});
}

TEST_CASE("what egw does not write is unknown and equal to nothing") {
  const auto foreign = rules_of("foreign");
  REQUIRE(foreign.size() == 2);
  CHECK(foreign[0] == "unknown log");
  CHECK(foreign[1] == "unknown limit; accept");
  const Rule unknown{expr::Unknown{"log"}};
  CHECK_FALSE(unknown == unknown);
  const auto rule = owned<NftRule>(nftnl_rule_alloc());
  CHECK_THROWS_AS(encode_rule(unknown, NftFamily::Ip, *rule), std::invalid_argument);
}

TEST_CASE("iptables' own accepts are recognised") {
  std::vector<Rule> forward;
  for (const RuleOfChain& r : decoded("nft_rules", decode_rule_of_chain))
    if (r.chain == "FORWARD") forward.push_back(r.rule);
  REQUIRE(forward.size() == 3);
  CHECK(forward[0] == forward_accept("egw0", true));
  CHECK(forward[1] == forward_accept("egw0", false));
  CHECK_FALSE(forward[0] == forward_accept("egw1", true));
}

TEST_CASE("sets and their elements as the kernel tells them") {
  std::map<std::string, Set> sets;
  for (NamedSet& s : decoded("nft_sets", decode_named_set)) sets.emplace(s.name, s.shape);
  CHECK(sets.at("cluster") == Set{KeyType::Ipv4, DataType::None, true, false, {}});
  CHECK(sets.at("macs") == Set{KeyType::Ipv4Ether, DataType::None, false, false, {}});
  CHECK(sets.at("alive") == Set{KeyType::NfProto, DataType::None, false, true, {}});
  CHECK(sets.at("eips") == Set{KeyType::Mark, DataType::Ipv4, false, false, {}});
  CHECK(sets.at("pods") == Set{KeyType::Ipv4, DataType::Verdict, false, false, {}});
  CHECK(elements_of("cluster") == Elements{{interval("10.0.0.0", "10.255.255.255"), {}},
                                           {interval("127.0.0.0", "127.255.255.255"), {}},
                                           {interval("224.0.0.0", "255.255.255.255"), {}}});
  CHECK(elements_of("eips") == Elements{{element(0x10000), key_of(ip("192.0.2.50"))}});
  CHECK(elements_of("pods") == Elements{{element("10.1.0.5"), Verdict{VerdictKind::Goto, "eip_1"}},
                                        {element("10.1.0.6"), Verdict{}}});
  CHECK(elements_of("macs").begin()->first.first == Bytes{10, 1, 0, 5, 0x66, 0, 0, 0, 0, 2, 0, 0});
}

TEST_CASE("intervals are a start and an end, and read back from any order") {
  const Set shape{KeyType::Ipv4, DataType::None, true, false, {}};
  const Elements elements{{interval("0.0.0.0", "0.0.0.0"), {}},
                          {interval("10.0.0.0", "10.0.0.255"), {}},
                          {interval("10.0.1.0", "10.0.1.255"), {}},
                          {interval("255.255.255.255", "255.255.255.255"), {}}};
  auto raw = to_raw(shape, elements);
  CHECK(raw.size() == 7); // the last one has no end
  std::reverse(raw.begin(), raw.end());
  CHECK(from_raw(shape, raw) == elements);
  raw.push_back({key_of(ip("0.0.0.0")), true, {}}); // nft's
  CHECK(from_raw(shape, raw) == elements);
  CHECK(from_raw(shape, {}).empty());
}

TEST_CASE("elements that the kernel would refuse or misread are named") {
  const Set ranges{KeyType::Ipv4, DataType::None, true, false, {}},
      plain{KeyType::Ipv4, DataType::None, false, false, {}};
  CHECK(check_elements(
            "s", ranges,
            {{interval("10.0.0.0", "10.0.0.9"), {}}, {interval("10.0.0.10", "10.0.0.10"), {}}})
            .ok());
  CHECK(check_elements("s", ranges, {{interval("10.0.0.9", "10.0.0.1"), {}}}).error().message ==
        "set s, element 0a000009-0a000001: the interval ends before it begins");
  CHECK(check_elements(
            "s", ranges,
            {{interval("10.0.0.0", "10.0.0.9"), {}}, {interval("10.0.0.9", "10.0.0.10"), {}}})
            .error()
            .message == "set s, element 0a000009-0a00000a: overlaps 0a000000-0a000009");
  CHECK(check_elements("s", ranges, {{element("10.0.0.1"), {}}}).error().message ==
        "set s, element 0a000001: an interval needs a last key");
  CHECK(check_elements("s", plain, {{interval("10.0.0.1", "10.0.0.1"), {}}}).error().message ==
        "set s, element 0a000001: only intervals have a last key");
  CHECK(check_elements("s", plain, {{element("2001:db8::1"), {}}}).error().message ==
        "set s, element 20010db8000000000000000000000001: the key must have 4 bytes");
}

// libnftnl ends the process when a value has the wrong size ("kernel ABI is broken"), so only what
// egw reads by itself can be tried with changed bytes.
TEST_CASE("nftables recordings, cut off anywhere or changed, are read without harm") {
  for (const char* name : {"nft_chains", "nft_rules", "nft_sets", "nft_elements_cluster",
                           "nft_elements_pods", "events_nft"}) {
    CAPTURE(name);
    const auto read_all = [](const Buffer& bytes) {
      std::size_t read = 0;
      std::vector<RawElement> raw;
      for_each_message(bytes, [&](const nlmsghdr& h) {
        read += decode_chain(h).has_value() + decode_rule_of_chain(h).has_value() +
                decode_named_set(h).has_value();
        read += decode_elements(h, raw);
      });
      return read;
    };
    const Buffer whole = recorded(name);
    const std::size_t all = read_all(whole);
    CHECK(all > 0);
    std::size_t fewer = 0;
    for (std::size_t n = 0; n < whole.size(); n += 7) {
      fewer +=
          read_all(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))) < all;
      for (const int value : {0, 0xff, whole[n] ^ 1}) {
        Buffer changed = whole;
        changed[n] = static_cast<std::uint8_t>(value);
        for_each_message(changed, [](const nlmsghdr& h) {
          (void)decode_chain(h);
          (void)nft_concerns_us(h, Ownership{});
        });
      }
    }
    CHECK(fewer > 0);
  }
}
