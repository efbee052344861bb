// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "net/attributes.hpp"
#include "net/expr.hpp"
#include "net/state.hpp"

// Routes and rules as rtnetlink messages. Sources: linux/rtnetlink.h, linux/fib_rules.h.
namespace egw::net {

struct RouteInfo {
  RouteKey key;
  std::uint8_t kernel_type = 0; // RTN_*
  std::uint8_t protocol = 0;
  std::uint32_t index = 0; // of the (first) link; 0 where there is none
  std::optional<Address> via;
  bool operator==(const RouteInfo&) const = default;
};

// RTM_NEWROUTE and RTM_DELROUTE to a value; nothing for other messages, clones, and malformed ones.
[[nodiscard]] std::optional<RouteInfo> decode_route(const nlmsghdr& message);

// `protocol` 0 and `table` 0 mean any. Kernels before 4.20 send everything: filter again.
[[nodiscard]] Buffer encode_route_dump(Family family, std::uint8_t protocol, std::uint32_t table);
// `index` is the link's, 0 for blackhole and throw. Without `replace` an existing route gives
// EEXIST.
[[nodiscard]] Buffer encode_route_put(const RouteKey& key, const RouteValue& value,
                                      std::uint32_t index, std::uint8_t protocol, bool replace);
[[nodiscard]] Buffer encode_route_delete(const RouteKey& key, std::uint8_t protocol);

struct RuleInfo {
  RoutingRule rule;
  std::uint8_t protocol = 0;
  bool plain = false; // nothing in it that RoutingRule cannot say
  bool operator==(const RuleInfo&) const = default;
};

[[nodiscard]] std::optional<RuleInfo> decode_routing_rule(const nlmsghdr& message);
[[nodiscard]] Buffer encode_routing_rule_dump(Family family);
[[nodiscard]] Buffer encode_routing_rule(const RoutingRule& rule, std::uint8_t protocol, bool add);

} // namespace egw::net
