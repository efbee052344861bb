// SPDX-License-Identifier: Apache-2.0
#include "k8s/watch_group.hpp"

#include <chrono>
#include <utility>

namespace egw::k8s {

void WatchGroup::join(Member who, std::function<void()> try_now) {
  const std::lock_guard lock(mutex_);
  members_[who] = std::move(try_now);
}

void WatchGroup::leave(Member who) {
  const std::lock_guard lock(mutex_);
  members_.erase(who);
}

void WatchGroup::answered(Member who) {
  const std::lock_guard lock(mutex_);
  const Time at = now().steady;
  if (told_ && at - *told_ < std::chrono::seconds(1)) return;
  told_ = at;
  for (const auto& [member, try_now] : members_) {
    if (member != who) try_now();
  }
}

} // namespace egw::k8s
