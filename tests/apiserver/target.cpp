// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

namespace egw::test {
namespace {

using Parameters = std::vector<std::pair<std::string, std::string>>;

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::pair<std::string_view, Parameters> split(std::string_view target) {
  const std::size_t question = target.find('?');
  Parameters parameters;
  if (question != std::string_view::npos) {
    std::string_view query = target.substr(question + 1);
    while (!query.empty()) {
      const std::string_view one = query.substr(0, query.find('&'));
      query.remove_prefix(std::min(query.size(), one.size() + 1));
      const std::size_t equals = one.find('=');
      parameters.emplace_back(
          decoded(one.substr(0, equals)),
          equals == std::string_view::npos ? "" : decoded(one.substr(equals + 1)));
    }
  }
  return {target.substr(0, question), std::move(parameters)};
}

} // namespace

bool target_fits(std::string_view expected, std::string_view got) {
  const auto [path, wanted] = split(expected);
  const auto [got_path, got_parameters] = split(got);
  if (path != got_path) return false;
  const Parameters& there = got_parameters;
  return std::all_of(wanted.begin(), wanted.end(), [&there](const auto& parameter) {
    if (parameter.first.starts_with('!'))
      return std::none_of(there.begin(), there.end(), [&](const auto& other) {
        return other.first == parameter.first.substr(1);
      });
    return std::find(there.begin(), there.end(), parameter) != there.end();
  });
}

} // namespace egw::test
