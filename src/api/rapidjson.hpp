// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>

// RapidJSON is included by this header alone: what it asserts (a wrong type, a missing member) must
// throw in every build instead of ending the process or, with NDEBUG, reading beyond the value. All
// translation units need the same definition, or the linker takes whichever it meets first.
#ifdef RAPIDJSON_ASSERT
#error "include api/rapidjson.hpp instead of RapidJSON's own headers"
#endif

namespace egw::api {
[[noreturn]] inline void json_assertion_failed(const char* what) {
  throw std::logic_error(what);
}
} // namespace egw::api

#define RAPIDJSON_ASSERT(x) \
  ((x) ? static_cast<void>(0) : ::egw::api::json_assertion_failed("RapidJSON: " #x))
#define RAPIDJSON_ASSERT_THROWS 1

// IWYU pragma: begin_exports
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
// IWYU pragma: end_exports
