// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/core.hpp"
#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "k8s/client.hpp"

namespace egw::k8s {

// Kubernetes Events without floods: one that repeats (same object, type, reason, message) counts
// up, and the count is written at most once each `interval`. Pure: it returns what to write; the
// caller sends that (writer.hpp) and reports the result. Bounded: at most `capacity` different
// events are remembered, the one longest unseen is forgotten first.
class EventRecorder {
 public:
  struct Options {
    std::string component; // "egw-controller"
    Duration interval = std::chrono::minutes(5);
    std::size_t capacity = 4096;
  };
  explicit EventRecorder(Options options) : options_(std::move(options)) {}

  // type: "Normal" or "Warning". Nothing to write: it came before and will be counted by flush().
  [[nodiscard]] std::optional<Write> record(const api::ObjectReference& regarding,
                                            const std::string& type, const std::string& reason,
                                            const std::string& message, const Now& now);
  // Counts that are due.
  [[nodiscard]] std::vector<Write> flush(const Now& now);
  // When flush() has something to do next.
  [[nodiscard]] std::optional<Time> next_flush() const;
  // The result of a write made here. One that the server has dropped meanwhile (404: events live
  // for an hour) is written anew, one that it has from before a restart (409) is counted up.
  [[nodiscard]] std::optional<Write> done(const Write& write, const Result<std::string>& result,
                                          const Now& now);

 private:
  struct Entry {
    api::Event event;
    Time written{}; // when the last write was made
    std::list<std::string>::iterator age;
  };
  [[nodiscard]] Write create(Entry& entry, const Now& now);
  [[nodiscard]] Write patch(Entry& entry, const Now& now);
  void forget(std::map<std::string, Entry>::iterator entry);

  Options options_;
  std::map<std::string, Entry> entries_;       // by the event's name
  std::list<std::string> ages_;                // longest unseen first
  std::set<std::pair<Time, std::string>> due_; // counts that are to be written, and when
};

} // namespace egw::k8s
