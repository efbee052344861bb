// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/kernel.hpp"
#include "netns/netns.hpp"

namespace egw::test {

inline Address ip(const char* text) {
  return Address::parse(text).value();
}
inline Prefix prefix(const char* text) {
  return Prefix::parse(text).value();
}
inline Mac mac(const char* text) {
  return Mac::parse(text).value();
}
net::Bytes key_of(const Address& a);
net::Bytes key_of(std::uint32_t host_order);
net::ElementKey element(const char* address);
net::ElementKey element(std::uint32_t mark);
net::ElementKey interval(const char* first, const char* last);

// Our tables as on a kernel that can't keep others from changing them.
[[nodiscard]] net::Ownership shared_tables();

// A node with an uplink `up0` (192.0.2.1/24, 2001:db8::1/64), whose other end `peer0` is in a
// namespace of its own with .2 and ::2.
struct Node {
  Netns ns, peer;
  Node();
  [[nodiscard]] std::uint32_t parent() const; // ifindex of up0; ask inside `ns`
};

// One of everything that egw puts into a kernel, with every expression and every kind of set.
[[nodiscard]] net::State sample_state(std::uint32_t parent);

[[nodiscard]] std::string print(const std::vector<Error>& errors);
[[nodiscard]] std::string print(const net::Batch& batch);

// Observes, applies what is missing, and returns the errors.
std::vector<Error> reconcile(net::Kernel& kernel, const net::State& desired);

} // namespace egw::test
