// SPDX-License-Identifier: Apache-2.0
#include "connection.hpp"

#include <strings.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <limits>

namespace egw::test {
namespace {

constexpr std::size_t max_head = 64 << 10, max_body = 16 << 20;

std::string head_of(int code, const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string head = "HTTP/1.1 " + std::to_string(code) + " Scripted\r\n";
  for (const auto& [name, value] : headers) head.append(name).append(": ").append(value + "\r\n");
  return head;
}

std::string chunk(std::string_view text) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return size + std::string(text) + "\r\n";
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
  return line;
}

// The head without its empty line; false when it is none of HTTP/1.1.
bool parse_head(std::string_view head, Request& request) {
  const std::string_view first = take_line(head);
  const std::size_t one = first.find(' '), two = first.rfind(' ');
  if (one == std::string_view::npos || two == one || first.substr(two + 1) != "HTTP/1.1")
    return false;
  request.method = first.substr(0, one);
  request.target = first.substr(one + 1, two - one - 1);
  if (request.target.empty() || request.target.front() != '/') return false;
  while (!head.empty()) {
    const std::string_view line = take_line(head);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    request.headers.emplace_back(line.substr(0, colon),
                                 value == std::string_view::npos ? "" : line.substr(value));
  }
  return !request.header("Host").empty(); // RFC 9112, 3.2
}

} // namespace

void Connection::run(std::optional<Fault> fault) {
  if (handshake(fault)) {
    while (!done_) {
      const std::optional<Request> request = read_request();
      if (!request) break;
      const bool keep_alive = strcasecmp(request->header("Connection").c_str(), "close") != 0;
      if (!send(server_.answer(*request), keep_alive)) break;
    }
  }
  if (!done_) end(Reply::End::in_order);
}

bool Connection::handshake(std::optional<Fault> fault) {
  switch (fault.value_or(Fault::unknown_ca)) {
    case Fault::close:
      end(Reply::End::cut);
      return false;
    case Fault::reset:
      end(Reply::End::reset);
      return false;
    case Fault::silence:
      hold();
      return false;
    case Fault::no_tls: {
      std::string hello; // answered, as a plain HTTP server would
      if (channel_.read(hello)) (void)channel_.write("HTTP/1.1 400 Bad Request\r\n\r\n");
      end(Reply::End::cut);
      return false;
    }
    case Fault::unknown_ca:
      break;
  }
  if (!server_.options_.tls) return true;
  const std::string error =
      channel_.handshake((fault ? server_.foreign_context_ : server_.context_).get());
  if (!error.empty() && !fault)
    server_.error("connection " + std::to_string(number_) + ": TLS handshake: " + error);
  return error.empty();
}

std::optional<Request> Connection::read_request() {
  std::size_t end = 0;
  while ((end = unread_.find("\r\n\r\n")) == std::string::npos) {
    if (unread_.size() > max_head) {
      server_.error("a request's head is longer than " + std::to_string(max_head));
      return {};
    }
    if (!channel_.read(unread_)) {
      if (!unread_.empty()) server_.error("cut off within a request's head: " + unread_);
      return {};
    }
  }
  Request request;
  request.connection = number_;
  request.client = channel_.client_name();
  const std::string head = unread_.substr(0, end);
  unread_.erase(0, end + 4);
  if (!parse_head(head, request)) {
    server_.error("this is no request: " + head);
    return {};
  }
  if (!read_body(request)) return {};
  return request;
}

bool Connection::read_body(Request& request) {
  if (!request.header("Transfer-Encoding").empty()) {
    server_.error(request.method + " " + request.target + ": a body in chunks");
    return false;
  }
  const std::string announced = request.header("Content-Length");
  if (announced.empty()) return true;
  std::size_t size = 0;
  const char* const last = announced.data() + announced.size();
  const auto parsed = std::from_chars(announced.data(), last, size);
  if (parsed.ec != std::errc{} || parsed.ptr != last || size > max_body) {
    server_.error(request.method + " " + request.target + ": Content-Length: " + announced);
    return false;
  }
  if (strcasecmp(request.header("Expect").c_str(), "100-continue") == 0 && unread_.empty() &&
      !channel_.write("HTTP/1.1 100 Continue\r\n\r\n"))
    return false;
  while (unread_.size() < size) {
    if (!channel_.read(unread_)) {
      server_.error(request.method + " " + request.target + ": cut off within its body");
      return false;
    }
  }
  request.body = unread_.substr(0, size);
  unread_.erase(0, size);
  return true;
}

bool Connection::send(const Reply& reply, bool keep_alive) {
  std::size_t size = 0;
  for (const Reply::Step& step : reply.steps_)
    if (step.kind == Reply::Step::Kind::text) size += step.value.size();
  const bool whole = reply.end_ == Reply::End::in_order;
  std::string head = head_of(reply.code_, reply.headers_);
  head += reply.chunked_ ? std::string("Transfer-Encoding: chunked\r\n")
                         : "Content-Length: " + std::to_string(size) + "\r\n";
  if (!keep_alive) head += "Connection: close\r\n";
  if (!channel_.write(head + "\r\n")) return false;
  const bool all = whole || reply.chunked_;
  if (!send_steps(reply, all ? std::numeric_limits<std::size_t>::max() : size / 2)) return false;
  if (whole) return (!reply.chunked_ || channel_.write("0\r\n\r\n")) && keep_alive;
  if (reply.end_ == Reply::End::hold)
    hold();
  else
    end(reply.end_);
  return false;
}

// At most `limit` bytes of the body.
bool Connection::send_steps(const Reply& reply, std::size_t limit) {
  Milliseconds pause{};
  for (const Reply::Step& step : reply.steps_) {
    switch (step.kind) {
      case Reply::Step::Kind::stall:
        if (!server_.wait_release(step.value, number_)) return false;
        break;
      case Reply::Step::Kind::slow:
        pause = step.pause;
        break;
      case Reply::Step::Kind::text: {
        const std::string_view text = std::string_view(step.value).substr(0, limit);
        limit -= text.size();
        if (text.empty()) break; // an empty chunk would be the last one
        if (!send_text(reply.chunked_ ? chunk(text) : std::string(text), pause)) return false;
        break;
      }
    }
  }
  return true;
}

bool Connection::send_text(std::string_view text, Milliseconds pause) {
  if (pause == Milliseconds{}) return channel_.write(text);
  for (std::size_t i = 0; i < text.size(); ++i)
    if (!channel_.write(text.substr(i, 1)) || !server_.pause(pause, number_)) return false;
  return true;
}

void Connection::hold() {
  // What the client still sends is a mistake of its own: nothing may follow an unfinished answer.
  while (channel_.read(unread_)) {
  }
  if (!unread_.empty()) server_.error("sent while the answer was not finished: " + unread_);
}

void Connection::end(Reply::End how) {
  done_ = true;
  server_.closed(number_); // before the descriptor's number can belong to another connection
  if (how == Reply::End::reset)
    channel_.reset();
  else if (how == Reply::End::cut)
    channel_.close();
  else
    channel_.finish();
}

} // namespace egw::test
