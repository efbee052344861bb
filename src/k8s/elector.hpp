// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "k8s/client.hpp"
#include "k8s/leader.hpp"
#include "k8s/tenure.hpp"

namespace egw::k8s {

struct Leadership {
  bool leading = false;
  std::int32_t term = 0; // while leading
  std::string why;       // when it was lost
};

// Runs leader.hpp's state machine on a thread of its own, with requests outside the rate limit.
class Elector {
 public:
  using Callback = std::function<void(const Leadership&)>; // from its thread, on each change
  Elector(Client& client, LeaderConfig config, Callback changed);
  ~Elector(); // stop()
  Elector(const Elector&) = delete;
  Elector& operator=(const Elector&) = delete;

  // For Write::tenure; nothing when not leading. Any thread.
  [[nodiscard]] std::shared_ptr<const Tenure> tenure() const;
  void holder_dead(const std::string& holder); // take its lease without waiting for it to run out
  void term_seen(std::int32_t term); // in a gateway's status: the next term will be higher
  void stop(); // gives the lease back (at most two seconds), so that another need not wait; ends

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace egw::k8s
