// SPDX-License-Identifier: Apache-2.0
#include "cmd/role.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <variant>

#include "version.hpp"

using namespace egw;
using namespace egw::cmd;
using namespace std::chrono_literals;

namespace {

using Input = std::variant<int, Ask>;

} // namespace

TEST_CASE("role: without credentials it does not begin") {
  CHECK_THROWS_WITH_AS((void)begin_role("test", log::Level::Info, "/no/such/kubeconfig"),
                       doctest::Contains("/no/such/kubeconfig"), std::invalid_argument);
  log::set_component("");
}

TEST_CASE("role: its client says who it is") {
  CHECK(client_options("agent").user_agent == "egw-agent/" + std::string(version()));
}

TEST_CASE("role: a question that the core thread does not come to has no answer") {
  Queue<Input> queue;
  CHECK_FALSE(ask(queue, 1ms, [] { return 1; }));
  CHECK(queue.take().size() == 1);
  queue.close();
  CHECK_FALSE(ask(queue, 1ms, [] { return 1; }));
}

TEST_CASE("role: a question is answered by the thread that takes it" *
          doctest::test_suite("threads")) {
  Queue<Input> queue;
  std::thread core([&] {
    for (auto& input : queue.take()) std::get<Ask>(input).work();
  });
  const auto id = core.get_id();
  CHECK(ask(queue, 1min, [] { return std::this_thread::get_id(); }) == id);
  core.join();
}
