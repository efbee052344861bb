// SPDX-License-Identifier: Apache-2.0
#include "api/json.hpp"
#include "api/json_read.hpp"
#include "api/json_write.hpp"
#include "base/base64.hpp"

// What a webhook's certificates stand in.
namespace egw::api {

template <>
Result<Secret> decode<Secret>(const rapidjson::Value& object) {
  return decode_with<Secret>(object, [](const Field& root, Secret& secret) {
    read_head(root, {"Secret"}, secret.meta);
    root["type"].read(secret.type);
    root["data"].each_member([&](const Field& member) {
      std::string text;
      member.read(text);
      const auto decoded = base64_decode(text);
      secret.data[std::string(member.key())] = decoded ? *decoded : std::string();
    });
  });
}

std::string encode(const Secret& secret) {
  return encode_object(resource<Secret>(), secret.meta, [&](JsonWriter& w) {
    w.text("type", secret.type);
    w.object("data", [&] {
      for (const auto& [key, value] : secret.data) w.always_text(key, base64_encode(value));
    });
  });
}

template <>
Result<WebhookConfiguration> decode<WebhookConfiguration>(const rapidjson::Value& object) {
  return decode_with<WebhookConfiguration>(
      object, [](const Field& root, WebhookConfiguration& configuration) {
        read_head(root, {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"},
                  configuration.meta);
        root["webhooks"].read(configuration.ca_bundles, [](const Field& item, std::string& bundle) {
          const Field client = item["clientConfig"];
          client["caBundle"].read(bundle);
        });
      });
}

} // namespace egw::api
