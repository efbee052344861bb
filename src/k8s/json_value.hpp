// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "api/meta.hpp"
#include "api/rapidjson.hpp"

// What is read from objects before their kind's decoder sees them.
namespace egw::k8s {

// nullptr: no object, or no such member.
[[nodiscard]] const rapidjson::Value* member(const rapidjson::Value& object, const char* name);
[[nodiscard]] rapidjson::Value* member(rapidjson::Value& object, const char* name);
// Empty: the object is nullptr, or has no such text.
[[nodiscard]] std::string text(const rapidjson::Value* object, const char* name);

// metadata.namespace, name, uid and resourceVersion of any object; empty where there is none.
struct ObjectHead {
  api::NamespacedName key;
  std::string uid, resource_version;
};
[[nodiscard]] ObjectHead object_head(const rapidjson::Value& object);

} // namespace egw::k8s
