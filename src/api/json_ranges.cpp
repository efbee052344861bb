// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "api/json.hpp"
#include "api/json_parse.hpp"
#include "api/json_read.hpp"
#include "api/ranges.hpp"

// Objects of other programs that say which ranges are pods' or services'.
namespace egw::api {
namespace {

constexpr Resource kIpPool{"crd.projectcalico.org", "v1", "ippools", "IPPool", false};
constexpr Resource kCiliumNode{"cilium.io", "v2", "ciliumnodes", "CiliumNode", false};
constexpr Resource kConfigMap{"", "v1", "configmaps", "ConfigMap", true};
constexpr Resource kServiceCidr{"networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", false};
constexpr Resource kServiceCidrBeta{"networking.k8s.io", "v1beta1", "servicecidrs", "ServiceCIDR",
                                    false};

constexpr std::string_view kServiceFlag = "--service-cluster-ip-range";

std::vector<std::string> split(std::string_view text, std::string_view separators) {
  std::vector<std::string> words;
  for (auto at = text.find_first_not_of(separators); at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = text.find_first_not_of(separators, end);
  }
  return words;
}

void append(std::vector<std::string>& to, std::vector<std::string> words) {
  to.insert(to.end(), std::make_move_iterator(words.begin()), std::make_move_iterator(words.end()));
}

void read_pool(const Field& root, RangeObject& pool) {
  const Field spec = root["spec"];
  std::string cidr;
  spec["cidr"].read(cidr);
  append(pool.cidrs, split_words(cidr));
  spec["disabled"].read(pool.disabled);
}

void read_cilium_node(const Field& root, RangeObject& node) {
  const Field spec = root["spec"];
  const Field ipam = spec["ipam"];
  ipam["podCIDRs"].read(node.cidrs);
  const Field pools = ipam["pools"]; // IPAM mode multi-pool
  pools["allocated"].each([&](const Field& pool) { pool["cidrs"].read(node.cidrs); });
}

// The pool that Cilium's operator gives ranges to nodes from; the keys stand there in that mode
// only, unless somebody left them behind.
void read_cilium_config(const Field& root, RangeObject& config) {
  const Field data = root["data"];
  std::string mode, text;
  data["ipam"].read(mode);
  if (!mode.empty() && !mode.starts_with("cluster-pool")) return;
  for (const char* key : {"cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"}) {
    text.clear();
    data[key].read(text);
    append(config.cidrs, split_words(text));
  }
}

// https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md
void read_flannel(const Field& root, RangeObject& config) {
  constexpr const char* kKey = "net-conf.json";
  const Field data = root["data"];
  std::string text;
  data[kKey].read(text);
  rapidjson::Document document;
  std::string wrong;
  if (const auto parsed = parse_json(document, text); !parsed) {
    wrong = parsed.error().message;
  } else {
    const Field net(document, wrong);
    bool v4 = true, v6 = false;
    std::string v4_network, v6_network;
    net["EnableIPv4"].read(v4);
    net["EnableIPv6"].read(v6);
    net["Network"].read(v4_network);
    net["IPv6Network"].read(v6_network);
    if (v4 && !v4_network.empty()) config.cidrs.push_back(v4_network);
    if (v6 && !v6_network.empty()) config.cidrs.push_back(v6_network);
  }
  if (!wrong.empty()) {
    config.cidrs.clear();
    config.problem = fmt::format("data[{:?}]: {}", kKey, wrong);
  }
}

void read_range_object(const Field& root, RangeKind kind, RangeObject& object) {
  object.kind = kind;
  ObjectMeta meta;
  read_head(root, {range_resource(kind).kind}, meta);
  object.meta.name = std::move(meta.name);
  object.meta.namespace_ = std::move(meta.namespace_);
  object.meta.uid = std::move(meta.uid);
  object.meta.resource_version = std::move(meta.resource_version);
  switch (kind) {
    case RangeKind::IpPool:
      return read_pool(root, object);
    case RangeKind::CiliumNode:
      return read_cilium_node(root, object);
    case RangeKind::CiliumConfig:
      return read_cilium_config(root, object);
    case RangeKind::FlannelConfig:
      return read_flannel(root, object);
    case RangeKind::ServiceCidr: {
      const Field spec = root["spec"];
      return spec["cidrs"].read(object.cidrs);
    }
  }
}

} // namespace

const Resource& range_resource(RangeKind kind) {
  switch (kind) {
    case RangeKind::IpPool:
      return kIpPool;
    case RangeKind::CiliumNode:
      return kCiliumNode;
    case RangeKind::CiliumConfig:
    case RangeKind::FlannelConfig:
      return kConfigMap;
    case RangeKind::ServiceCidr:
      break;
  }
  return kServiceCidr;
}

const Resource* older_range_resource(RangeKind kind) {
  return kind == RangeKind::ServiceCidr ? &kServiceCidrBeta : nullptr;
}

std::vector<std::string> split_words(std::string_view text) {
  return split(text, ", \t\r\n");
}

std::vector<std::string> service_ranges_of(const std::vector<std::string>& words) {
  // A shell's command line is one word here.
  std::vector<std::string> all;
  for (const std::string& word : words) append(all, split(word, " \t\r\n\"'"));
  std::vector<std::string> ranges;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string_view word = all[i];
    if (!word.starts_with(kServiceFlag)) continue;
    const std::string_view rest = word.substr(kServiceFlag.size());
    if (rest.starts_with('=')) append(ranges, split_words(rest.substr(1)));
    if (rest.empty() && i + 1 < all.size()) append(ranges, split_words(all[i + 1]));
  }
  return ranges;
}

Result<RangeObject> decode_range_object(const rapidjson::Value& object, RangeKind kind) {
  return decode_with<RangeObject>(
      object, [kind](const Field& root, RangeObject& to) { read_range_object(root, kind, to); });
}

} // namespace egw::api
