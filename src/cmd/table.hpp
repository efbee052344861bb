// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Text for a terminal: tables that fit, and colour where it is wanted.
namespace egw::cmd {

enum class Tone : std::uint8_t { Plain, Good, Warn, Bad, Head };
// `text` in ECMA-48 colours, or as it is when `colour` is false.
[[nodiscard]] std::string toned(std::string_view text, Tone tone, bool colour);

// Characters of UTF-8; those that we print take one column each.
[[nodiscard]] std::size_t columns(std::string_view text);
// Cut in the middle, where names differ least, to at most `width` characters.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t width);
// Broken at spaces into lines of at most `width` characters, those after the first indented. A word
// that is longer than a line is cut.
[[nodiscard]] std::string wrapped(std::string_view text, std::size_t width, std::size_t indent);

struct Cell {
  std::string text;
  Tone tone = Tone::Plain;
};

// Columns are as wide as what is in them; where that is too much together, the widest give way.
class Table {
 public:
  explicit Table(std::vector<std::string> heads) : heads_(std::move(heads)) {}
  void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] std::string render(std::size_t width, bool colour) const;

 private:
  [[nodiscard]] std::vector<std::size_t> widths(std::size_t width) const;
  std::vector<std::string> heads_;
  std::vector<std::vector<Cell>> rows_;
};

} // namespace egw::cmd
