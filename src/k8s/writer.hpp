// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "k8s/client.hpp"

namespace egw::k8s {

// A small pool of threads that send changes and hand the results back. Changes of one object are
// sent in the order in which they were pushed, one at a time; those of different objects side by
// side. Lane::Failover has threads of its own; an object's earlier changes go ahead of its failover
// change by the same fast lane.
class Writer {
 public:
  // From a writer thread. Every pushed change gets exactly one result, also after stop().
  using Done = std::function<void(Write, Result<std::string>)>;

  struct Options {
    int normal_threads = 4;
    int failover_threads = 4;
    CallOptions call; // its timeout for each change; lane and tenure come from the change
  };
  Writer(Client& client, Done done, Options options);
  Writer(Client& client, Done done) : Writer(client, std::move(done), Options{}) {}
  ~Writer(); // stop()
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void push(Write write);
  [[nodiscard]] std::size_t pending() const; // queued or under way
  // What is under way is finished (client.stop() before shortens that), the rest gets an error.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace egw::k8s
