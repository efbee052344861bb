// SPDX-License-Identifier: Apache-2.0
#include "k8s/client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stdexcept>

#include "api/json_parse.hpp"
#include "k8s/http.hpp"
#include "k8s/json_stream.hpp"
#include "k8s/request.hpp"
#include "k8s/status.hpp"

namespace egw::k8s {
namespace {

constexpr std::size_t kIdleConnections = 8;

// May the same request be sent again?
bool again(const HttpResponse& response, bool idempotent, bool retry_after) {
  if (response.canceled) return false;
  if (response.failure) return !response.sent || idempotent;
  if (response.status == 429) return true;
  if (response.status >= 500 && retry_after) return true;
  return idempotent && response.status >= 502 && response.status <= 504;
}

void count(ClientMetrics& metrics, const HttpResponse& response) {
  if (response.failure) {
    ++metrics.errors_network;
  } else if (response.status == 409) {
    ++metrics.conflicts;
  } else if (response.status == 429) {
    ++metrics.throttled;
  } else if (response.status >= 500) {
    ++metrics.errors_5xx;
  } else if (response.status >= 400) {
    ++metrics.errors_4xx;
  }
}

} // namespace

struct Client::Impl {
  Impl(Config c, ClientOptions o)
      : config(std::move(c)),
        options(std::move(o)),
        token(std::make_shared<TokenSource>(config)),
        limiter(options.qps, options.burst) {
    idle.push_back(connect()); // throws here, not in a call, if the credentials are unusable
  }

  std::unique_ptr<HttpConnection> connect() {
    return std::make_unique<HttpConnection>(
        config, token,
        HttpConnection::Options{options.connect_timeout, options.read_timeout, options.user_agent});
  }

  // A connection for one request. Empty after stop().
  class Lease {
   public:
    explicit Lease(Impl& owner) : owner_(owner) {
      std::lock_guard lock(owner_.mutex);
      if (owner_.stopped) return;
      if (!owner_.idle.empty()) {
        connection_ = std::move(owner_.idle.back());
        owner_.idle.pop_back();
      } else {
        connection_ = owner_.connect();
        ++owner_.metrics.connections;
      }
      owner_.busy.insert(connection_.get());
    }
    ~Lease() {
      if (!connection_) return;
      std::lock_guard lock(owner_.mutex);
      owner_.busy.erase(connection_.get());
      if (!owner_.stopped && owner_.idle.size() < kIdleConnections) {
        owner_.idle.push_back(std::move(connection_));
      }
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    HttpConnection* operator->() const { return connection_.get(); }
    explicit operator bool() const { return connection_ != nullptr; }

   private:
    Impl& owner_;
    std::unique_ptr<HttpConnection> connection_;
  };

  // false: stopped.
  bool sleep_until(Time until) {
    std::unique_lock lock(mutex);
    return !wake.wait_until(lock, until, [this] { return stopped; });
  }

  Result<void> pass_rate_limit(Time deadline, std::string_view what);
  Result<std::string> call(std::string_view what, const HttpRequest& request, bool idempotent,
                           const CallOptions& call_options,
                           const HttpConnection::Receiver& receiver = nullptr,
                           const std::function<bool()>& restart = nullptr);
  HttpResponse attempt(const HttpRequest& request, Time deadline,
                       const HttpConnection::Receiver& receiver);
  Result<std::string> list(const std::string& what, const std::string& target,
                           const ListOptions& list_options, const ItemSink& item,
                           const CallOptions& call_options, std::string& next);

  Config config;
  ClientOptions options;
  std::shared_ptr<TokenSource> token;
  ClientMetrics metrics;
  std::mutex mutex;
  std::condition_variable wake;
  RateLimiter limiter;
  std::vector<std::unique_ptr<HttpConnection>> idle; // used last is at the end: it stays warm
  std::set<HttpConnection*> busy;
  bool stopped = false;
};

Result<void> Client::Impl::pass_rate_limit(Time deadline, std::string_view what) {
  Time ready;
  {
    std::lock_guard lock(mutex);
    const auto at = now().steady;
    const auto wait = limiter.reserve(at, deadline - at);
    if (wait == Duration::zero()) return {};
    ++metrics.rate_limited;
    if (!wait) return Error{fmt::format("{}: no turn at the rate limit in time", what)};
    ready = at + *wait;
    metrics.rate_limited_us += static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(*wait).count());
  }
  if (!sleep_until(ready)) return Error{fmt::format("{}: stopped", what)};
  return {};
}

HttpResponse Client::Impl::attempt(const HttpRequest& request, Time deadline,
                                   const HttpConnection::Receiver& receiver) {
  const Lease connection(*this);
  if (!connection) {
    HttpResponse response;
    response.canceled = true;
    response.failure = "stopped";
    return response;
  }
  connection->set_deadline(deadline);
  ++metrics.requests;
  auto response = connection->send(request, receiver);
  count(metrics, response);
  return response;
}

Result<std::string> Client::Impl::call(std::string_view what, const HttpRequest& request,
                                       bool idempotent, const CallOptions& call_options,
                                       const HttpConnection::Receiver& receiver,
                                       const std::function<bool()>& restart) {
  auto deadline = now().steady + call_options.timeout;
  if (call_options.not_after) deadline = std::min(deadline, *call_options.not_after);
  Backoff backoff(options.retry);
  for (bool first = true;; first = false) {
    if (call_options.lane == Lane::Normal) {
      if (auto turn = pass_rate_limit(deadline, what); !turn) return turn.error();
    }
    if (now().steady >= deadline) return Error{fmt::format("{}: the time for it has passed", what)};
    if (!first) ++metrics.retries;
    auto response = attempt(request, deadline, receiver);
    if (!response.failure && response.status >= 200 && response.status < 300) {
      return std::move(response.body);
    }

    const auto status = response.failure ? ServerStatus{0, "", *response.failure, std::nullopt}
                                         : parse_status(response.body, response.status);
    const auto pause = response.retry_after ? response.retry_after : status.retry_after;
    const auto until = now().steady + std::max(pause.value_or(Duration::zero()), backoff.next());
    if (!again(response, idempotent, pause.has_value()) || until >= deadline ||
        (restart && !restart())) {
      if (response.failure) return Error{fmt::format("{}: {}", what, status.message)};
      return refusal(what, status);
    }
    if (!sleep_until(until)) return Error{fmt::format("{}: stopped", what)};
  }
}

Client::Client(Config config, ClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(options))) {}

