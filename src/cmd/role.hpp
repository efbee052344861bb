// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/queue.hpp"
#include "k8s/client.hpp"
#include "k8s/config.hpp"

// What the long-lived roles have in common.
namespace egw::cmd {

// Sets up the log under the role's name, and reads the credentials. Throws std::invalid_argument,
// which names the remedy, when none are usable.
[[nodiscard]] k8s::Config begin_role(const char* name, log::Level level,
                                     const std::optional<std::string>& kubeconfig);

// With the User-Agent "egw-NAME/VERSION".
[[nodiscard]] k8s::ClientOptions client_options(const char* name);

struct Ask { // an item of a role's queue: done by the core thread
  std::function<void()> work;
};

// What `f` returned in the core thread; nothing when that did not come to it in time.
template <class Input, class F>
auto ask(Queue<Input>& queue, Duration patience, F f) -> std::optional<std::invoke_result_t<F>> {
  auto promise = std::make_shared<std::promise<std::invoke_result_t<F>>>();
  auto answer = promise->get_future();
  queue.push(Ask{[promise, f = std::move(f)] { promise->set_value(f()); }});
  if (answer.wait_for(patience) != std::future_status::ready) return std::nullopt;
  return answer.get();
}

} // namespace egw::cmd
