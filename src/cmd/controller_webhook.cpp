// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_webhook.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include "api/json.hpp"
#include "base/log.hpp"
#include "cmd/metrics.hpp"
#include "k8s/certificate_runner.hpp"
#include "k8s/webhook_server.hpp"
#include "version.hpp"

namespace egw::cmd {

namespace {

k8s::WebhookAnswer answer(const std::string& body, api::AdmissionPhase phase,
                          const api::AdmissionRules& rules) {
  auto text = api::answer_review(body, phase, rules);
  if (text) return {200, std::move(text).value()};
  return {400, text.error().message + "\n"};
}

api::ObjectReference regarding(const k8s::KeeperConfig& config) {
  const auto& resource = config.from_secret() ? api::resource<api::Secret>()
                                              : api::webhook_resource(api::WebhookKind::Validating);
  const std::string group = resource.group;
  api::ObjectReference to;
  to.api_version = group.empty() ? resource.version : group + "/" + resource.version;
  to.kind = resource.kind;
  to.name = config.from_secret() ? config.policy.secret.name : config.configurations;
  to.namespace_ = config.policy.secret.namespace_;
  return to;
}

} // namespace

k8s::KeeperConfig keeper_config(const WebhookSettings& settings, const std::string& namespace_) {
  k8s::KeeperConfig config;
  if (settings.directory.empty()) config.policy.secret = {namespace_, settings.secret};
  config.policy.names = {fmt::format("{}.{}.svc", settings.service, namespace_),
                         fmt::format("{}.{}.svc.cluster.local", settings.service, namespace_)};
  config.policy.names.insert(config.policy.names.end(), settings.names.begin(),
                             settings.names.end());
  if (settings.inject) config.configurations = settings.configurations;
  return config;
}

struct ControllerWebhook::Impl {
  Impl(k8s::Client& client, const WebhookSettings& settings, const std::string& namespace_,
       WebhookHooks h);

  k8s::WebhookServer::Options server_options(const WebhookSettings& settings);
  api::AdmissionResponse judge(const api::AdmissionRequest& request);
  void count(const std::string& path, int status, Duration took);
  void requests(MetricsText& text) const;
  void certificates(MetricsText& text) const;
  void writes(MetricsText& text) const;

