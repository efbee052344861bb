// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "base/clock.hpp"

// What `egw ctl status` tells, as a pure function of what the API server holds.
namespace egw::cmd {

struct ClusterLists {
  std::vector<api::EgressGateway> gateways;
  std::vector<api::EgressPolicy> policies; // of the three kinds
  std::vector<api::EgressNode> nodes;
  std::vector<api::EgressEndpointSlice> slices; // of both kinds
  std::vector<api::EgressClusterInfo> infos;
  std::vector<api::Lease> leases; // in egw's namespace
  std::vector<Error> broken;      // objects that could not be read
};

struct StatusReport {
  struct Problem { // one cause; `objects` suffer from it
    std::vector<std::string> objects;
    std::string text; // what is wrong and what to do
    bool operator==(const Problem&) const = default;
  };
  struct Eip {
    std::int32_t id = 0;
    std::string ipv4, ipv6;
    std::vector<std::string> users; // policies
    bool operator==(const Eip&) const = default;
  };
  struct Holder {
    std::string node, phase;
    std::vector<Eip> eips;
    bool operator==(const Holder&) const = default;
  };
  struct Gateway {
    std::string name, ready; // "True", "False", "Unknown"
    bool cluster_default = false;
    std::vector<Holder> holders; // every node that may hold EIPs
    std::vector<Eip> unplaced;
    api::IpUsage usage;
    bool operator==(const Gateway&) const = default;
  };
  struct Policy {
    api::PolicyKey key;
    std::string gateway, ipv4, ipv6, node, ready, reason;
    bool node_ip = false; // it leaves with the node's own addresses
    std::size_t pods = 0; // that it selects
    bool operator==(const Policy&) const = default;
  };
  struct Node {
    std::string name, phase, tunnel_ipv4, tunnel_ipv6, parent, agent;
    std::vector<std::string> gateways; // whose EIPs it may hold
    bool operator==(const Node&) const = default;
  };

  struct Inside {                        // addresses that are inside the cluster
    std::string what;                    // "nodes", "pods", "services", "API server", "added"
    std::string from;                    // where they were found
    std::vector<std::string> ipv4, ipv6; // merged
    bool operator==(const Inside&) const = default;
  };

  std::vector<Problem> problems; // make the exit status 1
  std::vector<Problem> notes;    // worth knowing, and may be as it should be
  std::string leader;            // empty: none
  std::vector<Gateway> gateways;
  std::vector<Policy> policies;
  std::vector<Node> nodes;
  std::vector<Inside> inside;

  [[nodiscard]] bool ok() const { return problems.empty(); }
  [[nodiscard]] std::size_t problem_count() const; // objects that suffer, causes without one too
};

[[nodiscard]] StatusReport make_report(const ClusterLists& lists, WallTime now);

} // namespace egw::cmd
