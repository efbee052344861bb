// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "api/egress.hpp"
#include "base/error.hpp"
#include "base/interval_set.hpp"

// The checks that one object alone can fail, and its user-given text parsed. Used by the webhook
// and by the loops, so that what slipped past admission gets a condition instead of doing harm.
// Each message names the field, the value and the remedy.
namespace egw::api {

struct Pools {
  IntervalSet addresses; // both families; IPv4 CIDRs shorter than /31 without network and broadcast
  std::optional<Address> default_v4, default_v6; // given, or the lowest
  bool operator==(const Pools&) const = default;
};
[[nodiscard]] Result<Pools> parse_pools(const EgressGatewaySpec& spec);
// What is taken, and perhaps not meant so: 10.6.1.70/28 is all of 10.6.1.64/28.
[[nodiscard]] std::vector<std::string> pool_warnings(const EgressGatewaySpec& spec);

// Text to prefixes; `field` for the message, e.g. "spec.destSubnet".
[[nodiscard]] Result<std::vector<Prefix>> parse_prefixes(const std::vector<std::string>& texts,
                                                         const char* field);

// Everything wrong with the object, in order of the fields; empty when it is right.
[[nodiscard]] std::vector<Error> validate(const EgressGateway& gateway);
[[nodiscard]] std::vector<Error> validate(const EgressPolicy& policy);
[[nodiscard]] std::vector<Error> validate(const EgressClusterInfo& info);

} // namespace egw::api
