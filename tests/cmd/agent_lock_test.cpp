// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_lock.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include "netns/netns.hpp"

using namespace egw;
using egw::test::Netns;

TEST_SUITE_BEGIN("netns");

TEST_CASE(
    "one agent a node: the second is told who the first is, and the lock goes with its holder") {
  const Netns one, two;
  const Netns::Inside inside(one);
  {
    const auto first = cmd::lock_node();
    REQUIRE(first);
    const auto second = cmd::lock_node();
    REQUIRE_FALSE(second);
    CHECK(second.error().message ==
          fmt::format("another egw agent runs on this node (process {}): stop that one first",
                      getpid()));
    const Netns::Inside elsewhere(two);
    CHECK(cmd::lock_node());
  }
  CHECK(cmd::lock_node());
}

TEST_SUITE_END();
