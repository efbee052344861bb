// SPDX-License-Identifier: Apache-2.0
#include "k8s/http.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "k8s/file.hpp"
#include "k8s/tls.hpp"

namespace egw::k8s {
namespace {

// Bodies that are kept whole: answers to single requests and errors. etcd holds objects below 2
// MiB.
constexpr std::size_t kMaxBody = 16U << 20U;
// No server may silence us for longer.
constexpr unsigned kMaxRetryAfter = 60;
constexpr auto kStopPoll = std::chrono::milliseconds(5);

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

std::optional<Duration> parse_retry_after(const std::string& text) {
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return std::chrono::seconds(std::min(seconds, kMaxRetryAfter));
}

bool after_connecting(httplib::Error error) {
  using enum httplib::Error;
  switch (error) {
    case Connection:
    case ConnectionTimeout:
    case BindIPAddress:
    case SSLConnection:
    case SSLLoadingCerts:
    case SSLServerVerification:
    case SSLServerHostnameVerification:
      return false;
    default:
      return true;
  }
}

struct TooLate {
}; // or not wanted any more: unwinds through the library, which closes the connection

// A peer that is gone without a word (power, cable, partition) is noticed within half a minute.
void set_options(int fd) {
  const auto set = [fd](int level, int option, int value) {
    // Best effort: none of them changes what is right, only how soon a dead peer is noticed.
    static_cast<void>(setsockopt(fd, level, option, &value, sizeof value));
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000);
}

// The socket's own address; nothing before it has one.
std::optional<Address> own_address(int fd) {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* const bytes =
      own.ss_family == AF_INET6
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(own).sin6_addr)
          : &reinterpret_cast<const sockaddr_in&>(own).sin_addr;
  if (inet_ntop(own.ss_family, bytes, text.data(), text.size()) == nullptr) return std::nullopt;
  const auto address = Address::parse(text.data());
  if (!address || address->is_unspecified()) return std::nullopt;
  return *address;
}

} // namespace

Result<std::string> TokenSource::get() {
  std::lock_guard lock(mutex_);
  if (file_.empty()) return token_;
  struct stat now{};
  if (stat(file_.c_str(), &now) != 0) {
    return Error{fmt::format("cannot read {}: {}", file_, std::generic_category().message(errno))};
  }
  const Stamp stamp{now.st_dev, now.st_ino, now.st_mtim.tv_sec, now.st_mtim.tv_nsec, now.st_size};
  if (stamp_ == stamp) return token_;
  auto content = read_file(file_);
  if (!content) return Error{content.error().message};
  auto text = trimmed(std::move(content).value());
  if (text.empty()) return Error{fmt::format("the token file {} is empty", file_)};
  for (const char c : text) {
    if (c <= ' ' || c > '~') { // would end the header that it goes into
      return Error{fmt::format("the token file {} does not hold a token", file_)};
    }
  }
  token_ = std::move(text);
  stamp_ = stamp;
  return token_;
}

struct HttpConnection::Impl {
  Config config;
  std::shared_ptr<TokenSource> token;
  Options options;
  std::unique_ptr<httplib::ClientImpl> http;
  httplib::SSLClient* tls = nullptr; // the same object, if it speaks TLS

  std::optional<Time> deadline;
  const HttpRequest* request = nullptr; // of the send() under way, for its thread

  std::mutex mutex;
  std::condition_variable idle;
  bool stopped = false;
  std::thread::id sender; // of the send() under way
  // A second descriptor of the socket, so that stop() can shut it down at any moment: the library's
  // own stop() waits for a connect to end, and its descriptor may be closed and reused meanwhile.
  Fd socket;

  // All that there are, for break_lost().
  static std::mutex all_mutex; // taken before a connection's own
  static std::set<Impl*> all;

