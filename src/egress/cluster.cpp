// SPDX-License-Identifier: Apache-2.0
#include "egress/cluster.hpp"

#include <array>
#include <string_view>

namespace egw::egress {

namespace {

// RFC 6890 and RFC 4291: addresses that no gateway may ever carry outside.
constexpr std::array<std::string_view, 9> kNeverOutside = {
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
    "::/128",    "::1/128",     "fe80::/10",      "ff00::/8"};

void add(IntervalSet& set, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    // The controller writes only what it could parse; anything else was put there by hand.
    if (const auto prefix = Prefix::parse(text)) set.add(*prefix);
  }
}

void add(IntervalSet& set, const api::CidrSource& source) {
  add(set, source.ipv4);
  add(set, source.ipv6);
}

} // namespace

IntervalSet inside_cluster(const api::EgressClusterInfo& info) {
  IntervalSet set;
  for (const std::string_view text : kNeverOutside) set.add(Prefix::parse(text).value());
  for (const auto& [node, source] : info.status.node_ip) add(set, source);
  for (const auto& [origin, source] : info.status.pod_cidr) add(set, source);
  add(set, info.status.cluster_ip);
  add(set, info.status.api_server);
  add(set, info.status.extra_cidr);
  return set;
}

} // namespace egw::egress
