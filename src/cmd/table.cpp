// SPDX-License-Identifier: Apache-2.0
#include "cmd/table.hpp"

#include <algorithm>
#include <numeric>

namespace egw::cmd {
namespace {

constexpr std::size_t kGap = 2;

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

// Where character `n` begins.
std::size_t offset_of(std::string_view text, std::size_t n) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (begins_character(text[at]) && n-- == 0) break;
    ++at;
  }
  return at;
}

} // namespace

std::string toned(std::string_view text, Tone tone, bool colour) {
  const char* code = nullptr;
  switch (tone) {
    case Tone::Plain:
      break;
    case Tone::Good:
      code = "32";
      break;
    case Tone::Warn:
      code = "33";
      break;
    case Tone::Bad:
      code = "1;31";
      break;
    case Tone::Head:
      code = "1";
      break;
  }
  if (!colour || code == nullptr || text.empty()) return std::string(text);
  return std::string("\x1b[") + code + "m" + std::string(text) + "\x1b[0m";
}

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string shortened(std::string_view text, std::size_t width) {
  const std::size_t length = columns(text);
  if (length <= width) return std::string(text);
  if (width == 0) return {};
  const std::size_t head = width / 2, tail = width - 1 - head;
  return std::string(text.substr(0, offset_of(text, head))) + "…" +
         std::string(text.substr(offset_of(text, length - tail)));
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::string out;
  std::size_t used = 0;
  const auto put = [&](std::string_view word) {
    const std::size_t n = columns(word);
    if (used > indent && used + 1 + n > width) {
      out += '\n' + std::string(indent, ' ');
      used = indent;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
      ++used;
    }
    out += shortened(word, width - used);
    used += std::min(n, width - used);
  };
  while (!text.empty()) {
    const std::size_t space = std::min(text.find_first_of(" \n\t"), text.size());
    if (space > 0) put(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return out;
}

std::vector<std::size_t> Table::widths(std::size_t width) const {
  std::vector<std::size_t> w;
  w.reserve(heads_.size());
  for (const std::string& head : heads_) w.push_back(columns(head));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) w[i] = std::max(w[i], columns(row[i].text));
  }
  std::size_t total = std::accumulate(w.begin(), w.end(), kGap * (w.size() - 1));
  for (; total > width; --total) {
    auto& widest = *std::max_element(w.begin(), w.end());
    if (widest <= 1) break;
    --widest;
  }
  return w;
}

std::string Table::render(std::size_t width, bool colour) const {
  const std::vector<std::size_t> w = widths(width);
  std::string out;
  const auto line = [&](const auto& cells, const auto& cell_of) {
    std::string pending; // blanks, written only before something that is visible
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const Cell cell = cell_of(cells[i]);
      const std::string text = shortened(cell.text, w[i]);
      if (!text.empty()) out += std::exchange(pending, {}) + toned(text, cell.tone, colour);
      pending.append(w[i] - columns(text) + kGap, ' ');
    }
    out += '\n';
  };
  line(heads_, [](const std::string& head) { return Cell{head, Tone::Head}; });
  for (const auto& row : rows_) line(row, [](const Cell& cell) { return cell; });
  return out;
}

} // namespace egw::cmd
