// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

// Of this thread's own work, the kernel's part included: other work shares the machine.
double milliseconds(auto&& work) {
  const auto used = [] {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
  };
  const double begin = used();
  work();
  return used() - begin;
}

// `policies` with a destination set, a chain and three pods each, as a node's ruleset has them.
Table table_of(std::uint32_t policies) {
  Table t;
  Set pods{KeyType::Ipv4, DataType::Verdict, false, false, {}};
  for (std::uint32_t i = 0; i < policies; ++i) {
    const std::string number = std::to_string(i);
    const auto first = Address::v4(0xc0000000U + i * 512),
               last = Address::v4(0xc0000000U + i * 512 + 255);
    t.sets["d_" + number] = {
        KeyType::Ipv4, DataType::None, true, false, {{{key_of(first), key_of(last)}, {}}}};
    t.chains["eip_" + number] = {{}, {{expr::Decide{Verdict{}}}}};
    t.chains["p_" + number] = {
        {},
        {{expr::Payload{expr::PayloadBase::Network, 16, 4, 1}, expr::Lookup{"d_" + number, 1},
          expr::Decide{Verdict{VerdictKind::Goto, "eip_" + number}}}}};
    for (std::uint32_t k = 0; k < 3; ++k)
      pods.elements.insert_or_assign({key_of(Address::v4(0x0a000000U + i * 3 + k)), {}},
                                     Verdict{VerdictKind::Goto, "p_" + number});
  }
  t.sets["pods"] = pods;
  t.chains["pre"] = {BaseChain{"filter", Hook::Prerouting, -95},
                     {{expr::Payload{expr::PayloadBase::Network, 12, 4, 1},
                       expr::Lookup{"pods", 1, 0, false, true}}}};
  return t;
}

} // namespace

TEST_CASE("ten thousand elements go in and come back, and one more costs one more") {
  const Netns ns;
  const Netns::Inside inside(ns);
  Kernel kernel{Ownership{}};
  State wanted;
  Table& t = wanted.tables[NftFamily::Ip];
  for (std::uint32_t i = 0; i < 12000; ++i) {
    t.sets["plain"].elements.try_emplace({key_of(Address::v4(0x0a000000U + i)), {}});
    t.sets["ranges"].elements.try_emplace(
        {key_of(Address::v4(0x0a000000U + i * 16)), key_of(Address::v4(0x0a000000U + i * 16 + 9))});
    t.sets["marks"].elements.insert_or_assign({key_of(Address::v4(0x0a000000U + i)), {}},
                                              key_of(i));
  }
  t.sets["ranges"].interval = true;
  t.sets["marks"].data = DataType::Mark;
  const double apply = milliseconds([&] { CHECK(print(reconcile(kernel, wanted)) == ""); });
  State seen;
  const double observe = milliseconds([&] { seen = kernel.observe().state; });
  CHECK(seen == wanted);
  CHECK(run("nft -j list set ip egw ranges | jq '.nftables[1].set.elem | length'") == "12000\n");
  MESSAGE("36,000 elements: apply " << apply << " ms, observe " << observe << " ms");

  t.sets["ranges"].elements.erase(
      {key_of(Address::v4(0x0a000000U + 160)), key_of(Address::v4(0x0a000000U + 169))});
  t.sets["marks"].elements.insert_or_assign(element("10.200.0.1"), key_of(7U));
  const Batch batch = diff(seen, wanted);
  CHECK(print(batch) ==
        "nft: delete 1 element from ip set ranges\nnft: add 1 element to ip set marks\n");
  CHECK(print(kernel.apply(batch)) == "");
  CHECK(kernel.observe().state == wanted);
}

TEST_CASE("a thousand policies come back as they went in, and one more pod is one element") {
  const Netns ns;
  const Netns::Inside inside(ns);
  Kernel kernel{Ownership{}};
  State wanted;
  wanted.tables[NftFamily::Ip] = table_of(1000);
  const double apply = milliseconds([&] { CHECK(print(reconcile(kernel, wanted)) == ""); });
  State seen;
  double observe = 1e9, compare = 1e9;
  for (int i = 0; i < 5; ++i) {
    observe = std::min(observe, milliseconds([&] { seen = kernel.observe().state; }));
    compare = std::min(compare, milliseconds([&] { CHECK(diff(seen, wanted).empty()); }));
  }
  MESSAGE("1,000 policies: apply " << apply << " ms, observe " << observe << " ms, diff " << compare
                                   << " ms");
  auto& pods = wanted.tables[NftFamily::Ip].sets["pods"].elements;
  pods.insert_or_assign(element("10.9.9.9"), Verdict{VerdictKind::Goto, "p_7"});
  const Batch one = diff(seen, wanted);
  const double pod = milliseconds([&] { CHECK(print(kernel.apply(one)) == ""); });
  MESSAGE("one more pod: " << pod << " ms");
  CHECK(one.nft.size() == 1);
}

TEST_SUITE_END();
