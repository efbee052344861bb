// SPDX-License-Identifier: Apache-2.0
#include "api/validate.hpp"

#include "api/validate_parse.hpp"

namespace egw::api {
namespace {

constexpr std::int32_t kLowestPriority = 65536;
constexpr std::int32_t kFirstNamespacedPriority = 100; // 1..99 go before every namespaced policy

void check_scope(Errors& errors, const EgressGatewaySpec& spec) {
  if (spec.scope_namespaces) {
    if (spec.scope_namespaces->empty() && !spec.scope_namespace_selector) {
      complain(errors,
               "spec.scope.namespaces: an empty list admits nobody: name namespaces, or remove "
               "spec.scope to admit all");
    }
    for (std::size_t i = 0; i < spec.scope_namespaces->size(); ++i) {
      if ((*spec.scope_namespaces)[i].empty()) {
        complain(errors, "spec.scope.namespaces[{}]: empty, but must be a namespace's name", i);
      }
    }
  }
  if (spec.scope_namespace_selector) {
    check_selector(errors, "spec.scope.namespaceSelector", *spec.scope_namespace_selector);
  }
}

void check_eip(Errors& errors, Family family, const std::string& text, bool use_node_ip) {
  if (text.empty()) return;
  const char* version = family == Family::V4 ? "ipv4" : "ipv6";
  const Result<Address> address = Address::parse(text);
  if (!address.ok() || address->family != family) {
    complain(errors, "spec.egressIP.{}: {:?} is not an {} address", version, text, name_of(family));
  } else if (use_node_ip) {
    complain(errors,
             "spec.egressIP.{}: {} is given together with useNodeIP: true: remove one of the "
             "two",
             version, text);
  }
}

void check_applied_to(Errors& errors, const EgressPolicy& policy) {
  const PolicySpec& spec = policy.spec;
  const bool cluster = policy.kind == PolicyKind::EgressClusterPolicy;
  if (spec.pod_selector) {
    check_selector(errors, "spec.appliedTo.podSelector", *spec.pod_selector);
    if (!spec.pod_subnet.empty()) {
      complain(errors,
               "spec.appliedTo.podSubnet: [{:?}...] is given together with podSelector: remove "
               "one of the two",
               spec.pod_subnet.front());
    }
  }
  (void)check_prefixes(errors, "spec.appliedTo.podSubnet", spec.pod_subnet);
  if (spec.namespace_selector && cluster) {
    check_selector(errors, "spec.appliedTo.namespaceSelector", *spec.namespace_selector);
  }
  if (spec.namespace_selector && !cluster) {
    complain(errors,
             "spec.appliedTo.namespaceSelector: only an EgressClusterPolicy selects namespaces: "
             "remove it, or make an EgressClusterPolicy");
  }
  if (!spec.pod_selector && spec.pod_subnet.empty() && !(cluster && spec.namespace_selector)) {
    complain(errors, "spec.appliedTo: selects nothing: give podSelector{} podSubnet",
             cluster ? ", namespaceSelector or" : " or");
  }
}

void check_priority(Errors& errors, const EgressPolicy& policy) {
  if (!policy.spec.priority) return;
  const std::int32_t priority = *policy.spec.priority;
  if (priority < 1 || priority > kLowestPriority) {
    complain(errors, "spec.priority: {} is not within 1..{}", priority, kLowestPriority);
  } else if (policy.kind != PolicyKind::EgressClusterPolicy &&
             priority < kFirstNamespacedPriority) {
    complain(errors, "spec.priority: {} is for an EgressClusterPolicy: choose {}..{}", priority,
             kFirstNamespacedPriority, kLowestPriority);
  }
}

} // namespace

Result<Pools> parse_pools(const EgressGatewaySpec& spec) {
  Errors errors;
  Pools pools = check_pools(errors, spec);
  if (!errors.empty()) return errors.front();
  return pools;
}

std::vector<std::string> pool_warnings(const EgressGatewaySpec& spec) {
  std::vector<std::string> warnings;
  const auto look = [&](const char* field, const std::vector<std::string>& texts) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].find('/') == std::string::npos || Prefix::parse_strict(texts[i])) continue;
      const auto whole = Prefix::parse(texts[i]);
      if (!whole) continue;
      warnings.push_back(fmt::format("{}[{}]: {} is taken as {}: write that, or one address", field,
                                     i, texts[i], whole->to_string()));
    }
  };
  look("spec.ippools.ipv4", spec.ipv4_pool);
  look("spec.ippools.ipv6", spec.ipv6_pool);
  return warnings;
}

Result<std::vector<Prefix>> parse_prefixes(const std::vector<std::string>& texts,
                                           const char* field) {
  Errors errors;
  std::vector<Prefix> prefixes = check_prefixes(errors, field, texts);
  if (!errors.empty()) return errors.front();
  return prefixes;
}

std::vector<Error> validate(const EgressGateway& gateway) {
  const EgressGatewaySpec& spec = gateway.spec;
  Errors errors;
  (void)check_pools(errors, spec);
  if (spec.node_selector.empty()) {
    complain(errors,
             "spec.nodeSelector.selector: empty, and an empty one would make every node a "
             "gateway: give matchLabels or matchExpressions");
  }
  check_selector(errors, "spec.nodeSelector.selector", spec.node_selector);
  if (spec.limit < 0) {
    complain(errors, "spec.nodeSelector.limit: {} is not within 1..1000", spec.limit);
  } else if (spec.placement == PlacementPolicy::LimitSelection && spec.limit == 0) {
    complain(errors,
             "spec.nodeSelector.limit: missing, but LimitSelection needs the number of EIPs that "
             "a node takes before others: give 1..1000");
  }
  check_scope(errors, spec);
  return errors;
}

std::vector<Error> validate(const EgressPolicy& policy) {
  const PolicySpec& spec = policy.spec;
  Errors errors;
  check_eip(errors, Family::V4, spec.eip_ipv4, spec.use_node_ip);
  check_eip(errors, Family::V6, spec.eip_ipv6, spec.use_node_ip);
  check_applied_to(errors, policy);
  (void)check_prefixes(errors, "spec.destSubnet", spec.dest_subnet);
  (void)check_prefixes(errors, "spec.excludedSubnet", spec.excluded_subnet);
  check_priority(errors, policy);
  return errors;
}

std::vector<Error> validate(const EgressClusterInfo& info) {
  Errors errors;
  if (info.meta.name != "default") {
    complain(errors,
             "metadata.name: {:?} has no effect: the one EgressClusterInfo is named \"default\"",
             info.meta.name);
  }
  (void)check_prefixes(errors, "spec.extraCidr", info.spec.extra_cidr);
  return errors;
}

} // namespace egw::api
