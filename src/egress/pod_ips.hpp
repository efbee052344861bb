// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/ip.hpp"

namespace egw::egress {

// A pod has at most one address of each family (status.podIPs): they stand in the pod itself.
class PodIps {
 public:
  PodIps() = default;
  // What is more than two is left out.
  explicit PodIps(std::span<const Address> ips);
  PodIps(std::initializer_list<Address> ips) : PodIps(std::span(ips.begin(), ips.size())) {}

  [[nodiscard]] std::span<const Address> all() const { return {ips_.data(), count_}; }
  [[nodiscard]] const Address* begin() const { return ips_.data(); }
  [[nodiscard]] const Address* end() const { return begin() + count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  bool operator==(const PodIps&) const = default;

 private:
  std::array<Address, 2> ips_{};
  std::uint8_t count_ = 0;
};

} // namespace egw::egress
