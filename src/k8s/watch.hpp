// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "k8s/json_value.hpp"
#include "k8s/reflector.hpp"
#include "k8s/store.hpp"

namespace egw::k8s {

template <class T>
using Decoder = std::function<Result<T>(const rapidjson::Value&)>;
template <class T>
using WatchSink = std::function<void(WatchEvent<T>)>; // called from the watch's own thread

// Follows one kind of object: first Replaced with all of them, then each change in order, and
// Replaced again after a gap that the server cannot fill. One thread and one connection each.
template <class T>
class Watch : private ReflectorSink {
 public:
  Watch(const Config& config, WatchOptions options, WatchSink<T> sink,
        Decoder<T> decoder = &api::decode<T>)
      : kind_(options.resource->kind),
        piece_size_(options.piece_size),
        sink_(std::move(sink)),
        decode_(std::move(decoder)),
        reflector_(std::make_unique<Reflector>(config, std::move(options),
                                               static_cast<ReflectorSink&>(*this))) {
    reflector_->start(); // not earlier: its thread uses reflector_
  }
  ~Watch() override { stop(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void stop() { reflector_->stop(); } // the sink is not called afterwards
  // Asks the server anew, at once, whatever is under way: what one knows may be older than one
  // thinks (a stream that stands still says so late, and one that waits for its next try hears
  // nothing). A WatchStatus of this round says that the server has answered: what was missed
  // follows at once, or came before it in a Replaced. From any thread.
  void begin_round() { reflector_->begin_round(); }
  [[nodiscard]] const WatchMetrics& metrics() const { return reflector_->metrics(); }

 private:
  // An Error names the object.
  Result<T> decoded(const rapidjson::Value& object, const api::NamespacedName& key) {
    auto result = decode_(object);
    if (result) return result;
    ++reflector_->metrics().decode_errors;
    Error error{fmt::format("{} {}: {}", kind_, key.to_string(), result.error().message)};
    log::warn("{}", error.message);
    return error;
  }
  void list_begin() override {
    listed_.clear();
    broken_.clear();
    begun_ = false;
  }
  void list_item(const rapidjson::Value& object) override {
    const auto head = object_head(object);
    broken_.erase(head.key);
    auto result = decoded(object, head.key);
    if (!result) {
      listed_.erase(head.key);
      broken_.emplace(head.key, result.error());
      return;
    }
    listed_.insert_or_assign(head.key, std::move(result).value());
    if (piece_size_ > 0 && listed_.size() >= piece_size_) sink_(piece());
  }
  void list_drop(const api::NamespacedName& key) override {
    broken_.erase(key);
    if (listed_.erase(key) == 0 && begun_) sink_(Deleted{key, "", ""}); // of an earlier piece
  }
  // What of the list has come since the last one.
  Replaced<T> piece() {
    Replaced<T> some;
    some.begins = !std::exchange(begun_, true);
    some.ends = false;
    some.round = reflector_->round();
    some.items.reserve(listed_.size());
    for (auto& [key, object] : listed_) some.items.push_back(std::move(object));
    listed_.clear();
    return some;
  }
  void list_end(const std::string& resource_version) override {
    Replaced<T> last = piece();
    last.ends = true;
    last.resource_version = resource_version;
    for (const auto& [key, error] : broken_) last.broken.push_back(key);
    sink_(std::move(last));
    for (auto& [key, error] : std::exchange(broken_, {})) sink_(Broken{key, error});
  }
  void upsert(const rapidjson::Value& object) override {
    const auto head = object_head(object);
    auto result = decoded(object, head.key);
    if (result) {
      sink_(Upsert<T>{std::move(result).value()});
    } else {
      sink_(Broken{head.key, result.error()});
    }
  }
  void removed(const api::NamespacedName& key, const std::string& uid,
               const std::string& resource_version) override {
    sink_(Deleted{key, uid, resource_version});
  }
  void status(const Error* error) override {
    sink_(WatchStatus{error == nullptr ? std::nullopt : std::optional<Error>(*error), false,
                      reflector_->round()});
  }
  void expired() override { sink_(WatchStatus{std::nullopt, true, reflector_->round()}); }

  std::string kind_;
  std::size_t piece_size_;
  WatchSink<T> sink_;
  Decoder<T> decode_;
  std::map<api::NamespacedName, T> listed_; // of a list under way
  bool begun_ = false;                      // a piece of it has been told
  std::map<api::NamespacedName, Error> broken_;
  std::unique_ptr<Reflector> reflector_; // last: its thread uses the others
};

} // namespace egw::k8s
