// SPDX-License-Identifier: Apache-2.0
#include "api/json.hpp"
#include "api/json_read.hpp"
#include "api/json_write.hpp"

// EgressClusterInfo.
namespace egw::api {
namespace {

constexpr std::array<std::pair<const char*, PodCidrMode>, 4> kModes{
    {{"auto", PodCidrMode::Auto},
     {"calico", PodCidrMode::Calico},
     {"k8s", PodCidrMode::K8s},
     {"", PodCidrMode::Off}}};

void read_source(const Field& from, CidrSource& to) {
  if (from.is_list()) { // as an object that the original left behind has it
    std::vector<std::string> texts;
    from.read(texts);
    for (std::string& text : texts) {
      (text.find(':') == std::string::npos ? to.ipv4 : to.ipv6).push_back(std::move(text));
    }
    return;
  }
  from["ipv4"].read(to.ipv4);
  from["ipv6"].read(to.ipv6);
}

void read_sources(const Field& from, std::map<std::string, CidrSource>& to) {
  from.each_member(
      [&](const Field& member) { read_source(member, to[std::string(member.key())]); });
}

void read_info(const Field& root, EgressClusterInfo& info) {
  read_head(root, {"EgressClusterInfo"}, info.meta);
  const Field spec = root["spec"];
  const Field detect = spec["autoDetect"];
  detect["podCidrMode"].read(info.spec.pod_cidr_mode, kModes);
  detect["clusterIP"].read(info.spec.cluster_ip);
  detect["nodeIP"].read(info.spec.node_ip);
  spec["extraCidr"].read(info.spec.extra_cidr);

  const Field status = root["status"];
  read_sources(status["nodeIP"], info.status.node_ip);
  read_sources(status["podCIDR"], info.status.pod_cidr);
  read_source(status["clusterIP"], info.status.cluster_ip);
  read_source(status["apiServer"], info.status.api_server);
  read_source(status["extraCidr"], info.status.extra_cidr);
  status["podCidrMode"].read(info.status.pod_cidr_mode);
  status["idBlocks"].read(info.status.id_blocks, [](const Field& item, IdBlock& block) {
    item["first"].read(block.first);
    item["gateway"].read(block.gateway);
    item["gatewayUID"].read(block.gateway_uid);
    item["restingUntil"].read(block.resting_until);
  });
  status["conditions"].read(info.status.conditions);
}

void write_source(JsonWriter& w, std::string_view key, const CidrSource& source) {
  w.object(key, [&] {
    w.texts("ipv4", source.ipv4);
    w.texts("ipv6", source.ipv6);
  });
}

void write_sources(JsonWriter& w, std::string_view key,
                   const std::map<std::string, CidrSource>& sources) {
  w.object(key, [&] {
    for (const auto& [name, source] : sources) {
      // Known and without addresses is not the same as unknown.
      w.always_object(name, [&] {
        w.texts("ipv4", source.ipv4);
        w.texts("ipv6", source.ipv6);
      });
    }
  });
}

void write_status(JsonWriter& w, const EgressClusterInfoStatus& status) {
  write_sources(w, "nodeIP", status.node_ip);
  write_sources(w, "podCIDR", status.pod_cidr);
  write_source(w, "clusterIP", status.cluster_ip);
  write_source(w, "apiServer", status.api_server);
  write_source(w, "extraCidr", status.extra_cidr);
  w.text("podCidrMode", status.pod_cidr_mode);
  w.objects("idBlocks", status.id_blocks, [&](const IdBlock& block) {
    w.number("first", block.first);
    w.text("gateway", block.gateway);
    w.text("gatewayUID", block.gateway_uid);
    w.micro_time("restingUntil", block.resting_until);
  });
  w.conditions(status.conditions);
}

} // namespace

template <>
Result<EgressClusterInfo> decode<EgressClusterInfo>(const rapidjson::Value& object) {
  return decode_with<EgressClusterInfo>(object, read_info);
}

std::string encode(const EgressClusterInfo& info) {
  return encode_object(resource<EgressClusterInfo>(), info.meta, [&](JsonWriter& w) {
    w.object("spec", [&] {
      // Off is a value here, and differs from what the schema puts in place of nothing.
      w.object("autoDetect", [&] {
        w.always_text("podCidrMode", word_of(info.spec.pod_cidr_mode, kModes));
        w.always_flag("clusterIP", info.spec.cluster_ip);
        w.always_flag("nodeIP", info.spec.node_ip);
      });
      w.texts("extraCidr", info.spec.extra_cidr);
    });
    w.object("status", [&] { write_status(w, info.status); });
  });
}

} // namespace egw::api
