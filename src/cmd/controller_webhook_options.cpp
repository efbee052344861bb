// SPDX-License-Identifier: Apache-2.0
#include "cmd/controller_webhook_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/ip.hpp"
#include "k8s/certificate.hpp"

namespace egw::cmd {

namespace {

// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
Result<std::string> parse_name(const std::string& text) {
  if (k8s::is_certificate_name(text) && !Address::parse(text)) return text;
  return Error{fmt::format(
      "'{}' is no name of an object: write lower case letters, digits, '-' and '.'", text)};
}

Result<std::string> parse_service(const std::string& text) {
  const auto name = parse_name(text);
  if (name && text.find('.') == std::string::npos) return text;
  return Error{
      fmt::format("'{}' is no name of a Service: write at most 63 lower case letters, digits and "
                  "'-'",
                  text)};
}

Result<std::vector<std::string>> parse_names(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    const std::string name(text.substr(0, comma));
    if (!k8s::is_certificate_name(name)) {
      return Error{fmt::format(
          "'{}' is neither a DNS name nor an address: write for example egw.example,10.0.0.1",
          name)};
    }
    names.push_back(name);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return names;
}

Result<bool> parse_flag(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return Error{fmt::format("'{}' is neither true nor false", text)};
}

} // namespace

Result<std::optional<WebhookSettings>> parse(const WebhookArguments& a) {
  if (a.address.empty()) return std::optional<WebhookSettings>();
  WebhookSettings s;
  OptionTaker taker;
  taker.take("--webhook-address", parse_listen_address(a.address), s.address);
  taker.take("--webhook-secret", parse_name(a.secret), s.secret);
  taker.take("--webhook-service", parse_service(a.service), s.service);
  taker.take("--webhook-configuration", parse_name(a.configuration), s.configurations);
  taker.take("--webhook-names", parse_names(a.names), s.names);
  taker.take("--webhook-ca-injection", parse_flag(a.inject), s.inject);
  if (!a.drain.empty()) taker.take("--webhook-drain", parse_duration(a.drain), s.drain);
  if (taker.error) return *taker.error;
  s.directory = a.directory;
  return std::optional(std::move(s));
}

} // namespace egw::cmd
