// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/ip.hpp"

namespace egw::egress {

// Interfaces by name and by what stands on them. Of names and of subnets one must hold; an empty
// list asks for nothing.
struct LinkChoice {
  std::vector<std::string> names; // patterns as of a shell: *, ?, [...]
  std::vector<Prefix> subnets;    // one of the interface's addresses lies in them
  [[nodiscard]] bool empty() const { return names.empty() && subnets.empty(); }
  bool operator==(const LinkChoice&) const = default;
};

// Parts that commas separate; spaces around them do not count.
[[nodiscard]] std::vector<std::string> split_list(std::string_view text);
[[nodiscard]] Result<std::vector<std::string>> parse_link_names(std::string_view text);
[[nodiscard]] Result<std::vector<Prefix>> parse_subnets(std::string_view text);
// Both in one text: what has a '/' is a CIDR, the rest are names.
[[nodiscard]] Result<LinkChoice> parse_link_choice(std::string_view text);
[[nodiscard]] std::string to_string(const LinkChoice& choice);

[[nodiscard]] bool matches(const std::vector<std::string>& patterns, const std::string& name);
[[nodiscard]] bool contains(const std::vector<Prefix>& subnets, const Address& address);

} // namespace egw::egress
