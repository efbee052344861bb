// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <thread>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("netns");

namespace {

std::size_t elements(const char* family) {
  return std::stoul(
      run(std::string("nft -j list set ") + family +
          " egw alive | jq '.nftables[] | .set.elem // empty | length' | grep . || echo 0"));
}

// Asks often until the condition holds; the time that it took.
template <class F>
Duration await(Duration limit, F&& holds) {
  const auto begin = std::chrono::steady_clock::now();
  for (;;) {
    const auto passed = std::chrono::steady_clock::now() - begin;
    if (holds()) return passed;
    REQUIRE(passed < limit);
    std::this_thread::sleep_for(1ms);
  }
}

} // namespace

TEST_CASE("a lease runs out by itself, lives while it is refreshed, and ends when withdrawn") {
  const Node node;
  const Netns::Inside inside(node.ns);
  Kernel kernel{shared_tables()};
  Lease lease = kernel.lease();
  CHECK(lease.refresh(1s).error().code == ENOENT);
  CHECK(lease.withdraw().ok());
  CHECK(lease.left().value() == 0ms);

  const State wanted = sample_state(node.parent());
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  CHECK(lease.left().value() == 0ms);

  REQUIRE(lease.refresh(60s).ok());
  CHECK(lease.left().value() > 50s);
  CHECK(lease.left().value() <= 60s);
  for (const char* family : {"ip", "ip6", "arp"}) CHECK(elements(family) == 1);
  CHECK(contains(run("nft list set ip egw alive"), "elements = { ipv4 timeout 1m expires"));
  CHECK(contains(run("nft list set ip6 egw alive"), "elements = { ipv6 timeout 1m expires"));

  REQUIRE(lease.refresh(300ms).ok()); // shorter than before
  CHECK(lease.left().value() <= 300ms);
  const Duration ran_out = await(5s, [&] { return lease.left().value() == 0ms; });
  CHECK(ran_out >= 250ms);
  CHECK(lease.refresh(0ms).ok());
  CHECK(lease.refresh(60s).ok());
  CHECK(lease.left().value() > 50s);
  CHECK(lease.withdraw().ok());
  CHECK(lease.left().value() == 0ms);
  CHECK(lease.withdraw().ok());
  for (const char* family : {"ip", "ip6", "arp"}) CHECK(elements(family) == 0);

  // What the lease does is no difference between states, and survives a reconciliation.
  CHECK(lease.refresh(60s).ok());
  CHECK(print(diff(kernel.observe().state, wanted)) == "");
  run("nft flush chain ip egw prerouting");
  CHECK(print(reconcile(kernel, wanted)) == "");
  CHECK(lease.left().value() > 50s);
}

TEST_CASE("a node without a table for one family keeps its lease in the others") {
  const Netns ns;
  const Netns::Inside inside(ns);
  run("nft add table ip egw && nft add set ip egw alive '{ type nf_proto; flags timeout; }'");
  Lease lease = Kernel(Ownership{}).lease();
  CHECK(lease.refresh(60s).ok());
  CHECK(lease.left().value() > 50s);
  CHECK(lease.withdraw().ok());
  CHECK(lease.left().value() == 0ms);
}

TEST_CASE("ARP for an EIP is answered while the lease lives and not a moment longer") {
  const Node node;
  std::unique_ptr<Lease> lease;
  {
    const Netns::Inside inside(node.ns);
    State wanted;
    Kernel kernel{Ownership{}};
    lease = std::make_unique<Lease>(kernel.lease());
    wanted.tables[NftFamily::Arp] = sample_state(node.parent()).tables.at(NftFamily::Arp);
    wanted.addresses[{"up0", prefix("192.0.2.50/32")}] = {.eip = true};
    REQUIRE(print(reconcile(kernel, wanted)) == "");
  }
  const auto answered = [&] {
    const Netns::Inside inside(node.peer);
    return succeeds(
        "ip neigh flush dev peer0; ping -c 1 -W 1 192.0.2.50; "
        "ip neigh show 192.0.2.50 dev peer0 | grep -q lladdr");
  };
  CHECK_FALSE(answered());
  REQUIRE(lease->refresh(60s).ok());
  CHECK(answered());
  REQUIRE(lease->withdraw().ok());
  CHECK_FALSE(answered());
}

TEST_SUITE_END();