  Impl(Config c, std::shared_ptr<TokenSource> t, Options o)
      : config(std::move(c)), token(std::move(t)), options(std::move(o)) {
    make();
    std::lock_guard lock(all_mutex);
    all.insert(this);
  }
  ~Impl() {
    std::lock_guard lock(all_mutex);
    all.erase(this);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void make() {
    if (config.tls) {
      auto client = std::make_unique<httplib::SSLClient>(config.host, config.port);
      tls = client.get();
      http = std::move(client);
      if (auto done = configure_tls(tls->ssl_context(), config); !done) {
        throw std::runtime_error(done.error().message);
      }
      tls->enable_server_certificate_verification(true);
      // The library's own check of names has gaps (a common name passes, addresses of unequal
      // length are compared); configure_tls() made OpenSSL do it, as part of the same verification.
      tls->enable_server_hostname_verification(false);
      // Without this it adds the system's authorities to the cluster's own.
      if (!config.ca_pem.empty()) tls->set_ca_cert_path("", "/nonexistent");
    } else {
      http = std::make_unique<httplib::ClientImpl>(config.host, config.port);
    }
    // Says that the host is an address, which static glibc then does not look up through NSS.
    if (is_address(config.host)) http->set_hostname_addr_map({{config.host, config.host}});
    http->set_keep_alive(true);
    http->set_tcp_nodelay(true);      // header and body are two writes
    http->set_follow_location(false); // a token goes to no other place
    http->set_url_encode(false);
    http->set_socket_options([this](socket_t fd) { opened(fd); });
    // The last moment before a request goes out, after whatever connecting took.
    http->set_header_writer([this](httplib::Stream& out, httplib::Headers& headers) {
      if (late() || (request->wanted && !request->wanted())) throw TooLate();
      return httplib::detail::write_headers(out, headers);
    });
  }

  void opened(int fd) {
    set_options(fd);
    std::lock_guard lock(mutex);
    socket = Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  }

  void shut() const {
    if (socket) static_cast<void>(::shutdown(socket.get(), SHUT_RDWR));
  }

  [[nodiscard]] std::string reason(httplib::Error error) const {
    std::string what = httplib::to_string(error);
    if (error == httplib::Error::SSLServerVerification && tls != nullptr) {
      what = fmt::format("the server's certificate is refused: {}",
                         X509_verify_cert_error_string(tls->get_openssl_verify_result()));
    } else if (const auto code = ERR_peek_last_error();
               code != 0 && error == httplib::Error::SSLConnection) {
      std::array<char, 256> text{};
      ERR_error_string_n(code, text.data(), text.size());
      what = fmt::format("TLS handshake failed: {}", text.data());
    }
    ERR_clear_error();
    return fmt::format("{}://{}: {}", config.tls ? "https" : "http", authority(), what);
  }

  // The library leaves out the brackets of an IPv6 address where the port is the scheme's own.
  [[nodiscard]] std::string authority() const {
    const bool v6 = config.host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", config.host, v6 ? "]" : "", config.port);
  }

  [[nodiscard]] bool late() const { return deadline && now().steady >= *deadline; }
  Duration limit();
  HttpResponse run(const HttpRequest& asked, const Receiver& receiver);
};

std::mutex HttpConnection::Impl::all_mutex;
std::set<HttpConnection::Impl*> HttpConnection::Impl::all;

std::size_t HttpConnection::break_lost(const std::function<bool(const Address& own)>& stands) {
  std::size_t broken = 0;
  std::lock_guard lock(Impl::all_mutex);
  for (Impl* one : Impl::all) {
    std::lock_guard own(one->mutex);
    const auto address = one->socket ? own_address(one->socket.get()) : std::nullopt;
    if (!address || stands(*address)) continue;
    one->shut();
    ++broken;
  }
  return broken;
}

// Nothing here may take longer than what is left, as far as the library can be told; the rest is
// checked where the request goes out and where the answer comes in. Returns the read timeout.
Duration HttpConnection::Impl::limit() {
  const auto left =
      !deadline ? Duration::max()
                : std::max<Duration>(*deadline - now().steady, std::chrono::milliseconds(1));
  const auto micros = [left](Duration timeout) {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::min(timeout, left));
  };
  http->set_connection_timeout(micros(options.connect_timeout));
  http->set_read_timeout(micros(options.read_timeout));
  http->set_write_timeout(micros(options.read_timeout));
  return micros(options.read_timeout);
}

