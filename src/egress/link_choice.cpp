// SPDX-License-Identifier: Apache-2.0
#include "egress/link_choice.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

namespace egw::egress {

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

Result<std::vector<std::string>> parse_link_names(std::string_view text) {
  auto names = split_list(text);
  for (const std::string& name : names) {
    const bool wrong = std::ranges::any_of(name, [](char c) { return c <= ' ' || c == '/'; });
    if (wrong) {
      return Error{
          fmt::format("'{}' is no pattern of an interface's name: write one as eth0 or "
                      "eth*, several with commas between",
                      name)};
    }
  }
  return names;
}

Result<std::vector<Prefix>> parse_subnets(std::string_view text) {
  std::vector<Prefix> subnets;
  for (const std::string& part : split_list(text)) {
    const auto subnet = Prefix::parse(part);
    if (!subnet) {
      return Error{
          fmt::format("'{}' is no CIDR: write one as 10.6.0.0/16 or fd06::/64, several "
                      "with commas between",
                      part)};
    }
    subnets.push_back(*subnet);
  }
  return subnets;
}

Result<LinkChoice> parse_link_choice(std::string_view text) {
  std::string names, subnets;
  for (const std::string& part : split_list(text)) {
    auto& to = part.find('/') == std::string::npos ? names : subnets;
    to += part + ",";
  }
  const auto by_name = parse_link_names(names);
  if (!by_name) return by_name.error();
  const auto by_subnet = parse_subnets(subnets);
  if (!by_subnet) return by_subnet.error();
  return LinkChoice{*by_name, *by_subnet};
}

std::string to_string(const LinkChoice& choice) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ",") + part; };
  for (const std::string& name : choice.names) add(name);
  for (const Prefix& subnet : choice.subnets) add(subnet.to_string());
  return text;
}

bool matches(const std::vector<std::string>& patterns, const std::string& name) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) {
    return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

bool contains(const std::vector<Prefix>& subnets, const Address& address) {
  return std::ranges::any_of(subnets, [&](const Prefix& p) { return p.contains(address); });
}

} // namespace egw::egress
