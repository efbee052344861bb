// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "egress/controller_io.hpp"

namespace egw::egress::test {

// An API server as a value: compare-and-swap on resourceVersion, generations, uids, the status
// subresource, garbage collection by ownerReference, and objects that go through their JSON. It
// refuses what the real one refuses.
class ModelApi {
 public:
  WallTime wall{};

  // What people and other programs do. Changes metadata and spec (and all of what is not ours).
  void put(Object object);
  bool remove(const ObjectKey& key);
  // An agent's part: parent and DatapathReady.
  void agent(const std::string& node, const std::string& datapath_ready,
             const api::TunnelParent& parent);

  // A write of the controller.
  WriteDone write(const Write& write);

  // The next event of a kind's watch, in order. Nothing: there is none.
  std::optional<Event> next(Kind kind);
  [[nodiscard]] bool has_events(Kind kind) const;
  [[nodiscard]] Replaced list(Kind kind) const;
  // All lists, and watches from there.
  std::vector<Event> lists();

  template <class T>
  [[nodiscard]] const T* find(Kind kind, const std::string& ns, const std::string& name) const {
    const auto at = objects_.find({kind, ns, name});
    return at == objects_.end() ? nullptr : &std::get<T>(at->second);
  }
  [[nodiscard]] const std::map<ObjectKey, Object>& objects() const { return objects_; }
  [[nodiscard]] std::uint64_t version() const { return version_; }
  std::map<WriteVerb, std::uint64_t> writes; // accepted
  std::vector<std::string> refused;          // why, what no correct controller sends

 private:
  void store(const ObjectKey& key, Object object);
  void collect_garbage(const std::string& uid);

  std::map<ObjectKey, Object> objects_;
  std::map<Kind, std::deque<Event>> events_;
  std::uint64_t version_ = 100, uids_ = 0;
};

} // namespace egw::egress::test
