// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace httplib {
class Server;
} // namespace httplib

namespace egw::k8s {

// Binds to an address; port 0 is a free one. "::" takes IPv4 too, and is 0.0.0.0 where the kernel
// has no IPv6. Returns the port. Throws std::system_error, which names `purpose` ("metrics").
[[nodiscard]] int bind_server(httplib::Server& server, const std::string& host, int port,
                              const char* purpose);

} // namespace egw::k8s
