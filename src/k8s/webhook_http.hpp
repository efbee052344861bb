// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "k8s/webhook_limits.hpp"

namespace egw::k8s {

struct WebhookAnswer {
  int status = 200;
  std::string body; // application/json, or text where the status is an error's
};
using WebhookHandler = std::function<WebhookAnswer(const std::string& body)>;
using WebhookHandlers = std::map<std::string, WebhookHandler>; // by path, "/validate"

// The HTTP of a webhook's server, by cpp-httplib: a whole request in, its answer out. Thread-safe.
class WebhookHttp {
 public:
  WebhookHttp(WebhookHandlers handlers, const WebhookLimits& limits);
  ~WebhookHttp();
  WebhookHttp(const WebhookHttp&) = delete;
  WebhookHttp& operator=(const WebhookHttp&) = delete;

  // A listening socket that does not block. Throws std::system_error.
  struct Listener {
    Fd socket;
    int port = 0;
  };
  [[nodiscard]] Listener listen(const std::string& host, int port);

  struct Reply {
    std::string bytes;
    bool last = false; // the connection ends with it
    std::string path;  // empty: none of the handlers'
    int status = 0;
  };
  // `last`: the connection is to end in any case. What a handler throws is answered with 500.
  [[nodiscard]] Reply answer(std::string_view request, bool last);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace egw::k8s
