// SPDX-License-Identifier: Apache-2.0
#include "api/json_parse.hpp"

#include <fmt/format.h>

namespace egw::api {
namespace {

using rapidjson::SizeType;

// Hands everything on to the document and stops the parser when the text goes too deep.
class DepthLimit {
 public:
  using Ch = char;
  explicit DepthLimit(rapidjson::Document& to) : to_(to) {}

  bool Null() { return to_.Null(); }
  bool Bool(bool b) { return to_.Bool(b); }
  bool Int(int i) { return to_.Int(i); }
  bool Uint(unsigned u) { return to_.Uint(u); }
  bool Int64(std::int64_t i) { return to_.Int64(i); }
  bool Uint64(std::uint64_t u) { return to_.Uint64(u); }
  bool Double(double d) { return to_.Double(d); }
  bool RawNumber(const Ch* s, SizeType n, bool copy) { return to_.RawNumber(s, n, copy); }
  bool String(const Ch* s, SizeType n, bool copy) { return to_.String(s, n, copy); }
  bool Key(const Ch* s, SizeType n, bool copy) { return to_.Key(s, n, copy); }
  bool StartObject() { return deeper() && to_.StartObject(); }
  bool EndObject(SizeType n) { return --depth_, to_.EndObject(n); }
  bool StartArray() { return deeper() && to_.StartArray(); }
  bool EndArray(SizeType n) { return --depth_, to_.EndArray(n); }

 private:
  bool deeper() { return ++depth_ <= kMaxJsonDepth; }
  rapidjson::Document& to_;
  int depth_ = 0;
};

template <unsigned flags, class Stream>
Result<void> parse(rapidjson::Document& into, Stream& stream) {
  rapidjson::ParseResult result;
  const auto generate = [&](rapidjson::Document& document) {
    DepthLimit handler(document);
    rapidjson::Reader reader;
    result = reader.Parse < rapidjson::kParseIterativeFlag | flags > (stream, handler);
    return !result.IsError();
  };
  into.Populate(generate);
  if (!result.IsError()) return {};
  if (result.Code() == rapidjson::kParseErrorTermination) {
    return Error{fmt::format("JSON is nested deeper than {} levels, at byte {}", kMaxJsonDepth,
                             result.Offset())};
  }
  return Error{fmt::format("not JSON: {} (byte {})", rapidjson::GetParseError_En(result.Code()),
                           result.Offset())};
}

} // namespace

Result<void> parse_json(rapidjson::Document& into, std::string_view text) {
  rapidjson::MemoryStream stream(text.data(), text.size());
  auto parsed = parse<rapidjson::kParseNoFlags>(into, stream);
  // RapidJSON takes a zero byte for the end, whatever comes behind it.
  if (parsed && text.find_first_not_of('\0', stream.Tell()) != std::string_view::npos) {
    return Error{fmt::format("not JSON: something follows its end (byte {})", stream.Tell())};
  }
  return parsed;
}

Result<void> parse_json_in_situ(rapidjson::Document& into, char* text) {
  rapidjson::InsituStringStream stream(text);
  return parse<rapidjson::kParseInsituFlag>(into, stream);
}

} // namespace egw::api
