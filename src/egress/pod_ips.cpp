// SPDX-License-Identifier: Apache-2.0
#include "egress/pod_ips.hpp"

namespace egw::egress {

PodIps::PodIps(std::span<const Address> ips) {
  for (const Address& ip : ips) {
    if (count_ < ips_.size()) ips_[count_++] = ip;
  }
}

} // namespace egw::egress
