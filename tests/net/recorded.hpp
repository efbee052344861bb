// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "net/attributes.hpp"

namespace egw::test {

// What tests/data/netlink/record.py wrote.
inline net::Buffer recorded(const std::string& name) {
  std::ifstream file(std::string(EGW_TEST_DATA) + "/netlink/" + name + ".bin", std::ios::binary);
  if (!file) throw std::runtime_error("there is no recording " + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// decode(message) of every message in it that decodes.
template <class Decode>
auto decoded(const std::string& name, Decode&& decode) {
  std::vector<typename std::invoke_result_t<Decode, const nlmsghdr&>::value_type> out;
  const net::Buffer bytes = recorded(name);
  net::for_each_message(bytes, [&](const nlmsghdr& h) {
    if (auto value = decode(h)) out.push_back(*std::move(value));
  });
  return out;
}

} // namespace egw::test
