// SPDX-License-Identifier: Apache-2.0
#include "egress/model_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "api/json.hpp"
#include "base/chrono.hpp"
#include "egress/slices.hpp"

namespace egw::egress::test {

namespace {

api::ObjectMeta& meta_of(Object& object) {
  return std::visit([](auto& o) -> api::ObjectMeta& { return o.meta; }, object);
}

template <class T>
T through_json(const T& object) {
  auto decoded = api::decode_text<T>(api::encode(object));
  if (!decoded) throw std::logic_error("the model can't read back: " + decoded.error().message);
  decoded->meta = object.meta;
  return *std::move(decoded);
}

Object through_json(const Object& object) {
  return std::visit(
      [](const auto& o) -> Object {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, api::EgressGateway> ||
                      std::is_same_v<T, api::EgressPolicy> || std::is_same_v<T, api::EgressNode> ||
                      std::is_same_v<T, api::EgressClusterInfo> ||
                      std::is_same_v<T, api::EgressEndpointSlice>) {
          return through_json(o);
        } else {
          return o;
        }
      },
      object);
}

// Copies the status of `from`; for kinds without one does nothing.
void copy_status(const Object& from, Object& to) {
  std::visit(
      [&](auto& o) {
        if constexpr (requires { o.status; }) {
          o.status = std::get<std::decay_t<decltype(o)>>(from).status;
        }
      },
      to);
}

bool same_spec(const Object& a, const Object& b) {
  Object x = b;
  copy_status(a, x);
  meta_of(x) = egress::meta_of(a);
  return x == a;
}

std::optional<std::string> wrong(const Object& object) {
  for (const auto& [key, value] : egress::meta_of(object).labels.items()) {
    if (value.size() > 63) return "a label value of more than 63 characters";
  }
  if (egress::meta_of(object).name.size() > 253) return "a name of more than 253 characters";
  if (const auto* slice = std::get_if<api::EgressEndpointSlice>(&object)) {
    if (slice->endpoints.size() > kMaxEndpoints) return "a slice of more than 100 endpoints";
  }
  if (const auto* gateway = std::get_if<api::EgressGateway>(&object)) {
    for (const auto& node : gateway->status.node_list) {
      for (const auto& e : node.eips) {
        if (e.id < 1 || e.id > api::kMaxEipId) return "an EIP id out of bounds";
      }
    }
  }
  return std::nullopt;
}

} // namespace

void ModelApi::store(const ObjectKey& key, Object object) {
  meta_of(object).resource_version = std::to_string(++version_);
  events_[key.kind].push_back(Upsert{object});
  objects_[key] = std::move(object);
}

void ModelApi::put(Object object) {
  const ObjectKey key = key_of(object);
  api::ObjectMeta& meta = meta_of(object);
  const auto at = objects_.find(key);
  if (at == objects_.end()) {
    meta.uid = fmt::format("uid-{}", ++uids_);
    meta.created = std::chrono::floor<std::chrono::seconds>(wall);
    meta.generation = 1;
  } else {
    const api::ObjectMeta& known = egress::meta_of(at->second);
    meta.uid = known.uid;
    meta.created = known.created;
    meta.generation = known.generation + (same_spec(at->second, object) ? 0 : 1);
    copy_status(at->second, object);
  }
  store(key, through_json(object));
}

bool ModelApi::remove(const ObjectKey& key) {
  const auto at = objects_.find(key);
  if (at == objects_.end()) return false;
  const std::string uid = egress::meta_of(at->second).uid;
  events_[key.kind].push_back(Deleted{key, uid, std::to_string(++version_)});
  objects_.erase(at);
  collect_garbage(uid);
  return true;
}

void ModelApi::collect_garbage(const std::string& uid) {
  std::vector<ObjectKey> orphans;
  for (const auto& [key, object] : objects_) {
    const auto& owners = egress::meta_of(object).owners;
    if (owners.size() == 1 && owners.front().uid == uid) orphans.push_back(key);
  }
  for (const ObjectKey& key : orphans) remove(key);
}

void ModelApi::agent(const std::string& node, const std::string& datapath_ready,
                     const api::TunnelParent& parent) {
  const ObjectKey key{Kind::EgressNode, "", node};
  const auto at = objects_.find(key);
  if (at == objects_.end()) return;
  auto egress_node = std::get<api::EgressNode>(at->second);
  api::set_condition(
      egress_node.status.conditions,
      {"DatapathReady", datapath_ready, "Agent", "", egress_node.meta.generation, {}}, wall);
  egress_node.status.parent = parent;
  if (Object(egress_node) != at->second) store(key, egress_node);
}

