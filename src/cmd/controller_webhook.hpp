// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/admission_review.hpp"
#include "api/core.hpp"
#include "cmd/controller_webhook_options.hpp"
#include "k8s/certificate_keeper.hpp"
#include "k8s/client.hpp"

namespace egw::cmd {

// What a webhook needs of its controller; called from the webhook's threads.
struct WebhookHooks {
  api::AdmissionRules rules; // several at once
  // Something for an Event about that object; it stands in the log already.
  std::function<void(const api::ObjectReference&, const k8s::Tell&)> tell;
};

// The admission webhook of a controller: the HTTPS server (POST /mutate and /validate), its
// certificates, and what both count.
class ControllerWebhook {
 public:
  // `namespace_`: of the controller, its Secret and its Service. Throws std::system_error when it
  // cannot listen.
  ControllerWebhook(k8s::Client& client, const WebhookSettings& settings,
                    const std::string& namespace_, WebhookHooks hooks);
  ~ControllerWebhook(); // stop()
  ControllerWebhook(const ControllerWebhook&) = delete;
  ControllerWebhook& operator=(const ControllerWebhook&) = delete;

  void lead(bool leads); // the leader keeps Secret and webhook configurations
  [[nodiscard]] std::optional<std::string> unready() const; // why; nothing: it serves
  [[nodiscard]] std::string metrics_text() const;
  [[nodiscard]] int port() const;

  void drain(); // connections end with their next answer
  void close(); // no more writes; before Client::stop()
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What certificate and objects a controller's webhook has by these settings.
[[nodiscard]] k8s::KeeperConfig keeper_config(const WebhookSettings& settings,
                                              const std::string& namespace_);

} // namespace egw::cmd
