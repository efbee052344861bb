// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/core.hpp"
#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"

// Leader election by a Lease (coordination.k8s.io/v1) as a pure function of (state, event, now).
// The clocks of two machines are never compared: a lease has run out when it did not change for its
// duration by one's own clock.
namespace egw::k8s {

struct LeaderConfig {
  std::string namespace_, name; // of the Lease
  std::string identity;         // unique for each start of a process
  // lease_duration > renew_deadline > 2 * retry_period. Whole seconds for lease_duration (the API's
  // unit).
  Duration lease_duration = std::chrono::seconds(15); // others wait this long
  Duration renew_deadline = std::chrono::seconds(10); // a leader that could not renew steps down
  Duration retry_period = std::chrono::seconds(2);
};
[[nodiscard]] Result<void> validate(const LeaderConfig& config);

struct LeaderState {
  enum class Role : std::uint8_t { Standby, Leading, Stopped };
  Role role = Role::Standby;
  std::optional<api::Lease> observed; // as read or written last
  Time observed_at{};                 // when it last changed
  Time request_at{};                  // when the request under way was sent
  bool busy = false;                  // a request is under way
  Time next{};                        // when to do something again
  Time renewed_at{};                  // Leading: when the last successful renewal was sent
  std::int32_t top_term = 0;          // highest seen anywhere: the next one is higher
  bool acquiring = false;             // the write under way would make us leader
  bool doubt = false;                 // Leading: a write failed, look before the next
  bool hurried = false;               // the last look came at once after a refused write
  bool take = false;                  // the holder is known to be dead: do not wait
  bool stopping = false;
};

// What happens to it.
struct LeaderTick {}; // `next` has come
struct LeaderRead {
  Result<api::Lease> lease;
}; // answer to ReadLease
struct LeaderWrote {
  Result<api::Lease> lease;
}; // answer to CreateLease, UpdateLease
struct LeaderHolderDead {
  std::string holder;
}; // someone saw this holder dead
struct LeaderTermSeen {
  std::int32_t term = 0;
}; // in what an earlier leader wrote
struct LeaderStop {}; // hand the lease back and end
using LeaderEvent =
    std::variant<LeaderTick, LeaderRead, LeaderWrote, LeaderHolderDead, LeaderTermSeen, LeaderStop>;

// What it wants done.
struct ReadLease {};
struct CreateLease {
  api::Lease lease;
};
struct UpdateLease {
  api::Lease lease;
}; // with resourceVersion: a compare-and-swap
struct Elected {
  std::int32_t term;
}; // the Lease's leaseTransitions, at least 1, grows each time
struct Deposed {
  std::string why;
};
using LeaderAction = std::variant<ReadLease, CreateLease, UpdateLease, Elected, Deposed>;

[[nodiscard]] std::vector<LeaderAction> step(LeaderState& state, const LeaderConfig& config,
                                             const LeaderEvent& event, const Now& now);

// Until when a leader may write: renew_deadline after its last successful renewal was sent. Nothing
// when it does not lead.
[[nodiscard]] std::optional<Time> deadline(const LeaderState& state, const LeaderConfig& config);
// When step() wants its next LeaderTick; nothing while it waits for an answer, or has ended.
[[nodiscard]] std::optional<Time> wake(const LeaderState& state, const LeaderConfig& config);

} // namespace egw::k8s
