// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "api/egress.hpp"
#include "api/validate.hpp"
#include "base/error.hpp"
#include "base/ip.hpp"

// What the checks of all kinds share.
namespace egw::api {

using Errors = std::vector<Error>;

template <class... A>
void complain(Errors& errors, fmt::format_string<A...> f, A&&... a) {
  errors.push_back({fmt::format(f, std::forward<A>(a)...), 0});
}

[[nodiscard]] inline const char* name_of(Family family) {
  return family == Family::V4 ? "IPv4" : "IPv6";
}

// Keys, operators and values of a selector, as the API server checks those of its own kinds.
void check_selector(Errors& errors, std::string_view field, const LabelSelector& selector);

// Every text a prefix; returns those that are.
std::vector<Prefix> check_prefixes(Errors& errors, std::string_view field,
                                   const std::vector<std::string>& texts);

// Everything wrong with the pools and their default addresses.
Pools check_pools(Errors& errors, const EgressGatewaySpec& spec);

} // namespace egw::api
