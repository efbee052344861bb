// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_runner.hpp"

#include <fmt/format.h>

#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "api/admission_review.hpp"
#include "api/json.hpp"
#include "base/log.hpp"
#include "base/queue.hpp"
#include "k8s/certificate_files.hpp"
#include "k8s/watch.hpp"

namespace egw::k8s {
namespace {

constexpr auto kTimeout = std::chrono::seconds(10);
constexpr const char* kManager = "egw-controller";

// What is thrown below (no memory, no descriptors) is a failed request like any other.
template <class T, class F>
Result<T> guarded(F request) {
  try {
    return request();
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
}

CallOptions call_options() {
  CallOptions options;
  options.timeout = kTimeout;
  return options;
}

} // namespace

Write to_request(const WriteBundle& action) {
  // The version first: with another one the indexes may be those of other webhooks.
  using Op = api::PatchOperation::Op;
  std::vector<api::PatchOperation> patch{
      {Op::Replace, "/metadata/resourceVersion", action.resource_version}};
  for (const auto i : action.webhooks) {
    patch.push_back({Op::Add,
                     api::json_pointer({"webhooks", std::to_string(i), "clientConfig", "caBundle"}),
                     action.bundle});
  }
  Write write;
  write.verb = Verb::JsonPatch;
  write.resource = &api::webhook_resource(action.kind);
  write.key = {"", action.name};
  write.body = api::encode(patch);
  write.field_manager = kManager;
  return write;
}

Write to_request(const api::Secret& secret, bool create) {
  Write write;
  write.verb = create ? Verb::Create : Verb::Update;
  write.resource = &api::resource<api::Secret>();
  write.key = {secret.meta.namespace_, secret.meta.name};
  write.body = api::encode(secret);
  write.field_manager = kManager;
  return write;
}

struct CertificateKeeper::Impl {
  Impl(Client& c, Options o) : client(c), options(std::move(o)) {}

  void start();
  void run();
  void perform(KeeperAction& action);
  void perform(const WriteSecret& action);
  void perform(const WriteBundle& action);
  void tell(const Tell& what) const;
  template <class T>
  void count(const Result<T>& result, std::atomic<std::uint64_t>& writes);
  void note(const char* kind, const WatchStatus& status);
  [[nodiscard]] WatchOptions watch_options(const api::Resource& resource,
                                           const api::NamespacedName& key) const;

  Client& client;
  const Options options;
  KeeperMetrics metrics;
  std::deque<KeeperEvent> events; // for the thread itself, before those of the queue
  Queue<KeeperEvent> queue;

  mutable std::mutex mutex; // for state and faults
  KeeperState state;
  std::map<std::string, std::string> faults;

