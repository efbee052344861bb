// SPDX-License-Identifier: Apache-2.0
#include "egress/names.hpp"

#include <doctest/doctest.h>

using namespace egw;
using namespace egw::egress;

TEST_CASE("names: a tunnel MAC is stable, local and different for each node") {
  CHECK(tunnel_mac("node1") == tunnel_mac("node1"));
  CHECK(tunnel_mac("node1") != tunnel_mac("node2"));
  CHECK(tunnel_mac("node1").to_string().starts_with("66:"));
}

TEST_CASE("names: a label value has at most 63 characters and stays unique") {
  const std::string longest(63, 'a');
  CHECK(label_value("app") == "app");
  CHECK(label_value(longest) == longest);
  const std::string name = std::string(200, 'a') + ".b";
  CHECK(label_value(name).size() == 63);
  CHECK(label_value(name) != label_value(std::string(200, 'a') + ".c"));
}
