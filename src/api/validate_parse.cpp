// SPDX-License-Identifier: Apache-2.0
#include "api/validate_parse.hpp"

#include <algorithm>

namespace egw::api {
namespace {

// Nobody can be reached at these, so nobody could answer an EIP that is one of them.
const IntervalSet& unusable() {
  static const IntervalSet set = [] {
    IntervalSet s;
    for (const char* text : {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",
                             "255.255.255.255/32", "::/127", "fe80::/10", "ff00::/8"}) {
      s.add(Prefix::parse(text).value());
    }
    return s;
  }();
  return set;
}

// "10.6.1.72/29" is a subnet, so its network and broadcast address are nobody's; /31 and /32 have
// neither (RFC 3021), nor has IPv6.
Range without_ends(Range range) {
  if (range.family() == Family::V4 && range.size() >= 4) {
    range.first = range.first.next().value();
    range.last = range.last.prev().value();
  }
  return range;
}

void check_pool(Errors& errors, IntervalSet& to, Family family,
                const std::vector<std::string>& texts) {
  const char* field = family == Family::V4 ? "spec.ippools.ipv4" : "spec.ippools.ipv6";
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    if (text.empty()) continue; // as examples write it where a family has no pool
    const Result<Range> range = Range::parse(text);
    if (!range.ok()) {
      complain(errors, "{}[{}]: {:?} is not an address, a range (FIRST-LAST) or a CIDR: {}", field,
               i, text, range.error().message);
      continue;
    }
    if (range->family() != family) {
      complain(errors, "{}[{}]: {:?} is not {}: put it into spec.ippools.{}", field, i, text,
               name_of(family), family == Family::V4 ? "ipv6" : "ipv4");
      continue;
    }
    const bool is_cidr = text.find('/') != std::string::npos;
    const Range usable = is_cidr ? without_ends(*range) : *range;
    if (unusable().overlaps(usable)) {
      complain(errors,
               "{}[{}]: {:?} holds unspecified, loopback, link-local or multicast addresses, "
               "which no network carries: leave them out",
               field, i, text);
      continue;
    }
    to.add(usable);
  }
}

std::optional<Address> check_default(Errors& errors, const IntervalSet& pool, Family family,
                                     const std::string& text) {
  const char* version = family == Family::V4 ? "ipv4" : "ipv6";
  if (text.empty()) return pool.lowest(family);
  const Result<Address> address = Address::parse(text);
  if (!address.ok() || address->family != family) {
    complain(errors, "spec.ippools.{}DefaultEIP: {:?} is not an {} address", version, text,
             name_of(family));
    return pool.lowest(family);
  }
  if (!pool.contains(*address)) {
    complain(errors,
             "spec.ippools.{}DefaultEIP: {} is not in the pool: add it to spec.ippools.{} or "
             "choose an address from there",
             version, text, version);
    return pool.lowest(family);
  }
  return *address;
}

bool is_label_part(std::string_view text) {
  const auto alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= 63 && alnum(text.front()) && alnum(text.back()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

// "name" or "prefix.example/name".
bool is_label_key(std::string_view key) {
  const auto slash = key.find('/');
  if (slash == std::string_view::npos) return is_label_part(key);
  const std::string_view prefix = key.substr(0, slash);
  return !prefix.empty() && prefix.size() <= 253 && is_label_part(key.substr(slash + 1));
}

void check_key(Errors& errors, std::string_view field, std::string_view key) {
  if (!is_label_key(key)) {
    complain(errors,
             "{}: {:?} is not a label's key (at most 63 letters, digits, '-', '_' and '.', "
             "with an optional PREFIX/)",
             field, key);
  }
}

void check_value(Errors& errors, std::string_view field, std::string_view value) {
  if (!value.empty() && !is_label_part(value)) {
    complain(errors,
             "{}: {:?} is not a label's value (at most 63 letters, digits, '-', '_' and '.')",
             field, value);
  }
}

} // namespace

void check_selector(Errors& errors, std::string_view field, const LabelSelector& selector) {
  for (const auto& [key, value] : selector.match_labels.items()) {
    const std::string at = fmt::format("{}.matchLabels", field);
    check_key(errors, at, key);
    check_value(errors, fmt::format("{}[{:?}]", at, key), value);
  }
  for (std::size_t i = 0; i < selector.match_expressions.size(); ++i) {
    const SelectorRequirement& r = selector.match_expressions[i];
    const std::string at = fmt::format("{}.matchExpressions[{}]", field, i);
    check_key(errors, at + ".key", r.key);
    const bool needs_values = r.op == SelectorOperator::In || r.op == SelectorOperator::NotIn;
    if (needs_values && r.values.empty()) {
      complain(errors, "{}.values: empty, but In and NotIn compare with values: give at least one",
               at);
    }
    if (!needs_values && !r.values.empty()) {
      complain(errors, "{}.values: {:?} has no meaning with Exists and DoesNotExist: remove it", at,
               r.values.front());
    }
    for (const std::string& value : r.values) check_value(errors, at + ".values", value);
  }
}

std::vector<Prefix> check_prefixes(Errors& errors, std::string_view field,
                                   const std::vector<std::string>& texts) {
  std::vector<Prefix> prefixes;
  prefixes.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Result<Prefix> prefix = Prefix::parse(texts[i]);
    if (prefix.ok()) {
      prefixes.push_back(*prefix);
    } else {
      complain(errors, "{}[{}]: {:?} is not a CIDR or an address: {}", field, i, texts[i],
               prefix.error().message);
    }
  }
  return prefixes;
}

Pools check_pools(Errors& errors, const EgressGatewaySpec& spec) {
  Pools pools;
  check_pool(errors, pools.addresses, Family::V4, spec.ipv4_pool);
  check_pool(errors, pools.addresses, Family::V6, spec.ipv6_pool);
  pools.default_v4 = check_default(errors, pools.addresses, Family::V4, spec.ipv4_default_eip);
  pools.default_v6 = check_default(errors, pools.addresses, Family::V6, spec.ipv6_default_eip);
  return pools;
}

} // namespace egw::api
