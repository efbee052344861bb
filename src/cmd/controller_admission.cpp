// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_admission.hpp"

#include <utility>

#include "base/log.hpp"

namespace egw::cmd {

namespace {

constexpr int kRounds = 5;
constexpr std::size_t kReads = 16;

template <class T>
Result<std::optional<egress::Object>> taken(Result<T> got) {
  if (got) return std::optional<egress::Object>(std::move(got).value());
  if (k8s::not_found(got.error())) return std::optional<egress::Object>{};
  return got.error();
}

} // namespace

api::AdmissionResponse admit_anew(const Judge& judge, const ReadObject& read) {
  egress::Fresh fresh;
  for (int round = 0;; ++round) {
    auto verdict = judge(fresh);
    if (!verdict) {
      return api::refusal("the controller has not read the cluster yet, or is busy: try again", 503,
                          "ServiceUnavailable");
    }
    if (verdict->rests_on.empty() || round == kRounds) return std::move(verdict->response);
    for (const egress::ObjectKey& key : verdict->rests_on) {
      if (fresh.size() == kReads) return std::move(verdict->response);
      auto object = read(key);
      if (!object) {
        log::debug("{}", object.error().message);
        return std::move(verdict->response);
      }
      fresh.insert_or_assign(key, std::move(object).value());
    }
  }
}

Result<std::optional<egress::Object>> read_object(k8s::Client& client,
                                                  const egress::ObjectKey& key) {
  // Somebody waits for the answer, so it does not queue behind statuses.
  k8s::CallOptions options;
  options.lane = k8s::Lane::Failover;
  options.timeout = std::chrono::seconds(1);
  const api::NamespacedName name{key.namespace_, key.name};
  switch (key.kind) {
    case egress::Kind::Gateway:
      return taken(client.get_as<api::EgressGateway>(name, options));
    case egress::Kind::Namespace:
      return taken(client.get_as<api::Namespace>(name, options));
    case egress::Kind::GatewayPolicy:
    case egress::Kind::Policy:
    case egress::Kind::ClusterPolicy:
      return taken(client.get_as<api::EgressPolicy>(
          api::policy_resource(*egress::policy_kind(key.kind)), name, options));
    default:
      return Error{"no rule asks for a " + std::string(egress::to_string(key.kind))};
  }
}

} // namespace egw::cmd
