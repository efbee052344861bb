// SPDX-License-Identifier: Apache-2.0
#include "egress/admission.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "api/validate.hpp"
#include "egress/allocation.hpp"
#include "egress/cluster_info.hpp"
#include "egress/gateway_plan.hpp"
#include "egress/lookup.hpp"
#include "egress/policy_plan.hpp"

namespace egw::egress {

namespace {

using api::AdmissionOperation;
using api::AdmissionPhase;

// The world as the rules see it: what was read anew comes first.
class Known {
 public:
  Known(const AdmissionInput& in, AdmissionVerdict& verdict)
      : world_(*in.world), fresh_(*in.fresh), verdict_(verdict) {}

  // nullptr: there is none. What a refusal rests on is noted.
  const api::EgressGateway* gateway(const std::string& name) {
    return find<api::EgressGateway>({Kind::Gateway, "", name}, lookup(world_.gateways, name));
  }
  const api::Namespace* ns(const std::string& name) {
    return find<api::Namespace>({Kind::Namespace, "", name}, lookup(world_.namespaces, name));
  }
  const api::EgressPolicy* policy(const api::PolicyKey& key) {
    return find<api::EgressPolicy>(key_of(key), lookup(world_.policies, key));
  }
  [[nodiscard]] const World& world() const { return world_; }

 private:
  template <class T>
  const T* find(const ObjectKey& key, const T* cached) {
    if (const auto* read = lookup(fresh_, key)) {
      return *read ? std::get_if<T>(&**read) : nullptr;
    }
    verdict_.rests_on.push_back(key);
    return cached;
  }

  const World& world_;
  const Fresh& fresh_;
  AdmissionVerdict& verdict_;
};

std::string joined(const std::vector<Error>& errors) {
  constexpr std::size_t kMost = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(kMost, errors.size()); ++i) {
    text += (text.empty() ? "" : "; ") + errors[i].message;
  }
  if (errors.size() > kMost) text += fmt::format("; and {} more", errors.size() - kMost);
  return text;
}

class Rules {
 public:
  Rules(const api::AdmissionRequest& request, const AdmissionInput& in)
      : request_(request), in_(in), known_(in, verdict_) {}

  AdmissionVerdict run() {
    if (request_.phase == AdmissionPhase::Mutating) {
      std::visit([&](const auto& object) { fill(object); }, request_.object);
    } else if (request_.operation == AdmissionOperation::Delete) {
      check_deletion();
    } else {
      std::visit([&](const auto& object) { check(object); }, request_.object);
    }
    if (verdict_.response.allowed && !undecided_) verdict_.rests_on.clear();
    return std::move(verdict_);
  }

 private:
  bool refuse(std::string message) {
    verdict_.response = api::refusal(std::move(message));
    return false;
  }
  template <class T>
  const T* old() const {
    return std::get_if<T>(&request_.old_object);
  }
  // Of an update: labels, finalizers and the like must pass whatever the rest looks like.
  template <class T>
  bool same_spec(const T& object) const {
    return old<T>() != nullptr && old<T>()->spec == object.spec;
  }

  // --- defaults ----------------------------------------------------------------------------------

  static void fill(const std::monostate&) {}
  static void fill(const api::EgressClusterInfo&) {}

  void fill(const api::EgressGateway& gateway) {
    const auto pools = api::parse_pools(gateway.spec);
    const auto* before = old<api::EgressGateway>();
    const auto fill_one = [&](const char* field, const std::vector<std::string>& pool,
                              const std::string& given, const std::string* was,
                              std::optional<Address> lowest) {
      std::string wanted = given;
      if (given.empty() && lowest) wanted = lowest->to_string();
      // The pool is emptied, and its default goes with it.
      if (pool.empty() && was != nullptr && given == *was) wanted.clear();
      if (wanted == given) return;
      verdict_.response.patch.push_back(
          {api::PatchOperation::Op::Add, api::json_pointer({"spec", "ippools", field}), wanted});
    };
    const auto& spec = gateway.spec;
    fill_one("ipv4DefaultEIP", spec.ipv4_pool, spec.ipv4_default_eip,
             before == nullptr ? nullptr : &before->spec.ipv4_default_eip,
             pools ? pools->default_v4 : std::nullopt);
    fill_one("ipv6DefaultEIP", spec.ipv6_pool, spec.ipv6_default_eip,
             before == nullptr ? nullptr : &before->spec.ipv6_default_eip,
             pools ? pools->default_v6 : std::nullopt);
  }

