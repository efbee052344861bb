// SPDX-License-Identifier: Apache-2.0
#include "egress/classifier.hpp"

#include "egress/affected.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

bool captures(const PolicyRule& policy, const Address& destination) {
  if (policy.everything_outside) return !policy.excluded.contains(destination);
  return policy.destinations.contains(destination);
}

} // namespace

void Classifier::Data::take_pods(const std::map<net::NftFamily, net::Table>& tables) {
  for (const Family family : {Family::V4, Family::V6}) {
    const auto& sets =
        tables.at(family == Family::V4 ? net::NftFamily::Ip : net::NftFamily::Ip6).sets;
    pods[family] = {sets.at(kPodsSet).elements, sets.at(kRemotePodsSet).elements};
  }
}

std::optional<std::uint32_t> Classifier::Data::class_of(const Address& pod) const {
  for (const net::Elements& some : pods.at(pod.family)) {
    if (const auto id = class_in(some, pod)) return id;
  }
  return {};
}

std::optional<std::uint32_t> Classifier::Data::class_in(const net::Elements& pods,
                                                        const Address& pod) {
  const auto at = pods.find({nft::bytes_of(pod), {}});
  if (at == pods.end()) return {};
  return nft::number_of(std::get<net::Bytes>(at->second));
}

std::size_t Classifier::Data::pod_count() const {
  std::size_t count = 0;
  for (const auto& [family, both] : pods) {
    for (const net::Elements& some : both) count += some.size();
  }
  return count;
}

Classifier::Decision Classifier::decide(const Address& pod, const Address& destination) const {
  if (!data || data->input.cluster.contains(destination)) return {};
  const auto id = data->class_of(pod);
  if (!id) return {};
  const PodClass& pod_class = *data->input.classes.at(*id);
  for (std::size_t i = 0; i < pod_class.policies.size(); ++i) {
    const PolicyRule& policy = pod_class.policies[i];
    if (!captures(policy, destination)) continue;
    Decision d;
    d.kind = Decision::Kind::Drop;
    d.nth = i;
    if (policy.of(destination.family) == Fate::Untouched) return {};
    const auto place = data->input.eips.find(policy.eip_id);
    if (policy.of(destination.family) == Fate::Drop || place == data->input.eips.end()) return d;
    if (place->second.where == EipPlace::Where::Here) d.kind = Decision::Kind::Here;
    if (place->second.where == EipPlace::Where::Tunnel) {
      d.kind = Decision::Kind::Tunnel;
      d.gateway_node = data->gateway_names.at(place->second.gateway);
    }
    if (d.kind != Decision::Kind::Drop) d.eip_id = policy.eip_id;
    return d;
  }
  return {};
}

std::optional<std::uint32_t> Classifier::expected_mark(const Decision& d) const {
  switch (d.kind) {
    case Decision::Kind::Untouched:
      return 0;
    case Decision::Kind::Here:
      return ct_mark_here(d.eip_id, data->options);
    case Decision::Kind::Tunnel:
      return ct_mark_tunnelled(d.eip_id, data->options);
    case Decision::Kind::Drop:
      break;
  }
  return std::nullopt;
}

std::vector<net::Connection> stale(const std::vector<net::Connection>& connections,
                                   const Classifier& classifier) {
  std::vector<net::Connection> found;
  if (!classifier.data) return found;
  for (const net::Connection& c : connections) {
    // The reply's source is the real destination, behind the DNAT of a Service.
    const auto decision = classifier.decide(c.original.source, c.reply.source);
    const auto expected = classifier.expected_mark(decision);
    const std::uint32_t mark = c.mark & classifier.data->options.ct_mask;
    if (expected != mark) found.push_back(c);
  }
  return found;
}

} // namespace egw::egress
