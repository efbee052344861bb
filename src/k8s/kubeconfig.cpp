// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/base64.hpp"
#include "k8s/config.hpp"
#include "k8s/file.hpp"
#include "k8s/tls.hpp"

// The fields of a kubeconfig: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
namespace egw::k8s {
namespace {

struct Failure { // unwinds to from_kubeconfig(), where it becomes an Error
  std::string message;
};

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Failure{fmt::format("kubeconfig {}: {}", path_, what)};
  }

  [[nodiscard]] std::string text(const YAML::Node& node, const char* field) const {
    const auto value = node[field];
    if (!value || value.IsNull()) return {};
    if (!value.IsScalar()) fail(fmt::format("{} must be a string", field));
    return value.as<std::string>();
  }

  // Entry `name` of one of the three lists of names.
  [[nodiscard]] YAML::Node named(const YAML::Node& root, const char* list, const char* member,
                                 const std::string& name) const {
    for (const auto& entry : root[list]) {
      if (entry.IsMap() && text(entry, "name") == name) {
        if (!entry[member].IsMap()) fail(fmt::format("{} \"{}\" has no {}", list, name, member));
        return entry[member];
      }
    }
    fail(fmt::format("there is no \"{}\" among {}", name, list));
  }

  void refuse(const YAML::Node& node, const char* where, const std::string& name,
              std::initializer_list<std::pair<const char*, const char*>> fields) const {
    for (const auto& [field, remedy] : fields) {
      const auto value = node[field];
      if (!value || value.IsNull()) continue;
      if (value.IsScalar() && (value.Scalar().empty() || value.Scalar() == "false")) continue;
      fail(fmt::format("{} of {} \"{}\" is not supported: {}", field, where, name, remedy));
    }
  }

  // FIELD-data (base64) wins over FIELD (a path), as it does in kubectl.
  [[nodiscard]] std::string material(const YAML::Node& node, const std::string& field) const {
    const auto inline_field = field + "-data";
    if (const auto data = text(node, inline_field.c_str()); !data.empty()) {
      auto decoded = base64_decode(data);
      if (!decoded) fail(fmt::format("{} is {}", inline_field, decoded.error().message));
      return std::move(decoded).value();
    }
    const auto file = text(node, field.c_str());
    if (file.empty()) return {};
    auto content = read_file(resolved(file));
    if (!content) fail(fmt::format("{}: {}", field, content.error().message));
    return std::move(content).value();
  }

  [[nodiscard]] std::string resolved(const std::string& file) const {
    return (std::filesystem::path(path_).parent_path() / file).string();
  }

 private:
  std::string path_;
};

void read_server(const Reader& reader, std::string url, Config& config) {
  const auto bad = [&, url](const char* why) {
    reader.fail(fmt::format("server is \"{}\": {}", url, why));
  };
  if (url.starts_with("https://")) {
    url.erase(0, 8);
  } else if (url.starts_with("http://")) {
    url.erase(0, 7);
    config.tls = false;
    config.port = 80;
  } else {
    bad("https://HOST[:PORT] is needed");
  }
  if (const auto slash = url.find('/'); slash != std::string::npos) {
    config.path_prefix = url.substr(slash);
    while (config.path_prefix.ends_with('/')) config.path_prefix.pop_back();
    url.erase(slash);
  }
  std::string port;
  if (url.starts_with('[')) {
    const auto close = url.find(']');
    if (close == std::string::npos) bad("an IPv6 address ends with ]");
    config.host = url.substr(1, close - 1);
    const auto rest = url.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') bad("only :PORT may follow ]");
    if (!rest.empty()) port = rest.substr(1);
  } else if (const auto colon = url.rfind(':'); colon != std::string::npos) {
    config.host = url.substr(0, colon);
    port = url.substr(colon + 1);
    if (config.host.find(':') != std::string::npos) bad("an IPv6 address stands in [ ]");
  } else {
    config.host = url;
  }
  if (config.host.empty() || config.host.find_first_of("@?# ") != std::string::npos) {
    bad("https://HOST[:PORT] is needed");
  }
  if (port.empty()) return;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), config.port);
  if (error != std::errc() || end != port.data() + port.size() || config.port == 0) {
    bad("the port is a number from 1 to 65535");
  }
}

void read_user(const Reader& reader, const YAML::Node& user, const std::string& name,
               Config& config) {
  constexpr auto kUse = "use a client certificate or a token (a service account's, for example)";
  reader.refuse(user, "user", name,
                {{"exec", kUse},
                 {"auth-provider", kUse},
                 {"username", kUse},
                 {"password", kUse},
                 {"as", "remove it: requests are made as the user itself"},
                 {"as-uid", "remove it: requests are made as the user itself"},
                 {"as-groups", "remove it: requests are made as the user itself"},
                 {"as-user-extra", "remove it: requests are made as the user itself"}});
  config.client_cert_pem = reader.material(user, "client-certificate");
  config.client_key_pem = reader.material(user, "client-key");
  if (config.client_cert_pem.empty() != config.client_key_pem.empty()) {
    reader.fail(fmt::format("user \"{}\" has only one of client-certificate and client-key", name));
  }
  if (const auto file = reader.text(user, "tokenFile"); !file.empty()) {
    config.token_file = reader.resolved(file);
  } else {
    config.token = reader.text(user, "token");
  }
  for (const char c : config.token) {
    if (c <= ' ' || c > '~')
      reader.fail(fmt::format("token of user \"{}\" has a blank in it", name));
  }
}

Config parse(const Reader& reader, const std::string& path, const std::string& wanted) {
  auto content = read_file(path);
  if (!content) throw Failure{content.error().message};
  const YAML::Node root = YAML::Load(*content);
  if (!root.IsMap()) reader.fail("is not a map");
  const auto context = wanted.empty() ? reader.text(root, "current-context") : wanted;
  if (context.empty()) reader.fail("has no current-context: name one with --context");
  const auto chosen = reader.named(root, "contexts", "context", context);
  const auto cluster_name = reader.text(chosen, "cluster");
  const auto cluster = reader.named(root, "clusters", "cluster", cluster_name);

  Config config;
  config.origin = path;
  config.namespace_ = reader.text(chosen, "namespace");
  if (config.namespace_.empty()) config.namespace_ = "default";
  reader.refuse(
      cluster, "cluster", cluster_name,
      {{"insecure-skip-tls-verify", "give the server's authority (certificate-authority)"},
       {"tls-server-name", "use a name or address that the server's certificate bears"},
       {"proxy-url", "the API server must be reached directly"}});
  read_server(reader, reader.text(cluster, "server"), config);
  config.ca_pem = reader.material(cluster, "certificate-authority");
  if (const auto user = reader.text(chosen, "user"); !user.empty()) {
    read_user(reader, reader.named(root, "users", "user", user), user, config);
  }
  if (!config.tls && (!config.token.empty() || !config.token_file.empty())) {
    reader.fail("a token would go over plain http: use https in server");
  }
  return config;
}

} // namespace

Result<Config> from_kubeconfig(const std::string& path, const std::string& context) {
  if (path.find(':') != std::string::npos && !std::filesystem::exists(path)) {
    return Error{
        fmt::format("KUBECONFIG is \"{}\": several files are not supported, name one", path)};
  }
  try {
    auto config = parse(Reader(path), path, context);
    if (auto usable = check_tls(config); !usable) return usable.error();
    return config;
  } catch (const Failure& failure) {
    return Error{failure.message};
  } catch (const YAML::Exception& error) {
    return Error{fmt::format("kubeconfig {}: {}", path, error.what())};
  }
}

} // namespace egw::k8s
