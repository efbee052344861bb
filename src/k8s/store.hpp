// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "api/meta.hpp"
#include "base/error.hpp"

// What a watch says, and the cache that follows it. Pure values; of the threads only the core's
// touches a store.
namespace egw::k8s {

// All objects that there are: what is not among them is gone. Comes first, and again after a gap.
// In pieces where that is asked for (WatchOptions::piece_size): the first begins the list, and ends
// whatever began before it; `broken` and `resource_version` come with the last.
template <class T>
struct Replaced {
  std::vector<T> items;
  std::vector<api::NamespacedName> broken; // exist, but could not be decoded: keep what was known
  std::string resource_version;
  bool begins = true, ends = true;
  std::uint64_t round = 0; // Watch::begin_round() had been called so often when it was asked for
};
template <class T>
struct Upsert {
  T object;
};
struct Deleted {
  api::NamespacedName key;
  std::string uid, resource_version; // resource_version: of the deletion
};
// An object that could not be decoded; the last good state of it stays.
struct Broken {
  api::NamespacedName key;
  Error error;
};
// The watch fails (no rights, no connection ...) or works again (no error). What it said before
// holds.
struct WatchStatus {
  std::optional<Error> error;
  // The server does not know the way on from where the watch stood, although it had answered: what
  // was missed comes with the Replaced that follows. No failure.
  bool expired = false;
  std::uint64_t round = 0; // as in Replaced, of the request that it is about
};
template <class T>
using WatchEvent = std::variant<Replaced<T>, Upsert<T>, Deleted, Broken, WatchStatus>;

// Resource versions are compared as numbers where both are numbers (in Kubernetes they are etcd
// revisions); else nothing is known to be older.
[[nodiscard]] inline std::optional<std::uint64_t> parse_version(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}
[[nodiscard]] inline bool older(std::string_view a, std::string_view b) {
  const auto x = parse_version(a), y = parse_version(b);
  return x && y && *x < *y;
}

// T has a member `meta` (api::ObjectMeta). Order of arrival does not matter for what an object
// looks like: an older version never replaces a newer one.
template <class T>
class Store {
 public:
  using Map = std::map<api::NamespacedName, T>;

  [[nodiscard]] bool synced() const { return synced_; } // the first list is complete
  [[nodiscard]] const Map& items() const { return items_; }
  [[nodiscard]] const T* find(const api::NamespacedName& key) const {
    const auto i = items_.find(key);
    return i == items_.end() ? nullptr : &i->second;
  }

  // Returns the keys whose object is another one now, new or gone. A new resourceVersion alone (a
  // node's heartbeat, a field that is not decoded) is taken but is no change.
  std::vector<api::NamespacedName> apply(WatchEvent<T> event) {
    std::vector<api::NamespacedName> changed;
    if (auto* replaced = std::get_if<Replaced<T>>(&event)) {
      replace(std::move(*replaced), changed);
    } else if (auto* upsert = std::get_if<Upsert<T>>(&event)) {
      put(std::move(upsert->object), changed);
    } else if (const auto* deleted = std::get_if<Deleted>(&event)) {
      erase(*deleted, changed);
    }
    return changed;
  }

 private:
  void put(T object, std::vector<api::NamespacedName>& changed) {
    api::NamespacedName key{object.meta.namespace_, object.meta.name};
    const auto i = items_.find(key);
    if (i == items_.end()) {
      changed.push_back(key);
      items_.emplace(std::move(key), std::move(object));
      return;
    }
    if (older(object.meta.resource_version, i->second.meta.resource_version)) return;
    i->second.meta.resource_version = object.meta.resource_version;
    if (object == i->second) return;
    i->second = std::move(object);
    changed.push_back(std::move(key));
  }

  // A deletion of an earlier object of the same name says nothing about the one that is there now.
  void erase(const Deleted& deleted, std::vector<api::NamespacedName>& changed) {
    const auto i = items_.find(deleted.key);
    if (i == items_.end()) return;
    const auto& meta = i->second.meta;
    if (older(deleted.resource_version, meta.resource_version)) return;
    if (!deleted.uid.empty() && deleted.uid != meta.uid &&
        !older(meta.resource_version, deleted.resource_version)) {
      return;
    }
    changed.push_back(i->first);
    items_.erase(i);
  }

  void replace(Replaced<T> list, std::vector<api::NamespacedName>& changed) {
    if (list.begins) listed_.clear();
    for (auto& key : list.broken) listed_.insert(std::move(key));
    for (auto& object : list.items) {
      listed_.insert({object.meta.namespace_, object.meta.name});
      put(std::move(object), changed);
    }
    if (!list.ends) return;
    for (auto i = items_.begin(); i != items_.end();) {
      if (!listed_.contains(i->first)) changed.push_back(i->first);
      i = listed_.contains(i->first) ? std::next(i) : items_.erase(i);
    }
    listed_.clear();
    synced_ = true;
  }

  Map items_;
  std::set<api::NamespacedName> listed_; // by the pieces of a list so far
  bool synced_ = false;
};

} // namespace egw::k8s
