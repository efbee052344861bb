// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "egress/lookup.hpp"

namespace egw::egress {

namespace {

// RFC 6890 and RFC 4291: addresses that no gateway may ever carry outside.
constexpr std::array<std::string_view, 9> kNeverOutside = {
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
    "::/128",    "::1/128",     "fe80::/10",      "ff00::/8"};

void add(std::vector<Range>& ranges, const api::CidrSource& source) {
  for (const auto* texts : {&source.ipv4, &source.ipv6}) {
    for (const std::string& text : *texts) {
      // The controller writes only what it could parse; anything else was put there by hand.
      if (const auto prefix = Prefix::parse(text)) ranges.push_back(Range::of(*prefix));
    }
  }
}

bool lists(const std::vector<std::string>& texts, const Address& address) {
  return std::ranges::any_of(texts, [&](const std::string& text) {
    const auto prefix = Prefix::parse(text);
    return prefix && prefix->contains(address);
  });
}

} // namespace

IntervalSet inside_cluster(const api::EgressClusterInfo& info) {
  std::vector<Range> ranges;
  ranges.reserve(kNeverOutside.size());
  for (const std::string_view text : kNeverOutside) {
    ranges.push_back(Range::of(Prefix::parse(text).value()));
  }
  for (const auto& [node, source] : info.status.node_ip) add(ranges, source);
  for (const auto& [origin, source] : info.status.pod_cidr) add(ranges, source);
  add(ranges, info.status.cluster_ip);
  add(ranges, info.status.api_server);
  add(ranges, info.status.extra_cidr);
  return IntervalSet(std::move(ranges));
}

NodeAddresses::NodeAddresses(const api::EgressClusterInfoStatus& status) : status_(&status) {
  std::vector<Range> all, merged;
  for (const auto& [node, source] : status.node_ip) {
    add(all, source);
    if (node == kAllNodes) add(merged, source);
  }
  all_ = IntervalSet(std::move(all));
  merged_ = IntervalSet(std::move(merged));
}

bool NodeAddresses::named(const std::string& node) const {
  return status_->node_ip.contains(node);
}

std::set<Address> NodeAddresses::of(const std::string& node) const {
  std::set<Address> addresses;
  const auto* own = lookup(status_->node_ip, node);
  if (own == nullptr) return addresses;
  for (const auto* texts : {&own->ipv4, &own->ipv6}) {
    for (const std::string& text : *texts) {
      if (const auto prefix = Prefix::parse(text)) addresses.insert(prefix->address);
    }
  }
  return addresses;
}

std::optional<bool> NodeAddresses::has(const std::string& node, const Address& address) const {
  if (const auto* own = lookup(status_->node_ip, node)) {
    return lists(address.family == Family::V4 ? own->ipv4 : own->ipv6, address);
  }
  if (merged_.empty()) return std::nullopt;
  return merged_.contains(address);
}

} // namespace egw::egress
