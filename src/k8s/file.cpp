// SPDX-License-Identifier: Apache-2.0
#include "k8s/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/fd.hpp"

namespace egw::k8s {

Result<std::string> read_file(const std::string& path) {
  const auto fail = [&path] {
    return Error{fmt::format("cannot read {}: {}", path, std::generic_category().message(errno)),
                 errno};
  };
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail();
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail();
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

} // namespace egw::k8s
