// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "net/state.hpp"

// For logs, errors and failing tests: one line each, close to what `ip` and `nft` print.
namespace egw::net {

[[nodiscard]] std::string to_string(NftFamily family);
[[nodiscard]] std::string to_string(const RouteKey& key);
[[nodiscard]] std::string to_string(const RouteValue& value);
[[nodiscard]] std::string to_string(const RoutingRule& rule);
[[nodiscard]] std::string to_string(const ElementKey& key); // hexadecimal

} // namespace egw::net