HttpResponse HttpConnection::Impl::run(const HttpRequest& asked, const Receiver& receiver) {
  HttpResponse response;
  request = &asked;
  const auto read_timeout = limit();
  httplib::Request out;
  out.method = asked.method;
  out.path = config.path_prefix + asked.target;
  out.body = asked.body;
  for (const auto& [name, value] : asked.headers) out.set_header(name, value);
  out.set_header("User-Agent", options.user_agent);
  if (!asked.content_type.empty()) out.set_header("Content-Type", asked.content_type);
  auto bearer = token->get();
  if (!bearer) {
    response.failure = bearer.error().message;
    return response;
  }
  if (!bearer->empty()) out.set_header("Authorization", "Bearer " + *bearer);
  out.set_header("Host", authority());

  auto last = now().steady;
  out.response_handler = [&](const httplib::Response& head) {
    last = now().steady;
    response.status = head.status;
    response.content_type = head.get_header_value("Content-Type");
    response.retry_after = parse_retry_after(head.get_header_value("Retry-After"));
    if (asked.head) asked.head(head.status);
    return true;
  };
  bool refused = false, cut = false;
  out.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    last = now().steady;
    cut = late(); // bytes that trickle defeat a read timeout
    if (cut || (receiver && response.status >= 200 && response.status < 300)) {
      refused = cut || !receiver(data, size);
      if (refused) { // the library would wait a while for the peer's farewell
        std::lock_guard lock(mutex);
        shut();
      }
      return !refused;
    }
    if (response.body.size() + size > kMaxBody) return false;
    response.body.append(data, size);
    return true;
  };

  httplib::Response in;
  auto error = httplib::Error::Success;
  bool done = false;
  try {
    done = http->send(out, in, error);
  } catch (const TooLate&) {
    response.failure = "the time for it has passed";
    return response;
  }
  if (!done) {
    response.failure = cut ? "the answer did not end in time" : reason(error);
    response.sent = after_connecting(error);
    response.canceled = refused;
    response.timeout =
        error == httplib::Error::ConnectionTimeout ||
        (error == httplib::Error::Read && now().steady - last >= read_timeout * 9 / 10);
  } else if (response.status == 0) { // an answer without a body never gets to the handler
    response.status = in.status;
    response.content_type = in.get_header_value("Content-Type");
    response.retry_after = parse_retry_after(in.get_header_value("Retry-After"));
  }
  if (!response.failure) response.sent = true;
  return response;
}

HttpConnection::HttpConnection(const Config& config, std::shared_ptr<TokenSource> token,
                               Options options)
    : impl_(std::make_unique<Impl>(config, std::move(token), std::move(options))) {}

HttpConnection::~HttpConnection() {
  stop();
}

HttpResponse HttpConnection::send(const HttpRequest& request, const Receiver& receiver) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) {
      HttpResponse response;
      response.canceled = true;
      response.failure = "stopped";
      return response;
    }
    impl_->sender = std::this_thread::get_id();
  }
  const auto done = [this] {
    std::lock_guard lock(impl_->mutex);
    impl_->sender = {};
    impl_->idle.notify_all();
    return impl_->stopped;
  };
  HttpResponse response;
  try {
    response = impl_->run(request, receiver);
  } catch (...) {
    static_cast<void>(done());
    throw;
  }
  if (done() && response.failure) {
    response.canceled = true;
    response.failure = "stopped";
  }
  return response;
}

void HttpConnection::set_deadline(std::optional<Time> deadline) {
  impl_->deadline = deadline;
}

void HttpConnection::interrupt() {
  std::lock_guard lock(impl_->mutex);
  impl_->shut();
}

void HttpConnection::request_stop() {
  std::lock_guard lock(impl_->mutex);
  impl_->stopped = true;
  impl_->shut();
}

void HttpConnection::stop() {
  std::unique_lock lock(impl_->mutex);
  impl_->stopped = true;
  // A shutdown between the making of a socket and its connect() has no effect: hence again and
  // again.
  while (impl_->sender != std::thread::id() && impl_->sender != std::this_thread::get_id()) {
    impl_->shut();
    impl_->idle.wait_for(lock, kStopPoll);
  }
  impl_->shut();
}

} // namespace egw::k8s
