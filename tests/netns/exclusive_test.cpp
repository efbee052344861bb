// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/utsname.h>

#include <cstdio>
#include <memory>

#include "net/diff.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

namespace {

bool kernel_is_at_least(int major, int minor) {
  utsname name{};
  check_errno(uname(&name), "uname");
  int is_major = 0, is_minor = 0;
  REQUIRE(std::sscanf(name.release, "%d.%d", &is_major, &is_minor) == 2);
  return is_major > major || (is_major == major && is_minor >= minor);
}

const char* const kHarms[] = {
    "nft delete table ip egw",
    "nft delete table arp egw",
    "nft flush table ip6 egw",
    "nft add table ip egw '{ flags dormant; }'",
    "nft flush chain ip egw prerouting",
    "nft insert rule ip egw prerouting accept",
    "nft add element ip egw nodes { 203.0.113.9 }",
    "nft delete element ip egw pods { 10.1.0.5 }",
    "echo 'flush ruleset; add table ip egw' | nft -f -",
};

} // namespace

TEST_SUITE_BEGIN("netns");

TEST_CASE("nobody else can change our tables, nor flush them with the rest") {
  const Node node;
  const Netns::Inside inside(node.ns);
  Kernel kernel{Ownership{}};
  REQUIRE(kernel.tables_are_bound() == kernel_is_at_least(6, 9));
  if (!kernel.tables_are_bound()) return;
  CHECK(run("nft list ruleset") == ""); // the question left nothing behind
  const State wanted = sample_state(node.parent());
  REQUIRE(print(reconcile(kernel, wanted)) == "");
  const std::string before = run("nft -s list ruleset");
  for (const char* harm : kHarms) {
    CAPTURE(harm);
    CHECK_FALSE(succeeds(harm));
    CHECK(run("nft -s list ruleset") == before);
  }
  run("nft add table ip other && nft flush ruleset");
  CHECK(run("nft -s list ruleset") == before);
  CHECK(kernel.observe().state == wanted);
}

TEST_CASE("an agent that ends leaves its tables, and the next one takes them") {
  const Node node;
  const Netns::Inside inside(node.ns);
  State wanted = sample_state(node.parent());
  auto first = std::make_unique<Kernel>(Ownership{});
  if (!first->tables_are_bound()) return;
  REQUIRE(print(reconcile(*first, wanted)) == "");
  first.reset();
  run("nft delete element ip egw nodes { 192.0.2.2 }"); // they are nobody's now

  Kernel second{Ownership{}};
  CHECK(print(diff(second.observe().state, wanted)) ==
        "nft: take table ip\nnft: add 1 element to ip set nodes\nnft: take table ip6\n"
        "nft: take table arp\n");
  CHECK(print(reconcile(second, wanted)) == "");
  CHECK(second.observe().state == wanted);
  for (const char* harm : kHarms) {
    CAPTURE(harm);
    CHECK_FALSE(succeeds(harm));
  }
  wanted.tables[NftFamily::Ip].sets["nodes"].elements.clear();
  CHECK(print(reconcile(second, wanted)) == ""); // its own changes go on
  Lease lease = second.lease();
  CHECK(lease.refresh(std::chrono::seconds(60)));
  CHECK(second.observe().state == wanted);
}

TEST_CASE("tables that another process holds are told of, and left as they are") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  Kernel holder{Ownership{}};
  if (!holder.tables_are_bound()) return;
  REQUIRE(print(reconcile(holder, wanted)) == "");
  Kernel other{Ownership{}};
  State less = wanted;
  less.tables[NftFamily::Ip].sets["nodes"].elements.clear();
  CHECK(
      contains(print(reconcile(other, less)),
               "delete 1 element from ip set nodes: Operation not permitted (is the table another "
               "process' own?"));
  CHECK_FALSE(other.lease().refresh(std::chrono::seconds(60)));
  CHECK(other.observe().state == wanted);
}

TEST_CASE("tables that are not to be exclusive can be changed by others, now and later") {
  const Node node;
  const Netns::Inside inside(node.ns);
  const State wanted = sample_state(node.parent());
  {
    Kernel shared{shared_tables()};
    CHECK_FALSE(shared.tables_are_bound());
    REQUIRE(print(reconcile(shared, wanted)) == "");
    run("nft add element ip egw nodes { 203.0.113.9 }");
    CHECK(print(reconcile(shared, wanted)) == "");
  }
  // The kernel binds no table that was made without: as they are until they are made anew.
  Kernel later{Ownership{}};
  CHECK(print(diff(later.observe().state, wanted)) == "");
  CHECK(print(reconcile(later, State{})) == "");
  CHECK(print(reconcile(later, wanted)) == "");
  CHECK(succeeds("nft delete table ip egw") != later.tables_are_bound());
}

TEST_SUITE_END();
