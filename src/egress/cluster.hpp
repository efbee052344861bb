// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>

#include "api/egress.hpp"
#include "base/interval_set.hpp"

namespace egw::egress {

// In place of a node's name, where there are too many to name each. No node can have this name.
inline constexpr const char* kAllNodes = "all nodes";

// Every address that is inside the cluster: what EgressClusterInfo's status names, and what is
// never outside anywhere (loopback, link-local, multicast, limited broadcast, unspecified).
[[nodiscard]] IntervalSet inside_cluster(const api::EgressClusterInfo& info);

// What EgressClusterInfo's status says of nodes' addresses. The status must outlive it.
class NodeAddresses {
 public:
  explicit NodeAddresses(const api::EgressClusterInfoStatus& status);
  // Whether the node has the address: of several nodes that are merged, any of them. Nothing: no
  // word of that node.
  [[nodiscard]] std::optional<bool> has(const std::string& node, const Address& address) const;
  [[nodiscard]] bool named(const std::string& node) const;           // by its own name
  [[nodiscard]] std::set<Address> of(const std::string& node) const; // that is named
  [[nodiscard]] const IntervalSet& all() const { return all_; }

 private:
  const api::EgressClusterInfoStatus* status_;
  IntervalSet all_, merged_;
};

} // namespace egw::egress
