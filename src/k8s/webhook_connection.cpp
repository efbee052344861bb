// SPDX-License-Identifier: Apache-2.0
#include "k8s/webhook_connection.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "k8s/http_frame.hpp"

namespace egw::k8s {
namespace {

constexpr int kStepsInTurn = 1000; // 16 KiB each: more than one whole request

const char* phrase(int status) {
  switch (status) {
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Bad Request";
  }
}

} // namespace

WebhookConnection::WebhookConnection(Fd socket, const WebhookLimits& limits, WebhookHost& host)
    : socket_(std::move(socket)),
      limits_(limits),
      host_(host),
      deadline_(now().steady + limits.handshake) {}

WebhookConnection::~WebhookConnection() {
  host_.release(in_.size());
}

WebhookConnection::Wait WebhookConnection::advance() {
  for (int i = 0; i < kStepsInTurn; ++i) {
    ERR_clear_error(); // SSL_get_error looks there too
    if (const auto pause = step()) return *pause;
  }
  return Wait::Turn;
}

WebhookConnection::Pause WebhookConnection::step() {
  switch (state_) {
    case State::Fresh:
      return begin();
    case State::Handshake:
      return shake_hands();
    case State::Reading:
      return read();
    case State::Writing:
      return write();
    case State::Lingering:
      return linger();
  }
  return Wait::Closed;
}

void WebhookConnection::enter(State state, Duration limit) {
  state_ = state;
  deadline_ = now().steady + limit;
}

WebhookConnection::Pause WebhookConnection::paused(int result) {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wait::Readable;
    case SSL_ERROR_WANT_WRITE:
      return Wait::Writable;
    case SSL_ERROR_SSL:
      if (const char* why = ERR_reason_error_string(ERR_peek_last_error())) host_.tls_failed(why);
      ERR_clear_error();
      break;
    default: // the client went away
      break;
  }
  return Wait::Closed;
}

WebhookConnection::Pause WebhookConnection::begin() {
  tls_ = host_.session();
  if (!tls_ || SSL_set_fd(tls_.get(), socket_.get()) != 1) return Wait::Closed;
  state_ = State::Handshake;
  return std::nullopt;
}

WebhookConnection::Pause WebhookConnection::shake_hands() {
  if (const int done = SSL_accept(tls_.get()); done != 1) return paused(done);
  enter(State::Reading, limits_.request);
  return std::nullopt;
}

WebhookConnection::Pause WebhookConnection::read() {
  if (answer()) return std::nullopt;
  std::array<char, 16384> buffer; // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
  const int size = SSL_read(tls_.get(), buffer.data(), static_cast<int>(buffer.size()));
  if (size <= 0) return paused(size);
  if (in_.empty()) deadline_ = now().steady + limits_.request;
  const auto bytes = static_cast<std::size_t>(size);
  if (host_.reserve(bytes)) {
    in_.append(buffer.data(), bytes);
  } else {
    refuse(503);
  }
  return std::nullopt;
}

// Whether what has come is enough for an answer.
bool WebhookConnection::answer() {
  if (in_.empty() || in_.size() < wanted_) return false;
  const auto frame = frame_request(in_, limits_.max_body);
  wanted_ = frame.size;
  if (frame.state == HttpFrame::State::Partial) return false;
  if (frame.state == HttpFrame::State::Refused) {
    refuse(frame.status);
    return true;
  }
  auto reply = host_.reply(std::string_view(in_).substr(0, frame.size));
  out_ = std::move(reply.bytes);
  last_ = reply.last;
  in_.erase(0, frame.size);
  if (in_.empty()) in_.shrink_to_fit(); // idle connections hold no memory
  host_.release(frame.size);
  wanted_ = 0;
  enter(State::Writing, limits_.request);
  return true;
}

void WebhookConnection::refuse(int status) {
  out_ = fmt::format("HTTP/1.1 {} {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status,
                     phrase(status));
  last_ = true;
  host_.release(in_.size());
  in_ = {};
  enter(State::Writing, limits_.request);
}

WebhookConnection::Pause WebhookConnection::write() {
  if (sent_ < out_.size()) {
    const auto size = std::min<std::size_t>(out_.size() - sent_, 1U << 20U);
    const int done = SSL_write(tls_.get(), out_.data() + sent_, static_cast<int>(size));
    if (done <= 0) return paused(done);
    sent_ += static_cast<std::size_t>(done);
    return std::nullopt;
  }
  out_ = {};
  sent_ = 0;
  if (!last_) {
    enter(State::Reading, in_.empty() ? limits_.idle : limits_.request);
    return in_.empty() ? std::nullopt : Pause(Wait::Turn);
  }
  // A socket that is closed with unread bytes in it resets the connection, and takes the answer
  // away from a client that has not read it yet.
  static_cast<void>(SSL_shutdown(tls_.get()));
  static_cast<void>(::shutdown(socket_.get(), SHUT_WR));
  enter(State::Lingering, limits_.linger);
  return std::nullopt;
}

WebhookConnection::Pause WebhookConnection::linger() {
  std::array<char, 16384> buffer; // NOLINT(cppcoreguidelines-pro-type-member-init): not looked at
  const auto size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (size > 0) return std::nullopt;
  return size < 0 && (errno == EAGAIN || errno == EINTR) ? Wait::Readable : Wait::Closed;
}

} // namespace egw::k8s
