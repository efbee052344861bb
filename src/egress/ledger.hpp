// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/egress.hpp"
#include "base/ip.hpp"

namespace egw::egress {

// What all gateways hold together: EIPs by node, gateways by address, ids by gateway. Kept up to
// date gateway by gateway.
class Ledger {
 public:
  // `possible`: what the API server may hold instead of `status`, as long as the outcome of a write
  // is not known. Its addresses and ids are nobody else's either.
  void replace(const std::string& gateway, const api::EgressGatewayStatus& status,
               const std::vector<const api::EgressGatewayStatus*>& possible = {});
  void remove(const std::string& gateway);

  // EIPs on the node that belong to other gateways.
  [[nodiscard]] std::int64_t eips_elsewhere(const std::string& node,
                                            const std::string& gateway) const;
  // Addresses held, with the gateways that hold them.
  [[nodiscard]] const std::map<Address, std::set<std::string>>& holders() const { return holders_; }
  // In use or resting.
  [[nodiscard]] const std::set<std::int32_t>& ids(const std::string& gateway) const;

 private:
  struct Part {
    std::map<std::string, std::int64_t> nodes;
    std::set<Address> addresses;
    std::set<std::int32_t> ids;
  };
  std::map<std::string, Part> parts_;
  std::map<std::string, std::int64_t> nodes_;
  std::map<Address, std::set<std::string>> holders_;
};

} // namespace egw::egress
