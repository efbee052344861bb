// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>
#include <utility>

#include "api/json.hpp"
#include "api/json_parse.hpp"
#include "api/validate.hpp"
#include "fuzz/fuzz.hpp"
#include "fuzz/json.hpp"

// Objects of every kind as JSON. What was read is written, must read as the same, and be written as
// the same text.
using namespace egw;
using namespace egw::api;
using egw::test::require;

namespace {

// Set by the API server: no client writes them.
void forget_server_fields(ObjectMeta& meta) {
  meta.generation = 0;
  meta.created = {};
  meta.deleting = false;
}

template <class T>
void written_again(const T& object, Result<T> (*read)(std::string_view)) {
  const std::string text = encode(object);
  const auto back = read(text);
  require(back.ok(), "what we write can be read");
  require(encode(*back) == text, "and is written as before");
  T same = object;
  forget_server_fields(same.meta);
  require(*back == same, "and is the same");
}

template <class T>
std::optional<T> read(const rapidjson::Value& json) {
  auto object = decode<T>(json);
  require(object || !object.error().message.empty(), "an error has words");
  return object ? std::optional(*std::move(object)) : std::nullopt;
}

template <class T>
void round_trip(const rapidjson::Value& json) {
  if (const auto object = read<T>(json)) written_again<T>(*object, decode_text<T>);
}

template <class T>
void round_trip_and_check(const rapidjson::Value& json) {
  const auto object = read<T>(json);
  if (!object) return;
  for (const Error& error : validate(*object)) require(!error.message.empty(), "a complaint");
  written_again<T>(*object, decode_text<T>);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  rapidjson::Document json, in_place;
  std::string buffer(text);
  const auto parsed = parse_json(json, text);
  const auto parsed_in_place = parse_json_in_situ(in_place, buffer.data());
  const auto zero = text.find('\0');
  if (zero != std::string_view::npos) {
    require(!parsed || text.find_first_not_of('\0', zero) == std::string_view::npos,
            "nothing follows a zero byte");
  } else {
    require(parsed.ok() == parsed_in_place.ok(), "both ways of parsing take the same");
    if (parsed) require(test::json_of(json) == test::json_of(in_place), "and read the same");
  }
  if (!parsed) return 0;

  round_trip_and_check<EgressGateway>(json);
  round_trip_and_check<EgressPolicy>(json);
  round_trip_and_check<EgressClusterInfo>(json);
  round_trip<EgressNode>(json);
  round_trip<EgressEndpointSlice>(json);
  round_trip<Lease>(json);
  round_trip<Secret>(json);
  round_trip<Namespace>(json);
  round_trip<Node>(json);
  if (auto pod = read<Pod>(json)) {
    pod->service_cidrs = {}; // read out of command lines
    written_again<Pod>(*pod, decode_text<Pod>);
  }
  (void)read<EndpointSlice>(json);
  (void)read<WebhookConfiguration>(json);
  for (const RangeKind kind : kRangeKinds) (void)decode_range_object(json, kind);
  for (const PolicyKind kind :
       {PolicyKind::EgressGatewayPolicy, PolicyKind::EgressPolicy, PolicyKind::EgressClusterPolicy})
    (void)decode_policy(json, kind);
  return 0;
}
