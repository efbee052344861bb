// SPDX-License-Identifier: Apache-2.0
#include "cmd/tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace egw::cmd {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  return out += '"';
}

// Words of letters, digits, '-', '.', '/' and '_' that begin with a letter, and are neither a
// boolean nor null in any version of YAML.
bool plain_in_yaml(std::string_view text) {
  static constexpr std::array kWords{"y", "n", "yes", "no", "true", "false", "on", "off", "null"};
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (text.empty() || !letter(text.front())) return false;
  std::string lower;
  for (const char c : text) {
    const bool inner = letter(c) || (c >= '0' && c <= '9');
    if (!inner && std::string_view("-./_").find(c) == std::string_view::npos) return false;
    lower += letter(c) ? static_cast<char>(c | 0x20) : c;
  }
  return std::find(kWords.begin(), kWords.end(), lower) == kWords.end();
}

} // namespace

bool Tree::empty() const {
  if (const auto* list = std::get_if<List>(&value_)) return list->empty();
  if (const auto* members = std::get_if<Members>(&value_)) return members->empty();
  return false;
}

std::string Tree::scalar(bool yaml) const {
  if (const auto* b = std::get_if<bool>(&value_)) return *b ? "true" : "false";
  if (const auto* n = std::get_if<std::int64_t>(&value_)) return fmt::format("{}", *n);
  if (const auto* s = std::get_if<std::string>(&value_)) {
    return yaml && plain_in_yaml(*s) ? *s : quoted(*s);
  }
  return std::holds_alternative<List>(value_) ? "[]" : "{}";
}

void Tree::write_json(std::string& out, std::size_t indent) const {
  const auto* list = std::get_if<List>(&value_);
  const auto* members = std::get_if<Members>(&value_);
  if (empty() || (list == nullptr && members == nullptr)) {
    out += scalar(false);
    return;
  }
  const std::string inner(indent + 2, ' ');
  const char* separator = list != nullptr ? "[\n" : "{\n";
  if (list != nullptr) {
    for (const Tree& item : *list) {
      out += separator + inner;
      item.write_json(out, indent + 2);
      separator = ",\n";
    }
  } else {
    for (const auto& [name, value] : *members) {
      out += separator + inner + quoted(name) + ": ";
      value.write_json(out, indent + 2);
      separator = ",\n";
    }
  }
  out += '\n' + std::string(indent, ' ') + (list != nullptr ? ']' : '}');
}

// Writes from behind "- " or "name:" on; what takes more than a line begins at `indent`.
void Tree::write_yaml(std::string& out, std::size_t indent) const {
  const auto* list = std::get_if<List>(&value_);
  const auto* members = std::get_if<Members>(&value_);
  if (empty() || (list == nullptr && members == nullptr)) {
    out += scalar(true) + '\n';
    return;
  }
  bool first = true; // an item's first member stands on the line of its dash
  const auto begin_line = [&] {
    if (!first || out.empty() || out.back() == '\n') out += std::string(indent, ' ');
    first = false;
  };
  if (list != nullptr) {
    for (const Tree& item : *list) {
      begin_line();
      out += "- ";
      item.write_yaml(out, indent + 2);
    }
    return;
  }
  for (const auto& [name, value] : *members) {
    begin_line();
    out += (plain_in_yaml(name) ? name : quoted(name)) + ':';
    const bool block = !value.empty() && (std::holds_alternative<List>(value.value_) ||
                                          std::holds_alternative<Members>(value.value_));
    out += block ? '\n' : ' ';
    value.write_yaml(out, indent + 2);
  }
}

std::string Tree::json() const {
  std::string out;
  write_json(out, 0);
  return out += '\n';
}

std::string Tree::yaml() const {
  std::string out;
  write_yaml(out, 0);
  return out;
}

} // namespace egw::cmd
