// SPDX-License-Identifier: Apache-2.0
#include "k8s/webhook_server.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/chrono.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "k8s/pem.hpp"
#include "k8s/webhook_connection.hpp"

namespace egw::k8s {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
constexpr std::size_t kTroubles = 16; // different ones that are told
constexpr int kAcceptedInTurn = 64;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

Result<ContextPtr> make_context(const KeyPair& pair) {
  if (auto right = check_key(pair); !right) return right.error();
  const auto chain = parse_certificates(pair.certificate);
  const auto key = parse_key(pair.key);
  if (!chain || !key) return chain ? key.error() : chain.error();
  ContextPtr made(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = made.get();
  bool done = context != nullptr && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
              SSL_CTX_use_certificate(context, chain->front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(context, key->get()) == 1;
  for (std::size_t i = 1; done && i < chain->size(); ++i) {
    done = SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) == 1;
  }
  if (!done) return Error{"the certificate cannot be used" + openssl_reason()};
  // API servers keep no sessions. An end without a farewell is no attack here: a request's length
  // stands in its head.
  SSL_CTX_set_options(context,
                      SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return made;
}

} // namespace

struct WebhookServer::Impl : WebhookHost {
  struct Slot {
    std::unique_ptr<WebhookConnection> connection;
    bool parked = false; // the poller has it, else a worker
    Time until;          // while parked
  };
  using Slots = std::map<int, Slot>; // by descriptor

  explicit Impl(Options o);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() override { stop(); }

  SessionPtr session() override;
  Reply reply(std::string_view request) override;
  void tls_failed(const std::string& why) override;
  bool reserve(std::size_t bytes) override;
  void release(std::size_t bytes) override { metrics.buffered -= bytes; }

  void watch(int fd, int operation, std::uint32_t events) const;
  void poll();
  [[nodiscard]] int milliseconds_left();
  void handle(int fd);
  void accept_all();
  void add(Fd socket);
  bool displace();
  void cut_off(Time at);
  void work();
  static WebhookConnection::Wait advance(WebhookConnection& connection);
  void put_back(int fd, WebhookConnection::Wait wait);
  void park(Slots::iterator slot, std::uint32_t events);
  void unpark(Slots::iterator slot);
  void stop();

  const Options options;
  WebhookHttp http;
  WebhookMetrics metrics;
  int port = 0;
  Fd listener, epoll;
  Wakeup wakeup;

  std::mutex identity_mutex;
  ContextPtr context;
  std::optional<WallTime> expires;
  bool told_missing = false;
  std::set<std::string> told; // TLS failures, since the last certificate

  std::atomic<bool> draining{false};

  std::mutex mutex; // for all below
  std::condition_variable ready;
  Slots slots;
  std::set<std::pair<Time, int>> deadlines; // of parked ones
  std::deque<int> queue;                    // for the workers
  std::optional<Time> accept_again;         // there were no descriptors
  Time poll_until{};                        // when the poller looks at deadlines next
  bool stopping = false;
  std::vector<std::thread> threads;
};

WebhookServer::Impl::Impl(Options o)
    : options(std::move(o)), http(options.handlers, options.limits) {
  auto made = http.listen(options.host, options.port);
  listener = std::move(made.socket);
  port = made.port;
  epoll = Fd(check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  watch(listener.get(), EPOLL_CTL_ADD, EPOLLIN);
  watch(wakeup.fd(), EPOLL_CTL_ADD, EPOLLIN);
  threads.emplace_back([this] { poll(); });
  for (int i = 0; i < std::max(options.limits.workers, 1); ++i) {
    threads.emplace_back([this] { work(); });
  }
}

// --- what connections ask, from the workers
// -------------------------------------------------------

SessionPtr WebhookServer::Impl::session() {
  const std::lock_guard lock(identity_mutex);
  if (context) return SessionPtr(SSL_new(context.get()));
  ++metrics.tls_failures;
  if (!std::exchange(told_missing, true)) {
    log::warn("webhook: connections are refused, as there is no certificate yet");
  }
  return nullptr;
}

WebhookHost::Reply WebhookServer::Impl::reply(std::string_view request) {
  const auto begun = now().steady;
  auto answer = http.answer(request, draining);
  if (options.observer) options.observer(answer.path, answer.status, now().steady - begun);
  return {std::move(answer.bytes), answer.last};
}

void WebhookServer::Impl::tls_failed(const std::string& why) {
  ++metrics.tls_failures;
  const std::lock_guard lock(identity_mutex);
  if (told.size() < kTroubles && told.insert(why).second) log::warn("webhook: TLS: {}", why);
}

bool WebhookServer::Impl::reserve(std::size_t bytes) {
  if (metrics.buffered.fetch_add(bytes) + bytes <= options.limits.max_buffered) return true;
  metrics.buffered -= bytes;
  return false;
}

// --- the poller
// -----------------------------------------------------------------------------------

void WebhookServer::Impl::watch(int fd, int operation, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  check_errno(epoll_ctl(epoll.get(), operation, fd, &event), "epoll_ctl");
}

int WebhookServer::Impl::milliseconds_left() {
  const std::lock_guard lock(mutex);
  poll_until = Time::max();
  if (!deadlines.empty()) poll_until = deadlines.begin()->first;
  if (accept_again) poll_until = std::min(poll_until, *accept_again);
  if (poll_until == Time::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(poll_until - now().steady).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void WebhookServer::Impl::poll() {
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int count = epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()),
                                 milliseconds_left());
    const std::lock_guard lock(mutex);
    if (stopping) return;
    for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)].data.fd);
    cut_off(now().steady);
  }
}

