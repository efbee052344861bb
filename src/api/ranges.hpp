// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/meta.hpp"

// Objects of other programs that say which ranges are pods' or services': only those ranges.
namespace egw::api {

enum class RangeKind : std::uint8_t {
  IpPool,        // Calico: crd.projectcalico.org/v1 IPPool
  CiliumNode,    // cilium.io/v2 CiliumNode
  CiliumConfig,  // Cilium's ConfigMap
  FlannelConfig, // Flannel's ConfigMap
  ServiceCidr,   // networking.k8s.io/v1 ServiceCIDR, v1beta1 on Kubernetes 1.31 and 1.32
};
inline constexpr std::array kRangeKinds = {RangeKind::IpPool, RangeKind::CiliumNode,
                                           RangeKind::CiliumConfig, RangeKind::FlannelConfig,
                                           RangeKind::ServiceCidr};
inline constexpr const char* kSystemNamespace = "kube-system";
inline constexpr const char* kFlannelConfigName = "kube-flannel-cfg";
inline constexpr const char* kCiliumConfigName = "cilium-config";

struct RangeObject {
  ObjectMeta meta; // name, namespace, uid and resourceVersion alone
  RangeKind kind = RangeKind::IpPool;
  std::vector<std::string> cidrs; // as written: what cannot be parsed must become a condition
  bool disabled = false;          // IpPool: no pod gets an address from it any more
  std::string problem;            // what could not be understood, with the field's name
  bool operator==(const RangeObject&) const = default;
};

// The flag of kube-apiserver and kube-controller-manager that says where services live; its values,
// in any of the ways in which a command line gives it.
[[nodiscard]] std::vector<std::string> service_ranges_of(const std::vector<std::string>& words);
// Words between commas and spaces.
[[nodiscard]] std::vector<std::string> split_words(std::string_view text);

} // namespace egw::api
