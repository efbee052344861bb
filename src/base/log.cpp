// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.hpp"

namespace egw::log {

namespace {

std::atomic<Level> least{Level::Info};

struct Sink {
  std::mutex mutex;
  std::string component = "egw";
};

// Never destroyed: threads may log until the process has ended.
Sink& sink() {
  static Sink& the_sink = *new Sink; // NOLINT(cppcoreguidelines-owning-memory)
  return the_sink;
}

std::string_view name(Level level) {
  switch (level) {
    case Level::Debug:
      return "DEBUG";
    case Level::Info:
      return "INFO";
    case Level::Warn:
      return "WARN";
    case Level::Error:
      return "ERROR";
  }
  return "ERROR";
}

struct Rune {
  std::size_t size = 0; // bytes; 0: not UTF-8
  std::uint32_t value = 0;
};

// The first character of a text that is not empty, RFC 3629.
Rune decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {1, lead};
  const std::size_t size = lead < 0xc2   ? 0
                           : lead < 0xe0 ? 2
                           : lead < 0xf0 ? 3
                           : lead < 0xf5 ? 4
                                         : 0;
  if (size == 0 || text.size() < size) return {};
  std::uint32_t value = lead & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {};
    value = value << 6U | (byte(i) & 0x3fU);
  }
  const bool overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (overlong || surrogate || value > 0x10ffff) return {};
  return {size, value};
}

// What ends a line, moves the cursor or turns the direction of writing: in a message, which may
// quote what a stranger wrote, it could pass for a line of ours.
bool is_control(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const Rune c = decode(text);
    if (c.size == 0) {
      out += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(text.front()));
      text.remove_prefix(1);
      continue;
    }
    if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (is_control(c.value)) {
      out += c.value < 0x80 ? fmt::format("\\x{:02x}", c.value) : fmt::format("\\u{:04x}", c.value);
    } else {
      out += text.substr(0, c.size);
    }
    text.remove_prefix(c.size);
  }
}

// A log that cannot be written has nobody left to tell; the work goes on.
void write_all(std::string_view line) {
  while (!line.empty()) {
    const auto n = ::write(STDERR_FILENO, line.data(), line.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    line.remove_prefix(static_cast<std::size_t>(n));
  }
}

} // namespace

void set_level(Level level) {
  least.store(level, std::memory_order_relaxed);
}

bool enabled(Level level) {
  return level >= least.load(std::memory_order_relaxed);
}

void set_component(std::string_view component) {
  std::string escaped;
  append_escaped(escaped, component);
  const std::lock_guard lock(sink().mutex);
  sink().component = std::move(escaped);
}

void write(Level level, std::string_view message) {
  const int saved = errno; // callers log between a failed call and the use of its errno
  std::string text;
  append_escaped(text, message);
  {
    // The time is taken under the lock, so that lines stand in order of time. The lock also keeps a
    // long line, which the kernel may take in parts, in one piece.
    const std::lock_guard lock(sink().mutex);
    write_all(fmt::format("{} {} {}: {}\n", rfc3339_milli(now().wall), name(level),
                          sink().component, text));
  }
  errno = saved;
}

} // namespace egw::log
