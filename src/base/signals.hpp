// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <thread>

namespace egw {

// SIGTERM and SIGINT as an event. block_signals() comes first in main, before any thread is made;
// SIGPIPE is ignored there as well. SignalThread then waits for a signal and calls `on_stop` once.
void block_signals();
// SIGTERM and SIGINT end the process at once again, for a command that leaves nothing behind.
void unblock_signals();

class SignalThread {
 public:
  explicit SignalThread(std::function<void()> on_stop);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  std::jthread thread_;
};

} // namespace egw