  void fill(const api::EgressPolicy& policy) {
    if (!policy.spec.gateway.empty()) return;
    undecided_ = true; // the namespace may have a label that the watch has yet to bring
    const std::string name = default_gateway(policy);
    if (name.empty()) return;
    verdict_.response.patch.push_back(
        {api::PatchOperation::Op::Add, api::json_pointer({"spec", "egressGatewayName"}), name});
  }

  std::string default_gateway(const api::EgressPolicy& policy) {
    if (policy.kind != api::PolicyKind::EgressClusterPolicy) {
      if (auto name = namespace_default(known_.ns(request_.namespace_))) return *std::move(name);
    }
    const auto* gateway = cluster_default(known_.world().gateways);
    return gateway == nullptr ? "" : gateway->meta.name;
  }

  // --- gateways ----------------------------------------------------------------------------------

  static void check(const std::monostate&) {}

  void check(const api::EgressGateway& gateway) {
    if (same_spec(gateway)) return;
    if (const auto wrong = api::validate(gateway); !wrong.empty()) {
      refuse(joined(wrong));
      return;
    }
    const api::Pools pools = api::parse_pools(gateway.spec).value();
    if (!check_default(gateway) || !check_used(pools) || !check_neighbours(pools)) return;
    if (const auto why = refuse_pools(pools, pool_rules())) {
      refuse(why->message);
      return;
    }
    verdict_.response.warnings = api::pool_warnings(gateway.spec);
    const auto& nodes = known_.world().nodes;
    if (std::ranges::none_of(nodes, [&](const auto& node) {
          return gateway.spec.node_selector.matches(node.second.meta.labels);
        })) {
      verdict_.response.warnings.emplace_back(
          "spec.nodeSelector: no node has these labels now, so nothing can hold the gateway's "
          "EIPs");
    }
  }

  bool check_default(const api::EgressGateway& gateway) {
    if (!gateway.spec.cluster_default) return true;
    for (const auto& [name, cached] : known_.world().gateways) {
      if (name == request_.name || !cached.spec.cluster_default) continue;
      const auto* other = known_.gateway(name);
      if (other == nullptr || other->meta.deleting || !other->spec.cluster_default) continue;
      return refuse(fmt::format(
          "spec.clusterDefault: true, but EgressGateway {} is the cluster's default: set it to "
          "false there first, or here",
          name));
    }
    return true;
  }

  // An EIP in use can't leave the pool. One that had left it before is no reason to refuse.
  bool check_used(const api::Pools& pools) {
    const auto* before = old<api::EgressGateway>();
    const auto old_pools =
        before == nullptr ? Result<api::Pools>(Error{}) : api::parse_pools(before->spec);
    if (!old_pools) return true;
    std::vector<std::string> lost;
    for_each_entry(before->status, [&](const api::EipEntry& entry) {
      for (const std::string* text : {&entry.ipv4, &entry.ipv6}) {
        const auto address = Address::parse(*text);
        if (!address || pools.addresses.contains(*address)) continue;
        if (old_pools->addresses.contains(*address)) lost.push_back(*text);
      }
    });
    if (lost.empty()) return true;
    const Address first = Address::parse(lost.front()).value();
    return refuse(fmt::format(
        "spec.ippools.ipv{}: {}{} is in use and can't leave the pool: delete the policies that use "
        "it first (kubectl get egressgateway {} -o yaml names them)",
        static_cast<int>(first.family), lost.front(),
        lost.size() > 1 ? fmt::format(" and {} more", lost.size() - 1) : "", request_.name));
  }

