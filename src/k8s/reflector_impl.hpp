// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "k8s/http.hpp"
#include "k8s/reflector.hpp"

// The inside of a Reflector. reflector_turn.cpp: one list or one stream; reflector.cpp: which of
// them comes next, and when.
namespace egw::k8s {

struct Reflector::Impl {
  // How one turn (a list or a stream) ended.
  struct Outcome {
    std::optional<Error> error; // nothing: as it should
    std::optional<Duration> retry_after;
    bool progress = false; // something new came
    bool answered = false; // the server refused, rather than being out of reach
    bool gone = false;     // what comes next is a list
    bool error_event = false;
    bool at_once = false; // try the other way of listing without waiting
    bool unreached = false;
    Duration lived{};
  };

  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): `pool` is written before it is read
  Impl(const Config& config, WatchOptions o, ReflectorSink& s)
      : options(std::move(o)),
        sink(s),
        backoff(options.backoff),
        random(Backoff::random_seed()),
        connection(config, std::make_shared<TokenSource>(config),
                   {options.connect_timeout, options.idle_timeout, options.user_agent}),
        streaming(options.streaming),
        what(fmt::format("watch {}", options.resource->plural)) {
    if (options.group) options.group->join(this, [this] { try_now(); });
  }
  ~Impl() { leave(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void run();
  Outcome turn();
  Outcome list();
  Outcome stream();
  bool line(char* data, Outcome& outcome);
  void strip(rapidjson::Value& object) const;
  bool event(const std::string& type, rapidjson::Value& object, Outcome& outcome);
  std::string target(bool initial);
  bool finish_list(const std::string& listed, Outcome& outcome);
  void end(Outcome& outcome, const HttpResponse& response, Time begun);
  void report(const std::optional<Error>& error);
  void contact() { metrics.last_contact_ns = now().steady.time_since_epoch().count(); }
  void reached();
  void take_round();
  void try_now();
  void leave() {
    if (options.group) options.group->leave(this);
  }
  [[nodiscard]] bool stopping() {
    std::lock_guard lock(mutex);
    return stopped;
  }
  // What is under way is not wanted any more.
  [[nodiscard]] bool overtaken() {
    std::lock_guard lock(mutex);
    return asked != round;
  }

  WatchOptions options;
  ReflectorSink& sink;
  WatchMetrics metrics;
  Backoff backoff;
  std::mt19937_64 random;
  HttpConnection connection;

  bool streaming;        // still worth trying
  bool need_list = true; // the next turn lists
  bool listing = false;  // initial events of a streaming list are coming
  std::string version;   // everything up to here was told to the sink
  int refusals = 0, error_events = 0;
  bool expired_before = false; // the last turn ended with 410
  // Message of the failure that the sink knows of; nothing: to be told again, whatever it is.
  std::optional<std::string> reported = "";
  bool silent_failure = false; // a failure after which an empty 200 proves nothing
  bool unreached = false;      // the last turn found no server, and no answer has come since
  std::string what;
  alignas(std::max_align_t) std::array<char, 65536> pool; // objects are parsed into it, one by one

  std::mutex mutex;
  std::condition_variable wake;
  bool stopped = false;                // guarded by mutex, as the next two
  bool hurried = false;                // another watch was answered
  std::uint64_t asked = 0;             // rounds
  std::atomic<std::uint64_t> round{0}; // written by the thread alone
  std::thread thread;                  // started last
};

} // namespace egw::k8s