void WebhookServer::Impl::handle(int fd) {
  if (fd == wakeup.fd()) return wakeup.clear();
  if (fd == listener.get()) return accept_all();
  const auto slot = slots.find(fd);
  if (slot == slots.end() || !slot->second.parked) return;
  unpark(slot);
  queue.push_back(fd);
  ready.notify_one();
}

void WebhookServer::Impl::accept_all() {
  for (int i = 0; i < kAcceptedInTurn; ++i) {
    Fd socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      add(std::move(socket));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return;
    log::warn("webhook: accept: {}", std::system_category().message(errno));
    if (displace()) continue;
    // No descriptors, and none to be had: the listener would be readable all the time.
    watch(listener.get(), EPOLL_CTL_MOD, 0);
    accept_again = now().steady + kAcceptPause;
    return;
  }
}

void WebhookServer::Impl::add(Fd socket) {
  if (slots.size() >= options.limits.max_connections && !displace()) {
    ++metrics.displaced;
    return; // all are being answered: the new one gives way
  }
  const int on = 1;
  (void)setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int fd = socket.get();
  try {
    watch(fd, EPOLL_CTL_ADD, 0);
  } catch (const std::system_error& error) { // the kernel's bound for all of this user's polls
    log::warn("webhook: {}", error.what());
    return;
  }
  auto connection = std::make_unique<WebhookConnection>(std::move(socket), options.limits, *this);
  const auto slot = slots.emplace(fd, Slot{std::move(connection), false, {}}).first;
  ++metrics.accepted;
  metrics.connections = slots.size();
  park(slot, EPOLLIN);
}

bool WebhookServer::Impl::displace() {
  if (deadlines.empty()) return false;
  const auto slot = slots.find(deadlines.begin()->second);
  unpark(slot);
  slots.erase(slot);
  ++metrics.displaced;
  metrics.connections = slots.size();
  return true;
}

void WebhookServer::Impl::cut_off(Time at) {
  while (!deadlines.empty() && deadlines.begin()->first <= at) {
    const auto slot = slots.find(deadlines.begin()->second);
    unpark(slot);
    slots.erase(slot);
    ++metrics.cut_off;
  }
  metrics.connections = slots.size();
  if (accept_again && *accept_again <= at) {
    accept_again.reset();
    watch(listener.get(), EPOLL_CTL_MOD, EPOLLIN);
  }
}

void WebhookServer::Impl::park(Slots::iterator slot, std::uint32_t events) {
  slot->second.parked = true;
  slot->second.until = slot->second.connection->deadline();
  deadlines.emplace(slot->second.until, slot->first);
  watch(slot->first, EPOLL_CTL_MOD, events | EPOLLONESHOT);
  if (slot->second.until < poll_until) wakeup.signal();
}

void WebhookServer::Impl::unpark(Slots::iterator slot) {
  deadlines.erase({slot->second.until, slot->first});
  slot->second.parked = false;
}

// --- the workers
// ----------------------------------------------------------------------------------

WebhookConnection::Wait WebhookServer::Impl::advance(WebhookConnection& connection) {
  try {
    return connection.advance();
  } catch (const std::exception& error) { // no memory: it costs this connection alone
    log::error("webhook: {}", error.what());
    return WebhookConnection::Wait::Closed;
  }
}

void WebhookServer::Impl::work() {
  std::unique_lock lock(mutex);
  for (;;) {
    ready.wait(lock, [this] { return stopping || !queue.empty(); });
    if (queue.empty()) return;
    const int fd = queue.front();
    queue.pop_front();
    auto& connection = *slots.at(fd).connection; // stays: nobody else erases one that is not parked
    lock.unlock();
    const auto wait = advance(connection);
    lock.lock();
    put_back(fd, wait);
  }
}

void WebhookServer::Impl::put_back(int fd, WebhookConnection::Wait wait) {
  using Wait = WebhookConnection::Wait;
  const auto slot = slots.find(fd);
  if (wait == Wait::Closed || stopping) {
    slots.erase(slot);
    metrics.connections = slots.size();
  } else if (wait == Wait::Turn) {
    queue.push_back(fd);
    ready.notify_one();
  } else {
    park(slot, wait == Wait::Readable ? EPOLLIN : EPOLLOUT);
  }
}

void WebhookServer::Impl::stop() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  draining = true;
  wakeup.signal();
  ready.notify_all();
  for (auto& thread : threads) {
    if (thread.joinable()) thread.join();
  }
  slots.clear();
  listener = Fd();
}

// -------------------------------------------------------------------------------------------------

WebhookServer::WebhookServer(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

WebhookServer::~WebhookServer() {
  stop();
}

Result<void> WebhookServer::use(const KeyPair& pair) {
  auto context = make_context(pair);
  if (!context) return context.error();
  const auto info = read_certificates(pair.certificate);
  if (!info) return info.error();
  const std::lock_guard lock(impl_->identity_mutex);
  impl_->context = std::move(context).value();
  impl_->expires = info->front().until;
  impl_->told_missing = false;
  impl_->told.clear();
  return {};
}

std::optional<WallTime> WebhookServer::expires() const {
  const std::lock_guard lock(impl_->identity_mutex);
  return impl_->expires;
}

int WebhookServer::port() const {
  return impl_->port;
}

const WebhookMetrics& WebhookServer::metrics() const {
  return impl_->metrics;
}

void WebhookServer::drain() {
  impl_->draining = true;
}

void WebhookServer::stop() {
  impl_->stop();
}

} // namespace egw::k8s
