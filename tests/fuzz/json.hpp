// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "api/rapidjson.hpp"

namespace egw::test {

// Documents that say the same have the same text; RapidJSON's own comparison takes a document in
// which a name comes twice for another than itself.
inline std::string json_of(const rapidjson::Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

} // namespace egw::test