  std::unique_ptr<Watch<api::Secret>> secret;
  std::array<std::unique_ptr<Watch<api::WebhookConfiguration>>, kWebhookKinds.size()> hooks;
  std::unique_ptr<CertificateFiles> files;
  std::thread thread;
};

WatchOptions CertificateKeeper::Impl::watch_options(const api::Resource& resource,
                                                    const api::NamespacedName& key) const {
  WatchOptions o;
  o.resource = &resource;
  o.namespace_ = key.namespace_;
  o.field_selector = "metadata.name=" + key.name;
  o.user_agent = options.user_agent;
  return o;
}

void CertificateKeeper::Impl::start() {
  const auto& config = options.config;
  if (config.from_secret()) {
    const auto& resource = api::resource<api::Secret>();
    secret = std::make_unique<Watch<api::Secret>>(
        client.config(), watch_options(resource, config.policy.secret),
        [this](WatchEvent<api::Secret> event) {
          if (const auto* status = std::get_if<WatchStatus>(&event)) {
            if (status->expired) return; // a list follows
            note("Secret", *status);
          }
          queue.push(KeeperSecret{std::move(event)});
        });
  } else {
    files = std::make_unique<CertificateFiles>(options.directory, [this](Result<Material> read) {
      queue.push(KeeperFiles{std::move(read)});
    });
  }
  for (std::size_t i = 0; config.injects() && i < kWebhookKinds.size(); ++i) {
    const auto kind = kWebhookKinds[i];
    const auto& resource = api::webhook_resource(kind);
    hooks[i] = std::make_unique<Watch<api::WebhookConfiguration>>(
        client.config(), watch_options(resource, {"", config.configurations}),
        [this, kind, &resource](WatchEvent<api::WebhookConfiguration> event) {
          if (const auto* status = std::get_if<WatchStatus>(&event)) {
            if (status->expired) return; // a list follows
            note(resource.kind, *status);
          }
          queue.push(KeeperConfiguration{kind, std::move(event)});
        });
  }
  thread = std::thread([this] { run(); });
}

void CertificateKeeper::Impl::run() {
  while (!queue.closed()) {
    if (events.empty()) {
      for (auto& event : queue.take(wake(state))) events.push_back(std::move(event));
      events.emplace_back(KeeperTick{});
    }
    auto event = std::move(events.front());
    events.pop_front();
    std::vector<KeeperAction> actions;
    {
      const std::lock_guard lock(mutex);
      actions = step(state, options.config, std::move(event), now());
    }
    for (auto& action : actions) perform(action);
  }
}

void CertificateKeeper::Impl::perform(KeeperAction& action) {
  if (const auto* serve = std::get_if<Serve>(&action)) {
    const auto served = options.serve(serve->pair);
    if (!served) {
      return tell({true, "WebhookCertificateUnusable", served.error().message, {}});
    }
    const auto info = read_certificates(serve->pair.certificate);
    log::info("webhook: serves a certificate for {}, valid until {}",
              fmt::join(info->front().names, ", "), rfc3339(info->front().until));
  } else if (const auto* secret_wish = std::get_if<WriteSecret>(&action)) {
    perform(*secret_wish);
  } else if (const auto* bundle = std::get_if<WriteBundle>(&action)) {
    perform(*bundle);
  } else if (const auto* what = std::get_if<Tell>(&action)) {
    tell(*what);
  }
}

void CertificateKeeper::Impl::perform(const WriteSecret& action) {
  const auto* before = action.before ? &*action.before : nullptr;
  auto written = guarded<api::Secret>([&]() -> Result<api::Secret> {
    const auto made = make_secret(before, action.plan, options.config.policy, now().wall);
    if (!made) return made.error();
    return client.write_as<api::Secret>(to_request(*made, before == nullptr), call_options());
  });
  count(written, metrics.secret_writes);
  events.emplace_back(KeeperWroteSecret{std::move(written)});
}

void CertificateKeeper::Impl::perform(const WriteBundle& action) {
  auto written = guarded<api::WebhookConfiguration>([&] {
    return client.write_as<api::WebhookConfiguration>(to_request(action), call_options());
  });
  count(written, metrics.bundle_writes);
  events.emplace_back(KeeperWroteBundle{action.kind, std::move(written)});
}

template <class T>
void CertificateKeeper::Impl::count(const Result<T>& result, std::atomic<std::uint64_t>& writes) {
  if (result) {
    ++writes;
  } else {
    ++metrics.write_failures;
    log::debug("webhook: {}", result.error().message);
  }
}

void CertificateKeeper::Impl::tell(const Tell& what) const {
  if (what.warning) {
    log::warn("webhook: {}: {}", what.reason, what.message);
  } else {
    log::info("webhook: {}: {}", what.reason, what.message);
  }
  options.tell(what);
}

// From the watches' threads.
void CertificateKeeper::Impl::note(const char* kind, const WatchStatus& status) {
  bool news = false;
  {
    const std::lock_guard lock(mutex);
    news = status.error
               ? std::exchange(faults[kind], status.error->message) != status.error->message
               : faults.erase(kind) > 0;
  }
  if (!news) return;
  if (!status.error) {
    log::info("webhook: watch of the {}: works again", kind);
  } else if (forbidden(*status.error)) {
    tell({true, "WebhookWatchFailed", status.error->message, {}});
  } else {
    log::warn("webhook: watch of the {}: {}", kind, status.error->message);
  }
}

CertificateKeeper::CertificateKeeper(Client& client, Options options)
    : impl_(std::make_unique<Impl>(client, std::move(options))) {
  impl_->start();
}

CertificateKeeper::~CertificateKeeper() {
  stop();
}

void CertificateKeeper::lead(bool leads) {
  impl_->queue.push(KeeperLeads{leads});
}

void CertificateKeeper::close() {
  impl_->queue.close();
}

void CertificateKeeper::stop() {
  close();
  impl_->files.reset();
  if (impl_->secret) impl_->secret->stop();
  for (const auto& hook : impl_->hooks) {
    if (hook) hook->stop();
  }
  if (impl_->thread.joinable()) impl_->thread.join();
}

CertificateKeeper::View CertificateKeeper::view() const {
  View view;
  const auto add = [&](const char* kind, const WatchMetrics& metrics) {
    const auto at = impl_->faults.find(kind);
    view.watches.push_back(
        {kind, &metrics, at == impl_->faults.end() ? std::nullopt : std::optional(at->second)});
  };
  const std::lock_guard lock(impl_->mutex);
  if (impl_->secret) add("Secret", impl_->secret->metrics());
  const auto at = now().wall;
  for (std::size_t i = 0; i < kWebhookKinds.size(); ++i) {
    const auto kind = kWebhookKinds[i];
    if (impl_->hooks[i]) add(api::webhook_resource(kind).kind, impl_->hooks[i]->metrics());
    view.trusted[i] = trusted(impl_->state, impl_->options.config, kind, at);
  }
  for (const auto& [where, trouble] : impl_->state.troubles) view.troubles.push_back(trouble);
  return view;
}

const KeeperMetrics& CertificateKeeper::metrics() const {
  return impl_->metrics;
}

} // namespace egw::k8s
