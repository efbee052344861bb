// SPDX-License-Identifier: Apache-2.0
#include "k8s/json_value.hpp"

namespace egw::k8s {

const rapidjson::Value* member(const rapidjson::Value& object, const char* name) {
  if (!object.IsObject()) return nullptr;
  const auto i = object.FindMember(name);
  return i == object.MemberEnd() ? nullptr : &i->value;
}

rapidjson::Value* member(rapidjson::Value& object, const char* name) {
  if (!object.IsObject()) return nullptr;
  const auto i = object.FindMember(name);
  return i == object.MemberEnd() ? nullptr : &i->value;
}

std::string text(const rapidjson::Value* object, const char* name) {
  const auto* value = object == nullptr ? nullptr : member(*object, name);
  if (value == nullptr || !value->IsString()) return {};
  return {value->GetString(), value->GetStringLength()};
}

ObjectHead object_head(const rapidjson::Value& object) {
  const auto* meta = member(object, "metadata");
  return {{text(meta, "namespace"), text(meta, "name")},
          text(meta, "uid"),
          text(meta, "resourceVersion")};
}

} // namespace egw::k8s
