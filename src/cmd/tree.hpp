// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace egw::cmd {

// A value that is printed as JSON or YAML. Members keep their order.
class Tree {
 public:
  using List = std::vector<Tree>;
  using Members = std::vector<std::pair<std::string, Tree>>;

  Tree(bool value) : value_(value) {}                     // NOLINT: implicit
  Tree(std::int64_t value) : value_(value) {}             // NOLINT: implicit
  Tree(std::string value) : value_(std::move(value)) {}   // NOLINT: implicit
  Tree(const char* value) : value_(std::string(value)) {} // NOLINT: implicit
  Tree(List value) : value_(std::move(value)) {}          // NOLINT: implicit
  Tree(Members value) : value_(std::move(value)) {}       // NOLINT: implicit
  static Tree count(std::size_t n) { return static_cast<std::int64_t>(n); }

  [[nodiscard]] std::string json() const; // RFC 8259, indented by two, newline at the end
  // YAML 1.2. Strings that could be read as something else are quoted as in JSON.
  [[nodiscard]] std::string yaml() const;

 private:
  void write_json(std::string& out, std::size_t indent) const;
  void write_yaml(std::string& out, std::size_t indent) const;
  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::string scalar(bool yaml) const;

  std::variant<bool, std::int64_t, std::string, List, Members> value_;
};

} // namespace egw::cmd
