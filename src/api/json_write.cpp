// SPDX-License-Identifier: Apache-2.0
#include "api/json_write.hpp"

#include <array>

namespace egw::api {
namespace {

const char* to_string(SelectorOperator op) {
  switch (op) {
    case SelectorOperator::In:
      return "In";
    case SelectorOperator::NotIn:
      return "NotIn";
    case SelectorOperator::Exists:
      return "Exists";
    case SelectorOperator::DoesNotExist:
      return "DoesNotExist";
  }
  return "";
}

} // namespace

void JsonWriter::put(std::string_view value) {
  json_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

void JsonWriter::begin(std::string_view key) {
  for (const std::string_view outer : pending_) {
    put(outer);
    json_.StartObject();
  }
  pending_.clear();
  put(key);
}

void JsonWriter::item(std::string_view value) {
  put(value);
}

void JsonWriter::always_text(std::string_view key, std::string_view value) {
  begin(key);
  put(value);
}

void JsonWriter::always_number(std::string_view key, std::int64_t value) {
  begin(key);
  json_.Int64(value);
}

void JsonWriter::always_flag(std::string_view key, bool value) {
  begin(key);
  json_.Bool(value);
}

void JsonWriter::always_texts(std::string_view key, const std::vector<std::string>& values) {
  begin(key);
  json_.StartArray();
  for (const std::string& value : values) put(value);
  json_.EndArray();
}

void JsonWriter::text(std::string_view key, std::string_view value) {
  if (!value.empty()) always_text(key, value);
}

void JsonWriter::number(std::string_view key, std::int64_t value) {
  if (value != 0) always_number(key, value);
}

void JsonWriter::flag(std::string_view key, bool value) {
  if (value) always_flag(key, value);
}

void JsonWriter::time(std::string_view key, WallTime value) {
  if (value != WallTime{}) always_text(key, rfc3339(value));
}

void JsonWriter::micro_time(std::string_view key, WallTime value) {
  if (value != WallTime{}) always_text(key, rfc3339_micro(value));
}

void JsonWriter::texts(std::string_view key, const std::vector<std::string>& values) {
  if (!values.empty()) always_texts(key, values);
}

void JsonWriter::labels(std::string_view key, const Labels& values) {
  object(key, [&] {
    for (const auto& [name, value] : values.items()) always_text(name, value);
  });
}

void JsonWriter::selector(std::string_view key, const LabelSelector& value) {
  always_object(key, [&] {
    labels("matchLabels", value.match_labels);
    objects("matchExpressions", value.match_expressions, [&](const SelectorRequirement& r) {
      text("key", r.key);
      text("operator", to_string(r.op));
      texts("values", r.values);
    });
  });
}

void JsonWriter::conditions(const std::vector<Condition>& values) {
  objects("conditions", values, [&](const Condition& c) {
    text("type", c.type);
    text("status", c.status);
    number("observedGeneration", c.observed_generation);
    time("lastTransitionTime", c.last_transition);
    text("reason", c.reason);
    text("message", c.message);
  });
}

void write_type(JsonWriter& w, const Resource& resource) {
  const std::string version = resource.version;
  const std::string group = resource.group;
  w.text("apiVersion", group.empty() ? version : group + "/" + version);
  w.text("kind", resource.kind);
}

void write_meta(JsonWriter& w, const ObjectMeta& meta) {
  w.object("metadata", [&] {
    w.text("name", meta.name);
    w.text("namespace", meta.namespace_);
    w.text("uid", meta.uid);
    w.text("resourceVersion", meta.resource_version);
    w.labels("labels", meta.labels);
    w.labels("annotations", meta.annotations);
    w.objects("ownerReferences", meta.owners, [&](const OwnerReference& owner) {
      w.text("apiVersion", owner.api_version);
      w.text("kind", owner.kind);
      w.text("name", owner.name);
      w.text("uid", owner.uid);
      w.flag("controller", owner.controller);
    });
    w.texts("finalizers", meta.finalizers);
  });
}

} // namespace egw::api