  bool check_neighbours(const api::Pools& pools) {
    for (const auto& [name, cached] : known_.world().gateways) {
      if (name == request_.name) continue;
      const auto cached_pools = api::parse_pools(cached.spec);
      if (!cached_pools || !pools.addresses.first_overlap(cached_pools->addresses)) continue;
      const auto* other = known_.gateway(name);
      if (other == nullptr || other->meta.deleting) continue;
      const auto there = api::parse_pools(other->spec);
      const auto both = there ? pools.addresses.first_overlap(there->addresses) : std::nullopt;
      if (!both) continue;
      return refuse(fmt::format(
          "spec.ippools: {} is in the pool of EgressGateway {} too: take it out of one of them",
          both->to_string(), name));
    }
    return true;
  }

  [[nodiscard]] PoolRules pool_rules() const {
    const auto* info = lookup(in_.world->cluster_infos, std::string(kClusterInfoName));
    ClusterSources sources = sources_of(*in_.world);
    sources.nodes = &in_.world->nodes; // those that are known count, also when there may be more
    return {
        cluster_addresses(info != nullptr ? info->status : api::EgressClusterInfoStatus{}, sources),
        in_.tunnel, in_.families};
  }

  // --- policies ----------------------------------------------------------------------------------

  void check(const api::EgressPolicy& policy) {
    if (same_spec(policy)) return;
    if (const auto wrong = api::validate(policy); !wrong.empty()) {
      refuse(joined(wrong));
      return;
    }
    // What a policy refers to was judged when it was made; the gateway may be gone by now, and the
    // policy can still be edited.
    const auto* before = old<api::EgressPolicy>();
    if (before != nullptr && before->spec.gateway == policy.spec.gateway) return;
    if (policy.spec.gateway.empty()) { // filled as soon as there is a default
      verdict_.response.warnings.push_back("the policy is ignored for now: " +
                                           no_default_gateway());
      return;
    }
    const auto* gateway = known_.gateway(policy.spec.gateway);
    const auto* ns = policy.kind == api::PolicyKind::EgressClusterPolicy
                         ? nullptr
                         : known_.ns(request_.namespace_);
    if (const auto why = refuse_reference(policy, gateway, ns, request_.namespace_)) {
      refuse("spec.egressGatewayName: " + why->message);
      return;
    }
    check_eip(policy, *gateway);
  }

  // What the gateway's status shows can't be had. A pool that is used up is told by a condition: it
  // may have an address tomorrow.
  void check_eip(const api::EgressPolicy& policy, const api::EgressGateway& gateway) {
    PoolState state;
    const auto pools = api::parse_pools(gateway.spec);
    if (!pools) return; // the gateway's condition says so
    state.pools = *pools;
    for_each_entry(gateway.status, [&](const api::EipEntry& entry) { state.hold(entry, 1); });
    const auto choice = choose_eip(policy.spec, state);
    const auto* why = std::get_if<Refusal>(&choice);
    if (why == nullptr) return;
    if (why->reason == "PoolExhausted" || why->reason == "HeldElsewhere") {
      verdict_.response.warnings.push_back(why->message);
    } else {
      refuse(why->message);
    }
  }

  // --- the rest ----------------------------------------------------------------------------------

  void check(const api::EgressClusterInfo& info) {
    if (same_spec(info)) return;
    api::EgressClusterInfo named = info;
    named.meta.name = request_.name;
    if (const auto wrong = api::validate(named); !wrong.empty()) refuse(joined(wrong));
  }

  void check_deletion() {
    if (request_.kind.kind != "EgressGateway") return;
    std::vector<std::string> users;
    for (const api::PolicyKey& key : known_.world().policies_of(request_.name)) {
      const auto* policy = known_.policy(key);
      if (policy == nullptr || policy->meta.deleting) continue;
      if (policy->spec.gateway == request_.name) users.push_back(key.to_string());
      if (users.size() > 1) break;
    }
    if (users.empty()) return;
    refuse(fmt::format(
        "metadata.name: EgressGateway {} is in use by {}{}: delete the policies first, or their "
        "traffic would be dropped",
        request_.name, users.front(), users.size() > 1 ? " and others" : ""));
  }

  const api::AdmissionRequest& request_;
  const AdmissionInput& in_;
  AdmissionVerdict verdict_;
  bool undecided_ = false; // allowed, but what rests_on names may make a difference
  Known known_;
};

} // namespace

AdmissionVerdict admit(const api::AdmissionRequest& request, const AdmissionInput& input) {
  return Rules(request, input).run();
}

} // namespace egw::egress
