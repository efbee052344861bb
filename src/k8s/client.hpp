// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/json.hpp"
#include "api/json_parse.hpp"
#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "k8s/backoff.hpp"
#include "k8s/config.hpp"
#include "k8s/metrics.hpp"
#include "k8s/tenure.hpp"

// Requests to the Kubernetes API (https://kubernetes.io/docs/reference/using-api/api-concepts/). A
// refusal is a value: Error::code is the HTTP status, Error::message names verb, object and what
// the server's Status says. Code 0: no answer (network, TLS, deadline, stop()).
namespace egw::k8s {

[[nodiscard]] inline bool not_found(const Error& e) {
  return e.code == 404;
}
// Create: there is one already. Update, patch, remove: not the version that was named.
[[nodiscard]] inline bool conflict(const Error& e) {
  return e.code == 409;
}
[[nodiscard]] inline bool forbidden(const Error& e) {
  return e.code == 401 || e.code == 403;
}
// May go through later without anyone's doing: no answer, 429, 5xx.
[[nodiscard]] inline bool transient(const Error& e) {
  return e.code == 0 || e.code == 429 || e.code >= 500;
}

// Failover and leader election stand outside the rate limit: they must not wait behind status
// writes.
enum class Lane : std::uint8_t { Normal, Failover };

struct CallOptions {
  Lane lane = Lane::Normal;
  Duration timeout = std::chrono::seconds(30); // for all attempts and waits together
  std::optional<Time> not_after;               // never sent after this
};

struct ClientOptions {
  double qps = 50; // of Lane::Normal
  int burst = 100;
  BackoffOptions retry{std::chrono::milliseconds(100), std::chrono::seconds(5)};
  Duration connect_timeout = std::chrono::seconds(3); // TCP and TLS, each
  Duration read_timeout = std::chrono::seconds(10);   // silence within one attempt
  std::string user_agent = "egw";
};

struct ListOptions {
  std::string namespace_; // empty: all
  std::string label_selector, field_selector;
  bool metadata_only = false; // items are PartialObjectMetadata
  int page_size = 500;        // 0: one page
};

enum class Verb : std::uint8_t { Create, Update, MergePatch, JsonPatch, Apply, Remove };
[[nodiscard]] const char* to_string(Verb verb);

// One change to one object, as a value, so that it can be queued (writer.hpp) and tested.
struct Write {
  Verb verb = Verb::Create;
  const api::Resource* resource = nullptr;
  api::NamespacedName key;      // name may be empty for Create with generateName
  bool status = false;          // the status subresource (Update, patches, Apply)
  std::string body;             // JSON; not used by Remove
  std::string field_manager;    // required by Apply; used by the others when not empty
  bool force = true;            // Apply: take fields over from other managers
  bool dry_run = false;         // all but the change itself is done; not for Remove
  std::string uid;              // Remove: only this very object, when not empty
  std::string resource_version; // Remove: only this version, when not empty
  Lane lane = Lane::Normal;
  std::shared_ptr<const Tenure> tenure; // never sent after its end; nothing: no matter who leads
  std::uint64_t tag = 0;                // the caller's own; handed back with the result
  bool operator==(const Write&) const = default;
};

// Thread-safe. Connections are kept alive and shared: a call takes an idle one or opens another.
//
// Retried, with backoff and jitter, until the timeout: a connection that could not be made; 429 and
// any 5xx with Retry-After (the server says that it did nothing); and for all but Create also a cut
// connection, 502, 503 and 504. Create after a cut is not repeated, since it may have been done.
class Client {
 public:
  // Throws std::runtime_error where the credentials are unusable; those that config.hpp returned
  // are not.
  explicit Client(Config config, ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // The object as JSON. resourceVersion is unset: the most recent state (quorum read).
  [[nodiscard]] Result<std::string> get(const api::Resource& resource,
                                        const api::NamespacedName& key,
                                        const CallOptions& options = {});
  // Any path, for example "/version".
  [[nodiscard]] Result<std::string> get_raw(const std::string& path,
                                            const CallOptions& options = {});

  // Calls `item` for each object in order, as soon as it is there, and returns the list's
  // resourceVersion. The most recent state, in pages of one snapshot. The text ends with a zero
  // byte, is valid during the call and may be parsed in place. `restart` is called when the pages
  // expired (410) or the connection broke and all begins anew: forget what came so far.
  using ItemSink = std::function<void(char* begin, std::size_t size)>;
  [[nodiscard]] Result<std::string> list(const api::Resource& resource, const ListOptions& options,
                                         const ItemSink& item, const std::function<void()>& restart,
                                         const CallOptions& call_options = {});

  // The object after the change as JSON; for Remove the object or a Status.
  [[nodiscard]] Result<std::string> write(const Write& write, const CallOptions& options = {});

  template <class T>
  [[nodiscard]] Result<T> get_as(const api::Resource& resource, const api::NamespacedName& key,
                                 const CallOptions& options = {}) {
    return decoded<T>(get(resource, key, options));
  }
  template <class T>
  [[nodiscard]] Result<T> get_as(const api::NamespacedName& key, const CallOptions& options = {}) {
    return get_as<T>(api::resource<T>(), key, options);
  }
  template <class T>
  struct Listed {
    std::vector<T> items;
    std::vector<Error> broken; // objects that could not be decoded, by name
    std::string resource_version;
  };
  template <class T>
  [[nodiscard]] Result<Listed<T>> list_as(const api::Resource& resource,
                                          const ListOptions& options = {},
                                          const CallOptions& call_options = {});
  template <class T>
  [[nodiscard]] Result<T> write_as(const Write& change, const CallOptions& options = {}) {
    return decoded<T>(write(change, options));
  }

  // All calls, also those under way, return soon with an error; none is made afterwards.
  void stop();
  [[nodiscard]] bool stopped() const;

  [[nodiscard]] const ClientMetrics& metrics() const;
  [[nodiscard]] const Config& config() const;

 private:
  struct Impl;
  template <class T>
  static Result<T> decoded(Result<std::string> text) {
    if (!text) return text.error();
    return api::decode_text<T>(text.value());
  }
  // PartialObjectMetadata is decoded as the kind whose metadata it is.
  template <class T>
  static Result<T> decoded_item(char* begin, bool metadata_only) {
    rapidjson::Document document;
    if (auto parsed = api::parse_json_in_situ(document, begin); !parsed) return parsed.error();
    if (metadata_only && document.IsObject()) document.RemoveMember("kind");
    return api::decode<T>(document);
  }
  std::unique_ptr<Impl> impl_;
};

template <class T>
Result<Client::Listed<T>> Client::list_as(const api::Resource& resource, const ListOptions& options,
                                          const CallOptions& call_options) {
  Listed<T> listed;
  auto version = list(
      resource, options,
      [&](char* begin, std::size_t) {
        auto object = decoded_item<T>(begin, options.metadata_only);
        if (object) {
          listed.items.push_back(std::move(object).value());
        } else {
          listed.broken.push_back(object.error());
        }
      },
      [&] { listed = {}; }, call_options);
  if (!version) return version.error();
  listed.resource_version = std::move(version).value();
  return listed;
}

// "/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME", without what is empty.
[[nodiscard]] std::string resource_path(const api::Resource& resource,
                                        const api::NamespacedName& key);
// Percent-encoding for a query's value (RFC 3986: all but unreserved characters).
[[nodiscard]] std::string url_encode(std::string_view text);

} // namespace egw::k8s
