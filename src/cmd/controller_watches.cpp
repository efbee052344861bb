// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_watches.hpp"

#include <fmt/format.h>

#include <iterator>
#include <type_traits>
#include <utility>

#include "api/json.hpp"
#include "base/log.hpp"
#include "k8s/client.hpp"
#include "k8s/watch.hpp"
#include "version.hpp"

namespace egw::cmd {

struct ControllerWatches::Running {
  egress::Kind kind;
  virtual ~Running() = default;
  virtual void stop() = 0;
  virtual void begin_round() = 0;
  [[nodiscard]] virtual const k8s::WatchMetrics& metrics() const = 0;
  explicit Running(egress::Kind k) : kind(k) {}
};

template <class T>
struct ControllerWatches::Of : Running {
  k8s::Watch<T> watch;
  template <class... A>
  explicit Of(egress::Kind k, A&&... a) : Running(k), watch(std::forward<A>(a)...) {}
  void stop() override { watch.stop(); }
  void begin_round() override { watch.begin_round(); }
  [[nodiscard]] const k8s::WatchMetrics& metrics() const override { return watch.metrics(); }
};

namespace {

template <class T>
k8s::Decoder<T> decoder(egress::Kind kind) {
  if constexpr (std::is_same_v<T, api::EgressPolicy>) {
    return [k = egress::policy_kind(kind).value()](const rapidjson::Value& object) {
      return api::decode_policy(object, k);
    };
  } else if constexpr (std::is_same_v<T, api::RangeObject>) {
    return [k = egress::range_kind(kind).value()](const rapidjson::Value& object) {
      return api::decode_range_object(object, k);
    };
  } else {
    return &api::decode<T>;
  }
}

k8s::WatchOptions options(egress::Kind kind, const api::Resource& resource) {
  k8s::WatchOptions o;
  o.resource = &resource;
  o.piece_size = 500;
  o.user_agent = fmt::format("egw-controller/{}", version());
  switch (kind) {
    case egress::Kind::Pod: // those that have ended are never endpoints
      o.field_selector = "status.phase!=Succeeded,status.phase!=Failed";
      break;
    case egress::Kind::Namespace:
      o.metadata_only = true;
      break;
    case egress::Kind::EndpointSlice:
      o.namespace_ = "default";
      o.label_selector = "kubernetes.io/service-name=kubernetes";
      break;
    // By name, which a role can be limited to, and in all namespaces: theirs may come later.
    case egress::Kind::CiliumConfig:
      o.field_selector = fmt::format("metadata.name={}", api::kCiliumConfigName);
      break;
    case egress::Kind::FlannelConfig:
      o.field_selector = fmt::format("metadata.name={}", api::kFlannelConfigName);
      break;
    case egress::Kind::ServiceCidr:
      o.other_version = api::older_range_resource(api::RangeKind::ServiceCidr);
      break;
    default:
      break;
  }
  return o;
}

// Nothing: it tells about the watch, not about objects.
template <class T>
std::optional<egress::Event> take_event(egress::Kind kind, k8s::WatchEvent<T>& event) {
  if (auto* all = std::get_if<k8s::Replaced<T>>(&event)) {
    egress::Replaced list{
        kind,      {},        std::move(all->broken), std::move(all->resource_version), all->begins,
        all->ends, all->round};
    list.objects.assign(std::make_move_iterator(all->items.begin()),
                        std::make_move_iterator(all->items.end()));
    return list;
  }
  if (auto* upsert = std::get_if<k8s::Upsert<T>>(&event)) {
    return egress::Upsert{std::move(upsert->object)};
  }
  if (auto* deleted = std::get_if<k8s::Deleted>(&event)) {
    return egress::Deleted{{kind, std::move(deleted->key.namespace_), std::move(deleted->key.name)},
                           std::move(deleted->uid),
                           std::move(deleted->resource_version)};
  }
  if (auto* broken = std::get_if<k8s::Broken>(&event)) {
    return egress::Unreadable{
        {kind, std::move(broken->key.namespace_), std::move(broken->key.name)}};
  }
  return std::nullopt;
}

} // namespace

void ControllerWatches::set_status(egress::Kind kind, const k8s::WatchStatus& status) {
  const std::optional<Error>& fault = status.error;
  // A cluster may lack these kinds, and they may come later: then there is nothing of them now.
  const bool optional = egress::range_kind(kind).has_value();
  const bool absent = optional && fault && k8s::not_found(*fault);
  bool was = false, was_absent = false;
  {
    const std::lock_guard lock(mutex_);
    was = faults_.erase(kind) > 0;
    was_absent = absent_.erase(kind) > 0;
    if (absent) {
      absent_.insert(kind);
    } else if (fault) {
      faults_[kind] = fault->message;
    }
  }
  if (absent && !was_absent)
    log::info("watch of {}: the cluster has none", egress::to_string(kind));
  if (fault && !absent && !was) {
    log::warn("watch of {}: {}", egress::to_string(kind), fault->message);
  }
  if (!fault && was) log::info("watch of {}: works again", egress::to_string(kind));
  if (!fault && was_absent)
    log::info("watch of {}: the cluster has them now", egress::to_string(kind));
  // What passes by itself is waited for; no rights and no such kind is an answer. So is any other
  // refusal where an egress gateway can do without.
  const auto passes = [](int code) {
    return code < 400 || code == 401 || code == 429 || code == 503;
  };
  const bool denied =
      fault && !absent &&
      (optional ? !passes(fault->code) : fault->code == 403 || k8s::not_found(*fault));
  if (denied) {
    sink_(egress::Access{kind, fault->message});
  } else if ((!fault || absent) && was) {
    sink_(egress::Access{kind, std::nullopt});
  }
  if (absent) {
    sink_(egress::Replaced{kind, {}, {}, "", true, true, status.round});
  } else if (fault) {
    sink_(egress::FellBehind{kind});
  } else {
    sink_(egress::Reopened{kind, status.round});
  }
}

template <class T>
void ControllerWatches::add(egress::Kind kind, const k8s::Config& config,
                            const api::Resource& resource) {
  const auto sink = [this, kind](k8s::WatchEvent<T> event) {
    const auto* status = std::get_if<k8s::WatchStatus>(&event);
    if (status != nullptr && status->expired) {
      sink_(egress::FellBehind{kind});
    } else if (status != nullptr) {
      set_status(kind, *status);
    } else if (auto converted = take_event<T>(kind, event)) {
      sink_(*std::move(converted));
    }
  };
  auto with_group = options(kind, resource);
  with_group.group = group_;
  running_.push_back(std::make_unique<Of<T>>(kind, config, std::move(with_group),
                                             k8s::WatchSink<T>(sink), decoder<T>(kind)));
}

ControllerWatches::ControllerWatches(const k8s::Config& config, Sink sink)
    : sink_(std::move(sink)) {
  using egress::Kind;
  add<api::Node>(Kind::Node, config, api::resource<api::Node>());
  add<api::Pod>(Kind::Pod, config, api::resource<api::Pod>());
  add<api::Namespace>(Kind::Namespace, config, api::resource<api::Namespace>());
  add<api::EndpointSlice>(Kind::EndpointSlice, config, api::resource<api::EndpointSlice>());
  add<api::EgressGateway>(Kind::Gateway, config, api::resource<api::EgressGateway>());
  for (const auto kind : {api::PolicyKind::EgressGatewayPolicy, api::PolicyKind::EgressPolicy,
                          api::PolicyKind::EgressClusterPolicy}) {
    add<api::EgressPolicy>(egress::kind_of(kind), config, api::policy_resource(kind));
  }
  add<api::EgressNode>(Kind::EgressNode, config, api::resource<api::EgressNode>());
  add<api::EgressEndpointSlice>(Kind::Slice, config, api::slice_resource(false));
  add<api::EgressEndpointSlice>(Kind::ClusterSlice, config, api::slice_resource(true));
  add<api::EgressClusterInfo>(Kind::ClusterInfo, config, api::resource<api::EgressClusterInfo>());
  for (const api::RangeKind kind : api::kRangeKinds) {
    add<api::RangeObject>(egress::kind_of(kind), config, api::range_resource(kind));
  }
}

ControllerWatches::~ControllerWatches() {
  stop();
}

std::uint64_t ControllerWatches::begin_round() {
  for (const auto& watch : running_) watch->begin_round();
  return ++round_;
}

void ControllerWatches::stop() {
  for (const auto& watch : running_) watch->stop();
}

std::vector<ControllerWatches::View> ControllerWatches::views() const {
  std::vector<View> out;
  const std::lock_guard lock(mutex_);
  for (const auto& watch : running_) {
    View view{watch->kind, &watch->metrics(), std::nullopt, absent_.contains(watch->kind)};
    if (const auto at = faults_.find(watch->kind); at != faults_.end()) view.fault = at->second;
    out.push_back(std::move(view));
  }
  return out;
}

} // namespace egw::cmd
