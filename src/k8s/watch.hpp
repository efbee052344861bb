// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "k8s/reflector.hpp"
#include "k8s/store.hpp"

namespace egw::k8s {

template <class T>
using Decoder = std::function<Result<T>(const rapidjson::Value&)>;
template <class T>
using WatchSink = std::function<void(WatchEvent<T>)>; // called from the watch's own thread

// Follows one kind of object: first Replaced with all of them, then each change in order, and Replaced
// again after a gap that the server cannot fill. One thread and one connection each.
template <class T>
class Watch : private ReflectorSink {
 public:
  Watch(const Config& config, WatchOptions options, WatchSink<T> sink,
        Decoder<T> decoder = &api::decode<T>)
      : kind_(options.resource->kind), sink_(std::move(sink)), decode_(std::move(decoder)),
        reflector_(std::make_unique<Reflector>(config, std::move(options), *this)) {}
  ~Watch() override { stop(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void stop() { reflector_->stop(); } // the sink is not called afterwards
  [[nodiscard]] const WatchMetrics& metrics() const { return reflector_->metrics(); }

 private:
  std::optional<T> decode(const rapidjson::Value& object, const ObjectHead& head);
  void list_begin() override { listed_.clear(), broken_.clear(); }
  void list_item(const rapidjson::Value& object) override;
  void list_drop(const api::NamespacedName& key) override { listed_.erase(key), broken_.erase(key); }
  void list_end(const std::string& resource_version) override;
  void upsert(const rapidjson::Value& object) override;
  void removed(const api::NamespacedName& key, const std::string& uid,
               const std::string& resource_version) override {
    sink_(Deleted{key, uid, resource_version});
  }
  void status(const Error* error) override {
    sink_(WatchStatus{error == nullptr ? std::nullopt : std::optional<Error>(*error)});
  }

  std::string kind_;
  WatchSink<T> sink_;
  Decoder<T> decode_;
  std::map<api::NamespacedName, T> listed_; // a list under way
  std::map<api::NamespacedName, Error> broken_;
  std::unique_ptr<Reflector> reflector_; // last: its thread uses the others
};

} // namespace egw::k8s
