// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "api/rapidjson.hpp"
#include "base/error.hpp"

namespace egw::api {

// Objects and lists inside one another. Kubernetes' own deepest kinds stay below thirty.
inline constexpr int kMaxJsonDepth = 100;

// Text to a document. Memory is bounded by the text, the stack by nothing in it: RapidJSON's
// recursive parser dies of a million '['. Errors: not JSON (with the byte), deeper than
// kMaxJsonDepth, something after the end.
[[nodiscard]] Result<void> parse_json(rapidjson::Document& into, std::string_view text);

// The same with strings left in `text`, which ends with a zero byte, is overwritten, and must
// outlive the document.
[[nodiscard]] Result<void> parse_json_in_situ(rapidjson::Document& into, char* text);

} // namespace egw::api