Client::~Client() {
  stop();
}

void Client::stop() {
  std::unique_lock lock(impl_->mutex);
  impl_->stopped = true;
  impl_->wake.notify_all();
  // Again and again: see HttpConnection::stop(). They leave `busy` when their calls return.
  while (!impl_->busy.empty()) {
    for (auto* connection : impl_->busy) connection->request_stop();
    impl_->wake.wait_for(lock, std::chrono::milliseconds(5), [] { return false; });
  }
  impl_->idle.clear();
}

bool Client::stopped() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->stopped;
}

const ClientMetrics& Client::metrics() const {
  return impl_->metrics;
}
const Config& Client::config() const {
  return impl_->config;
}

Result<std::string> Client::get_raw(const std::string& path, const CallOptions& options) {
  HttpRequest request;
  request.target = path;
  request.headers.emplace_back("Accept", "application/json");
  return impl_->call("get " + path, request, true, options);
}

Result<std::string> Client::get(const api::Resource& resource, const api::NamespacedName& key,
                                const CallOptions& options) {
  HttpRequest request;
  request.target = resource_path(resource, key);
  request.headers.emplace_back("Accept", "application/json");
  return impl_->call(fmt::format("get {} {}", resource.kind, key.to_string()), request, true,
                     options);
}

Result<std::string> Client::Impl::list(const std::string& what, const std::string& target,
                                       const ListOptions& list_options, const ItemSink& item,
                                       const CallOptions& call_options, std::string& next) {
  HttpRequest request;
  request.target = target;
  request.headers.emplace_back(
      "Accept", list_options.metadata_only ? kAcceptMetadataList : "application/json");
  std::string version;
  std::size_t taken = 0;
  std::optional<ListSplitter> splitter;
  const auto begin = [&] {
    next.clear(), version.clear();
    splitter.emplace([&](char* data, std::size_t size) { ++taken, item(data, size); },
                     [&](std::string_view name, char* data, std::size_t size) {
                       if (name == "metadata")
                         read_list_meta(std::string_view(data, size), version, next);
                     });
    return taken == 0; // what was handed out must not come twice: the whole list begins anew
  };
  static_cast<void>(begin());
  const auto answer = call(
      what, request, true, call_options,
      [&](const char* data, std::size_t size) { return splitter->feed(data, size); }, begin);
  if (!answer && splitter->error().empty()) return answer.error();
  if (const auto problem = splitter->problem(version); !problem.empty()) {
    return Error{fmt::format("{}: not a list: {}", what, problem)};
  }
  return version;
}

Result<std::string> Client::list(const api::Resource& resource, const ListOptions& options,
                                 const ItemSink& item, const std::function<void()>& restart,
                                 const CallOptions& call_options) {
  const auto what = fmt::format("list {}", resource.plural);
  const auto end = now().steady + call_options.timeout;
  std::string next;
  bool handed_out = false;
  const ItemSink noting = [&](char* data, std::size_t size) {
    handed_out = true, item(data, size);
  };
  for (int restarts = 0;;) {
    auto left = call_options;
    left.timeout = end - now().steady;
    std::string token;
    auto version =
        impl_->list(what, list_target(resource, options, next), options, noting, left, token);
    if (version && token.empty()) return version;
    if (version) {
      next = std::move(token);
      continue;
    }
    // 410: the snapshot behind the pages was compacted away. 0: cut off in the middle.
    const int code = version.error().code;
    if (!handed_out || (code != 410 && code != 0) || ++restarts > 3 || stopped())
      return version.error();
    next.clear(), handed_out = false;
    if (restart) restart();
  }
}

Result<std::string> Client::write(const Write& write, const CallOptions& options) {
  const auto request = write_request(write);
  if (!request) return request.error();
  auto call_options = options;
  if (write.lane == Lane::Failover) call_options.lane = Lane::Failover;
  if (write.tenure) {
    // As it is now: the change may have waited for its turn while the tenure went on.
    const Time end = write.tenure->until();
    call_options.not_after = options.not_after ? std::min(*options.not_after, end) : end;
  }
  return impl_->call(describe(write), *request, write.verb != Verb::Create, call_options);
}

} // namespace egw::k8s
