// SPDX-License-Identifier: Apache-2.0
#include "net/gro.hpp"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace egw::net {
namespace {

// 0, or an errno.
int ask(const NetlinkSocket& socket, const std::string& link, ethtool_value& value) {
  ifreq request{};
  if (link.empty() || link.size() >= sizeof request.ifr_name) return ENODEV;
  std::memcpy(request.ifr_name, link.data(), link.size());
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ioctl(socket.fd(), SIOCETHTOOL, &request) == 0 ? 0 : errno;
}

} // namespace

std::optional<bool> gro(const NetlinkSocket& socket, const std::string& link) {
  ethtool_value value{.cmd = ETHTOOL_GGRO, .data = 0};
  if (ask(socket, link, value) != 0) return {};
  return value.data != 0;
}

Result<void> set_gro(const NetlinkSocket& socket, const std::string& link, bool on) {
  ethtool_value value{.cmd = ETHTOOL_SGRO, .data = on ? 1U : 0U};
  const int code = ask(socket, link, value);
  if (code == 0) return {};
  return Error{fmt::format("switch generic receive offload of {} {}: {}", link, on ? "on" : "off",
                           describe(code, "")),
               code};
}

std::optional<bool> missing_gro(const NetlinkSocket& socket, const std::string& tunnel,
                                const LinkInfo& parent) {
  const auto over = parent.kind == "veth" ? true : gro(socket, parent.host.name);
  const auto now = gro(socket, tunnel);
  if (!over || !now || *now != *over) return {};
  return !*over;
}

} // namespace egw::net
