// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "egress/controller_io.hpp"
#include "egress/pod_table.hpp"
#include "egress/slices.hpp"

namespace egw::egress {

// What the controller knows of the API server, with the indices that tell whom a change touches.
// The order in which objects arrive does not matter: an older version never replaces a newer one.
class World {
  Names names_; // first: what follows holds parts of it

 public:
  World() = default;
  ~World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  std::map<std::string, api::Node> nodes;
  PodTable pods{names_};
  // What Pods of the control plane say of services, by name; all in kube-system.
  std::map<std::string, std::vector<std::string>> service_flags;
  std::map<std::string, api::Namespace> namespaces;
  std::map<api::NamespacedName, api::EndpointSlice> api_server;
  std::map<std::string, api::EgressGateway> gateways;
  std::map<api::PolicyKey, api::EgressPolicy> policies;
  std::map<std::string, api::EgressNode> egress_nodes;
  std::map<api::NamespacedName, SliceRecord> slices;
  std::map<std::string, api::EgressClusterInfo> cluster_infos;
  std::map<ObjectKey, api::RangeObject> ranges; // of all kinds that tell of ranges

  // An object that is another one now. Gone when find() has nothing.
  struct Change {
    ObjectKey key;
    std::optional<Object> before{};            // nothing: it is new, or a pod or a slice
    std::optional<PodId> pod{};                // of a pod, also when it is gone
    std::optional<api::PolicyKey> old_owner{}; // of a slice that was there before
    bool service_flags = false;                // of a pod: what they say is another
  };
  std::optional<Change> put(Object object);
  std::optional<Change> erase(const Deleted& deleted);
  std::vector<Change> replace(Replaced list);
  void note_unreadable(const ObjectKey& key) { unreadable_.insert(key); }
  // Returns whether that is new.
  bool note_access(Kind kind, const std::optional<std::string>& denied);

  // From now on what came in earlier rounds is not enough to know a kind by. What it said stays.
  void require_round(std::uint64_t round) { round_ = round; }
  // Whether that is news: its list has come, and nothing in this round.
  bool note_reopened(Kind kind, std::uint64_t round);
  void note_behind(Kind kind) { rounds_.at(static_cast<std::size_t>(kind)) = 0; }
  // The kind's list has come, or its watch was opened anew, in this round or a later one.
  [[nodiscard]] bool knows(Kind kind) const {
    const auto i = static_cast<std::size_t>(kind);
    return synced_[i] && rounds_.at(i) >= round_;
  }
  [[nodiscard]] bool knows(std::initializer_list<Kind> kinds) const {
    return std::ranges::all_of(kinds, [this](Kind kind) { return knows(kind); });
  }
  [[nodiscard]] bool answered() const; // every list has come, of whatever round, or was denied
  [[nodiscard]] bool current() const;  // every kind is known, or was denied
  [[nodiscard]] const std::map<Kind, std::string>& denied() const { return denied_; } // and why
  [[nodiscard]] const api::ObjectMeta* find(const ObjectKey& key) const; // nullptr also for pods
  [[nodiscard]] bool unreadable(const ObjectKey& key) const { return unreadable_.contains(key); }
  [[nodiscard]] const std::set<ObjectKey>& unreadable() const { return unreadable_; }
  [[nodiscard]] bool any_policy_unreadable() const;
  [[nodiscard]] std::set<std::string> unreadable_gateways() const;

  // Empty sets where there is nothing.
  [[nodiscard]] const std::set<api::PolicyKey>& policies_in(
      const std::string& ns) const; // "": cluster
  [[nodiscard]] const std::set<api::PolicyKey>& policies_of(const std::string& gateway) const;
  [[nodiscard]] const std::set<api::NamespacedName>& slices_of(const api::PolicyKey& policy) const;
  [[nodiscard]] const std::set<std::string>& gateways_of(const std::string& node) const;
  [[nodiscard]] const std::set<std::string>& nodes_of(const std::string& gateway) const;
  [[nodiscard]] const api::Labels* namespace_labels(const std::string& ns) const;

 private:
  std::optional<Change> put_pod(const ObjectKey& key, const api::Pod& pod);
  bool set_flags(const ObjectKey& pod, const Rare<std::vector<std::string>>& flags);
  std::optional<Change> put_slice(const ObjectKey& key, const api::EgressEndpointSlice& slice);
  std::vector<Change> drop_unlisted(Kind kind, const std::string& resource_version);
  void index(const Object& object, bool present);
  void index_slice(const api::ObjectMeta& slice, bool present);
  void match(const std::string& gateway, const std::string& node, bool matches);

  std::bitset<kKinds> synced_;
  std::array<std::uint64_t, kKinds> rounds_{}; // the last in which each kind was heard of
  std::uint64_t round_ = 0;
  // Of a list that is coming: what it has named so far. Pods by id.
  std::map<Kind, std::set<ObjectKey>> listed_;
  std::vector<bool> listed_pods_;
  std::map<Kind, std::string> denied_;
  std::set<ObjectKey> unreadable_;
  std::map<std::string, std::set<api::PolicyKey>> by_namespace_, by_gateway_;
  std::map<api::PolicyKey, std::set<api::NamespacedName>> by_policy_;
  std::map<std::string, std::set<std::string>> gateways_of_, nodes_of_;
};

// The policy that owns a slice, by its ownerReference. Nothing: it is not ours.
[[nodiscard]] std::optional<api::PolicyKey> owner_of(const api::ObjectMeta& slice);

// Resource versions of one kind are compared as numbers (etcd revisions). True only if both are
// numbers.
[[nodiscard]] bool older_version(const std::string& a, const std::string& b);

} // namespace egw::egress