WriteDone ModelApi::write(const Write& write) {
  const ObjectKey key = key_of(write.object);
  const api::ObjectMeta& sent = egress::meta_of(write.object);
  WriteDone done{key, WriteDone::Outcome::Ok, std::nullopt};
  const auto refuse = [&](WriteDone::Outcome outcome) {
    done.outcome = outcome;
    return done;
  };
  if (const auto why = wrong(write.object)) {
    refused.push_back(fmt::format("{} {}: {}", to_string(write.verb), key.name, *why));
    return refuse(WriteDone::Outcome::Failed);
  }
  const auto at = objects_.find(key);
  if (write.verb == WriteVerb::Create) {
    if (at != objects_.end()) return refuse(WriteDone::Outcome::Conflict);
    Object fresh = write.object;
    std::visit(
        [](auto& o) {
          if constexpr (requires { o.status; }) o.status = {}; // a subresource
        },
        fresh);
    put(fresh);
  } else {
    if (at == objects_.end()) return refuse(WriteDone::Outcome::NotFound);
    const api::ObjectMeta& known = egress::meta_of(at->second);
    if (write.verb == WriteVerb::Remove) {
      if (!sent.uid.empty() && sent.uid != known.uid) return refuse(WriteDone::Outcome::Conflict);
      remove(key);
      ++writes[write.verb];
      return done;
    }
    const bool swap = write.verb != WriteVerb::ApplyStatus && write.verb != WriteVerb::RemoveTaint;
    if (swap && sent.resource_version != known.resource_version) {
      return refuse(WriteDone::Outcome::Conflict);
    }
    Object next = at->second;
    switch (write.verb) {
      case WriteVerb::Update: {
        next = write.object;
        copy_status(at->second, next);
        break;
      }
      case WriteVerb::UpdateStatus:
        copy_status(write.object, next);
        break;
      case WriteVerb::FillGateway: {
        auto& policy = std::get<api::EgressPolicy>(next);
        if (!policy.spec.gateway.empty()) {
          refused.push_back("egressGatewayName is immutable");
          return refuse(WriteDone::Outcome::Failed);
        }
        policy.spec.gateway = std::get<api::EgressPolicy>(write.object).spec.gateway;
        ++policy.meta.generation;
        break;
      }
      case WriteVerb::ApplyStatus: {
        // Two field managers: what is the agent's stays.
        auto& node = std::get<api::EgressNode>(next);
        const auto mine = node.status;
        node.status = std::get<api::EgressNode>(write.object).status;
        node.status.parent = mine.parent;
        node.status.agent = mine.agent;
        std::erase_if(node.status.conditions,
                      [](const auto& c) { return c.type == "DatapathReady"; });
        if (const auto* ready = api::find_condition(mine.conditions, "DatapathReady")) {
          node.status.conditions.insert(node.status.conditions.begin(), *ready);
        }
        break;
      }
      case WriteVerb::RemoveTaint: { // a JSON patch: by the place where it stood
        auto& taints = std::get<api::Node>(next).taints;
        const auto& seen = std::get<api::Node>(write.object).taints;
        const auto place = std::ranges::find(seen, api::kTaintAgentNotReady) - seen.begin();
        if (place >= std::ssize(taints) ||
            taints[static_cast<std::size_t>(place)] != api::kTaintAgentNotReady) {
          return refuse(WriteDone::Outcome::Failed);
        }
        taints.erase(taints.begin() + place);
        break;
      }
      case WriteVerb::Create:
      case WriteVerb::Remove:
        break;
    }
    next = through_json(next);
    if (next != at->second) store(key, std::move(next)); // the real one writes no identical object
  }
  ++writes[write.verb];
  done.object = objects_.at(key);
  return done;
}

std::optional<Event> ModelApi::next(Kind kind) {
  auto& queue = events_[kind];
  if (queue.empty()) return std::nullopt;
  Event event = std::move(queue.front());
  queue.pop_front();
  return event;
}

bool ModelApi::has_events(Kind kind) const {
  const auto at = events_.find(kind);
  return at != events_.end() && !at->second.empty();
}

Replaced ModelApi::list(Kind kind) const {
  Replaced list{kind, {}, {}, std::to_string(version_)};
  for (const auto& [key, object] : objects_) {
    if (key.kind == kind) list.objects.push_back(object);
  }
  return list;
}

std::vector<Event> ModelApi::lists() {
  std::vector<Event> events;
  for (std::size_t i = 0; i < kKinds; ++i) events.emplace_back(list(static_cast<Kind>(i)));
  events_.clear();
  return events;
}

} // namespace egw::egress::test
