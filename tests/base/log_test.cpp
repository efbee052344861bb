// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace egw {

namespace {

// Stands in for stderr with a socket that keeps the borders between writes.
class Capture {
 public:
  Capture() : saved_(check_errno(::dup(STDERR_FILENO), "dup")) {
    std::array<int, 2> fds{};
    check_errno(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()), "socketpair");
    in_ = Fd(fds[0]);
    const Fd out(fds[1]);
    check_errno(::dup2(out.get(), STDERR_FILENO), "dup2");
  }
  ~Capture() {
    ::dup2(saved_.get(), STDERR_FILENO);
    log::set_level(log::Level::Info);
    log::set_component("egw");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // What one write(2) has written; empty if there was none.
  std::string next() {
    std::vector<char> buffer(1U << 16U);
    const auto n = ::recv(in_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return n <= 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(n));
  }
  // The same without time, level and component.
  std::string message() {
    const std::string line = next();
    const auto at = line.find(": ");
    return at == std::string::npos ? line : line.substr(at + 2);
  }

 private:
  Fd saved_;
  Fd in_;
};

} // namespace

TEST_CASE("a line is one write with time, level, component and message") {
  Capture err;
  log::set_component("agent");
  log::info("moved {} to {}", "10.6.1.55", "node2");
  std::string line = err.next();
  std::replace_if(
      line.begin(), line.begin() + std::min<std::ptrdiff_t>(23, std::ssize(line)),
      [](char c) { return c >= '0' && c <= '9'; }, '0');
  CHECK(line == "0000-00-00T00:00:00.000Z INFO agent: moved 10.6.1.55 to node2\n");
  CHECK(err.next().empty());
}

TEST_CASE("levels below the set one are left out") {
  Capture err;
  CHECK_FALSE(log::enabled(log::Level::Debug));
  log::debug("no");
  CHECK(err.next().empty());
  log::set_level(log::Level::Debug);
  log::debug("yes");
  CHECK(err.next().find(" DEBUG egw: yes\n") != std::string::npos);
  log::set_level(log::Level::Error);
  log::warn("no");
  log::error("bad");
  CHECK(err.next().find(" ERROR egw: bad\n") != std::string::npos);
  log::set_level(log::Level::Warn);
  log::info("no");
  log::warn("careful");
  CHECK(err.next().find(" WARN egw: careful\n") != std::string::npos);
}

TEST_CASE("what a stranger wrote cannot make a line or move the cursor") {
  using namespace std::string_view_literals;
  // NOLINTBEGIN(misc-misleading-bidirectional, modernize-raw-string-literal): that is the point
  const std::vector<std::pair<std::string_view, std::string_view>> cases = {
      {"a\n2026-01-02T03:04:05.678Z INFO agent: forged"sv,
       "a\\n2026-01-02T03:04:05.678Z INFO agent: forged"sv},
      {"a\r\tb"sv, "a\\r\\tb"sv},
      {"\x1b[2Kgone\x7f\0end"sv, "\\x1b[2Kgone\\x7f\\x00end"sv},
      {"\xc2\x9b"
       "2K"sv,
       "\\u009b2K"sv}, // CSI as one C1 character
      {"a\xe2\x80\xa8"
       "b"sv,
       "a\\u2028b"sv}, // LINE SEPARATOR
      {"a\xd8\x9c"
       "b"sv,
       "a\\u061cb"sv}, // ARABIC LETTER MARK
      {"a\xe2\x80\xae"
       "b"sv,
       "a\\u202eb"sv}, // RIGHT-TO-LEFT OVERRIDE
      {"Gr\xc3\xbc\xc3\x9f"
       "e \xf0\x9f\x98\x80"sv,
       "Gr\xc3\xbc\xc3\x9f"
       "e \xf0\x9f\x98\x80"sv},
      {"\x9b"
       "2K"sv,
       "\\x9b2K"sv},                  // not UTF-8: a byte alone,
      {"\xc0\x8a"sv, "\\xc0\\x8a"sv}, // an overlong newline,
      {"\xe0\x80\x8a"sv, "\\xe0\\x80\\x8a"sv},
      {"\xed\xa0\x80"sv, "\\xed\\xa0\\x80"sv}, // a surrogate,
      {"\xf4\x90\x80\x80"sv, "\\xf4\\x90\\x80\\x80"sv},
      {"\xe2\x80"sv, "\\xe2\\x80"sv}, // a cut one
      {"C:\\path"sv, "C:\\path"sv},
  };
  // NOLINTEND(misc-misleading-bidirectional, modernize-raw-string-literal)
  Capture err;
  for (const auto& [text, escaped] : cases) {
    log::write(log::Level::Info, text);
    CHECK(err.message() == std::string(escaped) + "\n");
  }
  log::set_component("a\nb");
  log::info("x");
  CHECK(err.next().find("INFO a\\nb: x\n") != std::string::npos);
}

TEST_CASE("lines of many threads stay whole" * doctest::test_suite("threads")) {
  constexpr int threads = 4;
  constexpr int each = 8; // few enough for the socket to hold them all
  Capture err;
  const std::string text(500, 'x');
  {
    std::vector<std::jthread> all;
    all.reserve(threads);
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&text] {
        for (int i = 0; i < each; ++i) log::info("{}", text);
      });
    }
  }
  for (int i = 0; i < threads * each; ++i) REQUIRE(err.message() == text + "\n");
  CHECK(err.next().empty());
}

TEST_CASE("logging keeps errno, also when nobody can read it") {
  Capture err;
  const Fd closed(check_errno(::dup(STDERR_FILENO), "dup"));
  ::close(STDERR_FILENO);
  errno = ENOENT;
  log::info("lost");
  CHECK(errno == ENOENT);
}

} // namespace egw
