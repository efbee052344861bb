// SPDX-License-Identifier: Apache-2.0
#include "cmd/service_probe.hpp"

#include <fmt/format.h>

#include <utility>

#include "api/json.hpp"
#include "cmd/controller_writes.hpp"
#include "egress/service_probe.hpp"

namespace egw::cmd {

namespace {

constexpr api::Resource kService{"", "v1", "services", "Service", true};
constexpr const char* kName = "egw-service-range-probe";

} // namespace

std::vector<k8s::Write> ServiceProbe::ask(std::uint64_t& last_tag) {
  std::vector<k8s::Write> requests;
  ++round_;
  told_ = {};
  left_ = 0;
  for (const Family family : {Family::V4, Family::V6}) {
    k8s::Write& w = requests.emplace_back();
    w.verb = k8s::Verb::Create;
    w.resource = &kService;
    // Names of their own: requests for one object would be sent one after the other.
    w.key = {namespace_, fmt::format("{}-{}", kName, family == Family::V4 ? "ipv4" : "ipv6")};
    w.body = fmt::format(
        R"({{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{}","namespace":"{}"}},)"
        R"("spec":{{"clusterIP":"{}","ports":[{{"port":1}}]}}}})",
        w.key.name, namespace_, Address::zero(family).to_string());
    w.field_manager = kControllerManager;
    w.dry_run = true;
    w.tag = ++last_tag;
    asked_[w.tag] = {family, round_};
    ++left_;
  }
  return requests;
}

std::optional<egress::ServiceRangesTold> ServiceProbe::answered(std::uint64_t tag,
                                                                const Result<std::string>& result) {
  const auto at = asked_.find(tag);
  if (at == asked_.end()) return std::nullopt;
  const auto [family, round] = at->second;
  asked_.erase(at);
  if (round != round_) return std::nullopt;
  if (result) { // a dry run: there is no such Service
    told_.problem = fmt::format("the API server would give a Service the address {}",
                                Address::zero(family).to_string());
  } else if (k8s::forbidden(result.error())) {
    told_.problem = fmt::format(
        "to ask the API server, which names the range when it refuses a Service, is not allowed "
        "({}): kubectl apply -k manifests/service-probe allows it",
        result.error().message);
  } else if (k8s::transient(result.error())) {
    told_.problem = result.error().message;
  } else if (const auto refused = egress::range_in_refusal(result.error().message, family)) {
    if (refused->range) told_.ranges.push_back(*refused->range);
  } else {
    told_.problem = refused.error().message;
  }
  if (--left_ > 0) return std::nullopt;
  return std::exchange(told_, {});
}

} // namespace egw::cmd
