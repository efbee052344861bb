// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_watches.hpp"

#include <fmt/format.h>

#include <type_traits>
#include <utility>

#include "api/json.hpp"
#include "base/log.hpp"
#include "egress/names.hpp"
#include "k8s/watch.hpp"
#include "version.hpp"

namespace egw::cmd {

// The whole file is about these values.
// NOLINTNEXTLINE(google-build-using-namespace)
using namespace egress::agent;

struct AgentWatches::Running {
  const std::string name;
  explicit Running(std::string n) : name(std::move(n)) {}
  virtual ~Running() = default;
  virtual void stop() = 0;
  [[nodiscard]] virtual const k8s::WatchMetrics& metrics() const = 0;
};

template <class T>
struct AgentWatches::Of : Running {
  k8s::Watch<T> watch;
  template <class... A>
  explicit Of(std::string n, A&&... a) : Running(std::move(n)), watch(std::forward<A>(a)...) {}
  void stop() override { watch.stop(); }
  [[nodiscard]] const k8s::WatchMetrics& metrics() const override { return watch.metrics(); }
};

void AgentWatches::set_fault(const std::string& name, std::optional<std::string> fault) {
  bool was = false;
  {
    const std::lock_guard lock(mutex_);
    was = faults_.erase(name) > 0;
    if (fault) faults_[name] = *fault;
  }
  if (fault && !was) log::warn("watch of {}: {}", name, *fault);
  if (!fault && was) log::info("watch of {}: works again", name);
}

// `convert` makes the core's event of Replaced, Upsert and Deleted; the rest is the same for all.
template <class T, class Convert>
std::unique_ptr<AgentWatches::Running> AgentWatches::make(std::string name,
                                                          const api::Resource& resource,
                                                          std::string labels, std::string fields,
                                                          const Convert& convert) {
  k8s::WatchOptions options;
  options.resource = &resource;
  options.label_selector = std::move(labels);
  options.field_selector = std::move(fields);
  options.metadata_only = std::is_same_v<T, api::Namespace>;
  options.user_agent = fmt::format("egw-agent/{}", version());
  options.group = group_;
  k8s::Decoder<T> decode;
  if constexpr (std::is_same_v<T, api::EgressPolicy>) {
    decode = [kind = convert.kind](const rapidjson::Value& object) {
      return api::decode_policy(object, kind);
    };
  } else {
    decode = &api::decode<T>;
  }
  auto sink = [this, name, convert](k8s::WatchEvent<T>&& event) {
    if (const auto* status = std::get_if<k8s::WatchStatus>(&event)) {
      if (status->expired) return;
      set_fault(name, status->error ? std::optional(status->error->message) : std::nullopt);
    } else if (const auto* broken = std::get_if<k8s::Broken>(&event)) {
      log::warn("{} {}: {}; what was known of it stays", name, broken->key.to_string(),
                broken->error.message);
    } else if (auto* all = std::get_if<k8s::Replaced<T>>(&event)) {
      sink_(convert(*all));
    } else if (auto* upsert = std::get_if<k8s::Upsert<T>>(&event)) {
      sink_(convert(*upsert));
    } else {
      sink_(convert(std::get<k8s::Deleted>(event)));
    }
  };
  return std::make_unique<Of<T>>(std::move(name), config_, std::move(options),
                                 k8s::WatchSink<T>(std::move(sink)), std::move(decode));
}

namespace {

template <class T>
struct Plain {
  Event operator()(k8s::Replaced<T>& e) const {
    return Listed<T>{std::move(e.items), std::move(e.broken)};
  }
  Event operator()(k8s::Upsert<T>& e) const { return Changed<T>{std::move(e.object)}; }
  Event operator()(k8s::Deleted& e) const { return Gone<T>{std::move(e.key)}; }
};

struct Policies {
  api::PolicyKind kind;
  Event operator()(k8s::Replaced<api::EgressPolicy>& e) const {
    return PoliciesListed{kind, std::move(e.items), std::move(e.broken)};
  }
  Event operator()(k8s::Upsert<api::EgressPolicy>& e) const {
    return Changed<api::EgressPolicy>{std::move(e.object)};
  }
  Event operator()(k8s::Deleted& e) const {
    return PolicyGone{{kind, std::move(e.key.namespace_), std::move(e.key.name)}};
  }
};

struct Slices {
  SliceScope scope;
  Event operator()(k8s::Replaced<api::EgressEndpointSlice>& e) const {
    return SlicesListed{scope, std::move(e.items), std::move(e.broken)};
  }
  Event operator()(k8s::Upsert<api::EgressEndpointSlice>& e) const {
    return SliceChanged{scope, std::move(e.object)};
  }
  Event operator()(k8s::Deleted& e) const { return SliceGone{scope, std::move(e.key)}; }
};

} // namespace

template <class T>
void AgentWatches::add(const api::Resource& resource, const std::string& fields) {
  running_.push_back(make<T>(resource.kind, resource, "", fields, Plain<T>{}));
}

void AgentWatches::add_policies(api::PolicyKind kind) {
  const api::Resource& resource = api::policy_resource(kind);
  running_.push_back(make<api::EgressPolicy>(resource.kind, resource, "", "", Policies{kind}));
}

std::unique_ptr<AgentWatches::Running> AgentWatches::slices(const SliceScope& scope) {
  const api::Resource& resource = api::slice_resource(scope.cluster);
  return make<api::EgressEndpointSlice>(
      fmt::format("{} of {}", resource.kind, scope.gateway), resource,
      fmt::format("{}={}", api::kLabelGateway, egress::label_value(scope.gateway)), "",
      Slices{scope});
}

AgentWatches::AgentWatches(k8s::Config config, const std::string& node, Sink sink)
    : config_(std::move(config)), sink_(std::move(sink)) {
  add<api::EgressGateway>(api::resource<api::EgressGateway>());
  add<api::EgressNode>(api::resource<api::EgressNode>());
  add<api::EgressClusterInfo>(api::resource<api::EgressClusterInfo>());
  add<api::Namespace>(api::resource<api::Namespace>());
  // Never the whole cluster's pods.
  add<api::Pod>(api::resource<api::Pod>(), "spec.nodeName=" + node);
  for (const auto kind : {api::PolicyKind::EgressGatewayPolicy, api::PolicyKind::EgressPolicy,
                          api::PolicyKind::EgressClusterPolicy}) {
    add_policies(kind);
  }
}

AgentWatches::~AgentWatches() {
  stop();
}

void AgentWatches::slices_of(const std::set<std::string>& gateways) {
  for (auto watch = slices_.begin(); watch != slices_.end();) {
    if (gateways.contains(watch->first.gateway)) {
      ++watch;
      continue;
    }
    const std::string name = watch->second->name;
    std::unique_ptr<Running> ended;
    {
      const std::lock_guard lock(mutex_); // views() looks at them
      ended = std::move(watch->second);
      watch = slices_.erase(watch);
    }
    ended.reset(); // without the lock, which its last status may need
    const std::lock_guard lock(mutex_);
    faults_.erase(name);
  }
  for (const std::string& gateway : gateways) {
    for (const bool cluster : {false, true}) {
      const SliceScope scope{gateway, cluster};
      if (slices_.contains(scope)) continue;
      auto watch = slices(scope);
      const std::lock_guard lock(mutex_);
      slices_.emplace(scope, std::move(watch));
    }
  }
}

void AgentWatches::stop() {
  for (const auto& watch : running_) watch->stop();
  for (const auto& [scope, watch] : slices_) watch->stop();
}

std::vector<AgentWatches::View> AgentWatches::views() const {
  std::vector<View> out;
  const std::lock_guard lock(mutex_);
  const auto add = [&](const Running& watch) {
    View view{watch.name, &watch.metrics(), std::nullopt};
    if (const auto at = faults_.find(watch.name); at != faults_.end()) view.fault = at->second;
    out.push_back(std::move(view));
  };
  for (const auto& watch : running_) add(*watch);
  for (const auto& [scope, watch] : slices_) add(*watch);
  return out;
}

} // namespace egw::cmd
