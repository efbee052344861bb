// SPDX-License-Identifier: Apache-2.0
#include "api/json_read.hpp"

#include <algorithm>
#include <limits>

namespace egw::api {
namespace {

constexpr std::array<std::pair<const char*, SelectorOperator>, 4> kOperators{
    {{"In", SelectorOperator::In},
     {"NotIn", SelectorOperator::NotIn},
     {"Exists", SelectorOperator::Exists},
     {"DoesNotExist", SelectorOperator::DoesNotExist}}};

// The JSON text of a value, cut where it would fill a message.
std::string shown(const rapidjson::Value& value) {
  constexpr std::size_t kLongest = 60;
  if (value.IsObject()) return "an object";
  if (value.IsArray()) return "a list";
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value.Accept(writer);
  std::string text(buffer.GetString(), buffer.GetSize());
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

bool is_word(std::string_view key) {
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  });
}

void read_owner(const Field& from, OwnerReference& to) {
  from["apiVersion"].read(to.api_version);
  from["kind"].read(to.kind);
  from["name"].read(to.name);
  from["uid"].read(to.uid);
  from["controller"].read(to.controller);
}

void read_meta(const Field& from, ObjectMeta& to) {
  from["name"].read(to.name);
  from["namespace"].read(to.namespace_);
  from["uid"].read(to.uid);
  from["resourceVersion"].read(to.resource_version);
  from["generation"].read(to.generation);
  from["creationTimestamp"].read(to.created);
  to.deleting = from["deletionTimestamp"].present();
  from["labels"].read(to.labels);
  from["annotations"].read(to.annotations);
  from["ownerReferences"].read(to.owners, read_owner);
  from["finalizers"].read(to.finalizers);
}

void read_requirement(const Field& from, SelectorRequirement& to) {
  from["key"].read(to.key);
  if (!from["operator"].present()) from["operator"].missing();
  from["operator"].read(to.op, kOperators);
  from["values"].read(to.values);
}

void read_condition(const Field& from, Condition& to) {
  from["type"].read(to.type);
  from["status"].read(to.status);
  from["reason"].read(to.reason);
  from["message"].read(to.message);
  from["observedGeneration"].read(to.observed_generation);
  from["lastTransitionTime"].read(to.last_transition);
}

template <class T>
void read_parsed(const Field& from, T& to, const char* problem) {
  if (!from.present()) return from.missing();
  std::string text;
  from.read(text);
  if (const auto parsed = T::parse(text)) {
    to = *parsed;
  } else {
    from.fail(problem);
  }
}

} // namespace

Field Field::operator[](std::string_view key) const& {
  if (present() && expect(value_->IsObject(), "an object")) {
    const rapidjson::Value name(
        rapidjson::StringRef(key.data(), static_cast<rapidjson::SizeType>(key.size())));
    const auto member = value_->FindMember(name);
    if (member != value_->MemberEnd()) return {member->value, *this, key, -1};
  }
  return {*this, key};
}

bool Field::expect(bool right_type, std::string_view type) const {
  if (!right_type) fail(fmt::format("is not {}", type));
  return right_type;
}

std::string Field::path() const {
  if (parent_ == nullptr) return {};
  std::string path = parent_->path();
  if (index_ >= 0) return fmt::format("{}[{}]", path, index_);
  if (!is_word(key_)) return fmt::format("{}[{:?}]", path, key_); // labels and such
  if (!path.empty()) path += '.';
  return path.append(key_);
}

void Field::fail(std::string_view problem) const {
  if (!error_->empty()) return;
  if (!present()) return missing();
  const std::string where = path();
  *error_ = fmt::format("{}{}{} {}", where, where.empty() ? "" : ": ", shown(*value_), problem);
}

void Field::missing() const {
  if (error_->empty()) *error_ = path() + " is missing";
}

void Field::read(std::string& to) const {
  if (present() && expect(value_->IsString(), "a string")) {
    to.assign(value_->GetString(), value_->GetStringLength());
  }
}

void Field::read(bool& to) const {
  if (present() && expect(value_->IsBool(), "true or false")) to = value_->GetBool();
}

void Field::read(std::int32_t& to) const {
  if (present() && expect(value_->IsInt(), "an integer of 32 bits")) to = value_->GetInt();
}

void Field::read(std::int64_t& to) const {
  if (present() && expect(value_->IsInt64(), "an integer of 64 bits")) to = value_->GetInt64();
}

void Field::read(WallTime& to) const {
  std::string text;
  read(text);
  if (text.empty()) return;
  to = parse_rfc3339(text);
  if (to == WallTime{} && !text.starts_with("1970-01-01T")) fail("is not a time as in RFC 3339");
}

void Field::read(Address& to) const {
  read_parsed(*this, to, "is not an IPv4 or IPv6 address");
}

void Field::read(Prefix& to) const {
  read_parsed(*this, to, "is not an IPv4 or IPv6 CIDR");
}

void Field::read(Labels& to) const {
  each_member([&](const Field& member) {
    std::string value;
    member.read(value);
    to.set(member.key(), value);
  });
}

void Field::read(LabelSelector& to) const {
  (*this)["matchLabels"].read(to.match_labels);
  (*this)["matchExpressions"].read(to.match_expressions, read_requirement);
}

void Field::read(std::vector<Condition>& to) const {
  read(to, read_condition);
}

void read_head(const Field& root, std::initializer_list<std::string_view> kinds, ObjectMeta& meta) {
  std::string kind;
  root["kind"].read(kind);
  if (!kind.empty() && std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
    root["kind"].fail(fmt::format("is not {}", *kinds.begin()));
  }
  const Field metadata = root["metadata"];
  read_meta(metadata, meta);
  if (meta.name.empty()) metadata["name"].missing();
}

} // namespace egw::api
