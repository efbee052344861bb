// SPDX-License-Identifier: Apache-2.0
#include "k8s/listen.hpp"

#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace egw::k8s {

int bind_server(httplib::Server& server, const std::string& host, int port, const char* purpose) {
  // httplib sets SO_REUSEPORT: a second process would take half of the requests unnoticed.
  server.set_socket_options([](socket_t socket) {
    const int on = 1, off = 0;
    (void)setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off); // ENOPROTOOPT for IPv4
  });
  errno = 0;
  const auto bind = [&](const std::string& to) {
    if (port == 0) return server.bind_to_any_port(to);
    return server.bind_to_port(to, port) ? port : -1;
  };
  int bound = bind(host);
  if (bound < 0 && host == "::" && errno == EAFNOSUPPORT) {
    server.stop(); // else it takes no second attempt
    bound = bind("0.0.0.0");
  }
  if (bound >= 0) return bound;
  throw std::system_error(errno != 0 ? errno : EADDRNOTAVAIL, std::system_category(),
                          fmt::format("listen on {} port {} for {}", host, port, purpose));
}

} // namespace egw::k8s
