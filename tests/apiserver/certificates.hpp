// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace egw::test {

// All PEM; made in memory, P-256, valid from a day ago to a day ahead.
struct Certificates {
  std::string ca;
  std::string server, server_key; // for 127.0.0.1, ::1 and localhost
  std::string client, client_key; // user CN=tester, group O=testers
};

[[nodiscard]] Certificates make_certificates();

} // namespace egw::test
