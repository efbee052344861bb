// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "api/json.hpp"
#include "api/rapidjson.hpp"
#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "k8s/backoff.hpp"
#include "k8s/config.hpp"
#include "k8s/metrics.hpp"
#include "k8s/watch_group.hpp"

// The part of a watch that does not depend on the type: list, watch from there, and every way in
// which that fails
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
namespace egw::k8s {

struct WatchOptions {
  const api::Resource* resource = nullptr;
  // The same kind in another version, for servers that lack the first (404): both are tried in
  // turn.
  const api::Resource* other_version = nullptr;
  std::string namespace_; // empty: all
  std::string label_selector, field_selector;
  bool metadata_only = false; // PartialObjectMetadata: names, labels, annotations
  // Asks for the list as a stream of events (sendInitialEvents, on by default since
  // Kubernetes 1.34); a server that refuses gets paged lists. Both are consistent reads, never from
  // an old cache.
  bool streaming = true;
  int page_size = 500;
  // Of a list: Replaced comes in pieces of so many objects, and a hundred thousand of them are
  // never in one place. 0: in one piece.
  std::size_t piece_size = 0;
  BackoffOptions backoff{std::chrono::milliseconds(100), std::chrono::seconds(30)};
  // The server ends a stream after this, drawn up to twice as long; it says something at least once
  // a minute (bookmarks), so that silence for idle_timeout means a dead connection.
  Duration server_timeout = std::chrono::minutes(5);
  Duration idle_timeout = std::chrono::seconds(120);
  Duration connect_timeout = std::chrono::seconds(3);
  // A stream that lasted at least this or brought something new was a good one: the next wait is
  // short.
  Duration healthy_after = std::chrono::seconds(5);
  std::string user_agent = "egw";
  std::shared_ptr<WatchGroup> group; // may be empty
};

// What a reflector tells. All calls come from its thread; values are valid during the call only.
class ReflectorSink {
 public:
  virtual ~ReflectorSink() = default;
  virtual void list_begin() = 0; // forget an unfinished list
  virtual void list_item(const rapidjson::Value& object) = 0;
  virtual void list_drop(
      const api::NamespacedName& key) = 0; // deleted while the list was streaming
  virtual void list_end(const std::string& resource_version) = 0;
  virtual void upsert(const rapidjson::Value& object) = 0;
  virtual void removed(const api::NamespacedName& key, const std::string& uid,
                       const std::string& resource_version) = 0;
  virtual void status(const Error* error) = 0; // nullptr: works again
  virtual void expired() = 0;                  // a list has to fill a gap
};

class Reflector {
 public:
  // The sink must outlive it.
  Reflector(const Config& config, WatchOptions options, ReflectorSink& sink);
  ~Reflector(); // stop()
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void start(); // the thread: once
  void stop();  // ends the thread, also in a connect or a read; the sink is not called afterwards
  // Ends what is under way and asks the server anew, at once: a stream goes on where it was. The
  // sink is told of the answer, status(nullptr) or an error, also where it is the same as before.
  // From any thread.
  void begin_round();
  // How often that had been called when the request under way was begun. From the sink.
  [[nodiscard]] std::uint64_t round() const;
  [[nodiscard]] WatchMetrics& metrics();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace egw::k8s
