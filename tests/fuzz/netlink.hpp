// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "fuzz/fuzz.hpp"
#include "net/attributes.hpp"

// Netlink messages for the targets.
namespace egw::test {

// The input in an allocation of its own, aligned as a socket's buffer is: sanitizers see its end.
inline net::Buffer datagram(const std::uint8_t* data, std::size_t size) {
  return {data, data + size};
}

inline const nlmsghdr& message_in(const net::Buffer& bytes) {
  return *reinterpret_cast<const nlmsghdr*>(bytes.data());
}

// What a request of ours says, read by the decoder of what kernels send.
template <class Decode>
auto decoded(const net::Buffer& request, const Decode& decode) {
  return decode(message_in(request));
}

} // namespace egw::test