  const WebhookHooks hooks;
  mutable std::mutex mutex; // for the counters
  std::map<std::pair<std::string, int>, std::uint64_t> answers;
  std::map<std::string, Histogram> times;
  std::map<std::pair<api::AdmissionPhase, bool>, std::uint64_t> verdicts;
  k8s::WebhookServer server;
  std::unique_ptr<k8s::CertificateKeeper> keeper;
};

ControllerWebhook::Impl::Impl(k8s::Client& client, const WebhookSettings& settings,
                              const std::string& namespace_, WebhookHooks h)
    : hooks(std::move(h)), server(server_options(settings)) {
  k8s::CertificateKeeper::Options options;
  options.config = keeper_config(settings, namespace_);
  options.directory = settings.directory;
  options.user_agent = fmt::format("egw-controller/{}", version());
  options.serve = [this](const k8s::KeyPair& pair) { return server.use(pair); };
  options.tell = [this, to = regarding(options.config)](const k8s::Tell& what) {
    hooks.tell(to, what);
  };
  keeper = std::make_unique<k8s::CertificateKeeper>(client, std::move(options));
  log::info("admission webhook on port {}", server.port());
}

k8s::WebhookServer::Options ControllerWebhook::Impl::server_options(
    const WebhookSettings& settings) {
  k8s::WebhookServer::Options options;
  options.host = settings.address.host;
  options.port = settings.address.port;
  for (const auto& [path, phase] : {std::pair{"/mutate", api::AdmissionPhase::Mutating},
                                    {"/validate", api::AdmissionPhase::Validating}}) {
    options.handlers[path] = [this, phase](const std::string& body) {
      return answer(body, phase, [this](const auto& request) { return judge(request); });
    };
  }
  options.observer = [this](const std::string& path, int status, Duration took) {
    count(path, status, took);
  };
  return options;
}

api::AdmissionResponse ControllerWebhook::Impl::judge(const api::AdmissionRequest& request) {
  auto response = hooks.rules(request);
  if (!response.allowed) {
    log::info("refused {} of {} {} by {}: {}", api::to_string(request.operation), request.kind.kind,
              api::NamespacedName{request.namespace_, request.name}.to_string(), request.username,
              response.message);
  }
  const std::lock_guard lock(mutex);
  ++verdicts[{request.phase, response.allowed}];
  return response;
}

void ControllerWebhook::Impl::count(const std::string& path, int status, Duration took) {
  const std::lock_guard lock(mutex);
  ++answers[{path, status}];
  times[path].observe(took);
}

void ControllerWebhook::Impl::requests(MetricsText& text) const {
  const std::lock_guard lock(mutex);
  text.family("egw_webhook_requests_total", "counter",
              "Requests by path and HTTP status; without a path: of others");
  for (const auto& [what, n] : answers) {
    text.sample({{"path", what.first}, {"code", std::to_string(what.second)}},
                static_cast<double>(n));
  }
  text.family("egw_webhook_request_duration_seconds", "histogram",
              "From a whole request to its answer");
  for (const auto& [path, histogram] : times) text.histogram({{"path", path}}, histogram);
  text.family("egw_webhook_verdicts_total", "counter", "What the rules said");
  for (const auto& [what, n] : verdicts) {
    text.sample({{"phase", what.first == api::AdmissionPhase::Mutating ? "mutating" : "validating"},
                 {"allowed", what.second ? "true" : "false"}},
                static_cast<double>(n));
  }
  const auto& m = server.metrics();
  text.family("egw_webhook_connections", "gauge", "Open connections");
  text.sample({}, static_cast<double>(m.connections.load()));
  text.family("egw_webhook_buffered_bytes", "gauge", "Of requests that are not whole yet");
  text.sample({}, static_cast<double>(m.buffered.load()));
  const auto counter = [&](const char* name, const char* help, const auto& value) {
    text.family(name, "counter", help);
    text.sample({}, static_cast<double>(value.load()));
  };
  counter("egw_webhook_connections_total", "Connections accepted", m.accepted);
  counter("egw_webhook_tls_failures_total", "TLS handshakes refused by either side",
          m.tls_failures);
  counter("egw_webhook_cut_off_total", "Connections that were slow, silent or idle for too long",
          m.cut_off);
  counter("egw_webhook_displaced_total", "Connections that gave way to others", m.displaced);
}

void ControllerWebhook::Impl::certificates(MetricsText& text) const {
  text.family("egw_webhook_certificate_expiry_seconds", "gauge",
              "When the certificate that is served runs out, in seconds since 1970");
  if (const auto at = server.expires()) {
    text.sample({}, std::chrono::duration<double>(at->time_since_epoch()).count());
  }
  const auto view = keeper->view();
  text.family("egw_webhook_trusted", "gauge",
              "Whether a webhook configuration trusts the certificate that is served");
  for (std::size_t i = 0; i < k8s::kWebhookKinds.size(); ++i) {
    if (!view.trusted[i]) continue;
    text.sample({{"kind", api::webhook_resource(k8s::kWebhookKinds[i]).kind}},
                *view.trusted[i] ? 1 : 0);
  }
  text.family("egw_webhook_troubles", "gauge", "What is wrong with the certificates; see the log");
  text.sample({}, static_cast<double>(view.troubles.size()));
  text.family("egw_webhook_watch_up", "gauge", "Whether the watch of a kind works");
  for (const auto& watch : view.watches) text.sample({{"kind", watch.kind}}, watch.fault ? 0 : 1);
}

void ControllerWebhook::Impl::writes(MetricsText& text) const {
  const auto& m = keeper->metrics();
  text.family("egw_webhook_writes_total", "counter",
              "Writes of the Secret and the webhook configurations by result");
  text.sample({{"object", "secret"}, {"result", "ok"}},
              static_cast<double>(m.secret_writes.load()));
  text.sample({{"object", "configuration"}, {"result", "ok"}},
              static_cast<double>(m.bundle_writes.load()));
  text.sample({{"object", ""}, {"result", "failed"}}, static_cast<double>(m.write_failures.load()));
}

ControllerWebhook::ControllerWebhook(k8s::Client& client, const WebhookSettings& settings,
                                     const std::string& namespace_, WebhookHooks hooks)
    : impl_(std::make_unique<Impl>(client, settings, namespace_, std::move(hooks))) {}

ControllerWebhook::~ControllerWebhook() {
  stop();
}

void ControllerWebhook::lead(bool leads) {
  impl_->keeper->lead(leads);
}

std::optional<std::string> ControllerWebhook::unready() const {
  if (impl_->server.expires()) return std::nullopt;
  std::string why = "the webhook has no certificate yet";
  const auto view = impl_->keeper->view();
  for (const auto& trouble : view.troubles) why += "; " + trouble;
  for (const auto& watch : view.watches) {
    if (watch.fault) why += "; " + *watch.fault;
  }
  return why;
}

std::string ControllerWebhook::metrics_text() const {
  MetricsText text;
  impl_->requests(text);
  impl_->certificates(text);
  impl_->writes(text);
  return text.take();
}

int ControllerWebhook::port() const {
  return impl_->server.port();
}

void ControllerWebhook::drain() {
  impl_->server.drain();
}

void ControllerWebhook::close() {
  impl_->keeper->close();
}

void ControllerWebhook::stop() {
  impl_->keeper->stop();
  impl_->server.stop();
}

} // namespace egw::cmd
