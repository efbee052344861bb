// SPDX-License-Identifier: Apache-2.0
#include "egress/node_ranges.hpp"

#include <algorithm>
#include <string>

#include "egress/cluster.hpp"
#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

std::vector<Prefix> parsed(const api::CidrSource& source, Family family) {
  std::vector<Prefix> found;
  for (const std::string& text : family == Family::V4 ? source.ipv4 : source.ipv6) {
    const auto prefix = Prefix::parse(text);
    if (prefix && prefix->family() == family) found.push_back(*prefix);
  }
  return found;
}

bool of_pool(const std::string& origin) {
  return origin.find('/') != std::string::npos;
}

} // namespace

std::set<Address> pod_addresses(const AgentWorld& world) {
  std::set<Address> addresses;
  for (const auto& [name, pod] : world.pods) {
    if (!pod.host_network && !pod.ended) addresses.insert(pod.ips.begin(), pod.ips.end());
  }
  return addresses;
}

std::vector<Prefix> pod_prefixes(const AgentWorld& world, Family family) {
  std::set<Prefix> found;
  const auto& sources = world.cluster.status.pod_cidr;
  for (const auto& [origin, source] : sources) {
    if (origin != world.node && !of_pool(origin)) continue;
    for (const Prefix& p : parsed(source, family)) found.insert(p);
  }
  if (const auto* merged = lookup(sources, kAllNodes)) {
    const std::set<Address> own = pod_addresses(world);
    for (const Prefix& p : parsed(*merged, family)) {
      const auto first = own.lower_bound(p.first());
      if (first != own.end() && *first <= p.last()) found.insert(p);
    }
  }
  return {found.begin(), found.end()};
}

IntervalSet ranges_of_pods(const AgentWorld& world) {
  const api::EgressClusterInfoStatus& status = world.cluster.status;
  const auto* merged = lookup(status.pod_cidr, kAllNodes);
  std::vector<Range> ranges;
  for (const Family family : {Family::V4, Family::V6}) {
    std::vector<Prefix> prefixes = pod_prefixes(world, family);
    if (prefixes.empty() && merged != nullptr) prefixes = parsed(*merged, family);
    for (const Prefix& p : prefixes) ranges.push_back(Range::of(p));
    if (!prefixes.empty()) continue;
    IntervalSet named;
    for (const Prefix& p : parsed(status.extra_cidr, family)) named.add(p);
    for (const Range& node : NodeAddresses(status).all().ranges(family)) named.remove(node);
    for (const Range& r : named.ranges()) ranges.push_back(r);
  }
  return IntervalSet(std::move(ranges));
}

} // namespace egw::egress
