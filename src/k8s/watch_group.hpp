// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "base/clock.hpp"

namespace egw::k8s {

// The watches of one process, which lose their API server and find it again together: each waits
// before its next try, up to half a minute after a long outage, and what is planned from some that
// are up to date and others that are not is of little use. So once one is answered again, the
// others try at once; not more often than once in a second. Thread-safe.
class WatchGroup {
 public:
  using Member = const void*;
  void join(Member who, std::function<void()> try_now);
  void leave(Member who); // waits for its try_now, which is not called afterwards
  void answered(Member who);

 private:
  std::mutex mutex_;
  std::map<Member, std::function<void()>> members_; // guarded by mutex_
  std::optional<Time> told_;                        // guarded by mutex_
};

} // namespace egw::k8s
