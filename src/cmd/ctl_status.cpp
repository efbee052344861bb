// SPDX-License-Identifier: Apache-2.0
#include "cmd/ctl_status.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <iterator>

#include "cmd/status_render.hpp"
#include "k8s/client.hpp"
#include "k8s/config.hpp"

namespace egw::cmd {
namespace {

using api::PolicyKind;

// Someone waits at a terminal: an API server that is not there must be told soon.
constexpr auto kPatience = std::chrono::seconds(5);

template <class T>
using Listed = Result<k8s::Client::Listed<T>>;

template <class T>
std::future<Listed<T>> start(k8s::Client& client, const api::Resource& resource,
                             const std::string& ns = {}) {
  return std::async(std::launch::async, [&client, &resource, ns] {
    k8s::ListOptions options;
    options.namespace_ = ns;
    return client.list_as<T>(resource, options, {.timeout = kPatience, .not_after = {}});
  });
}

// Takes what a list brought; the first failure stays in `failure`.
template <class T>
void take(std::future<Listed<T>> list, std::vector<T>& to, ClusterLists& lists,
          std::optional<Error>& failure) {
  Listed<T> listed = list.get();
  if (!listed.ok()) {
    if (!failure) failure = listed.error();
    return;
  }
  std::move(listed->items.begin(), listed->items.end(), std::back_inserter(to));
  std::move(listed->broken.begin(), listed->broken.end(), std::back_inserter(lists.broken));
}

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR"); // https://no-color.org
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

int unreadable(const std::string& why) {
  fmt::print(stderr, "egw ctl status: {}\n", why);
  return 2;
}

} // namespace

Result<ClusterLists> read_cluster(k8s::Client& client, const std::string& ns) {
  auto gateways = start<api::EgressGateway>(client, api::resource<api::EgressGateway>());
  auto nodes = start<api::EgressNode>(client, api::resource<api::EgressNode>());
  auto infos = start<api::EgressClusterInfo>(client, api::resource<api::EgressClusterInfo>());
  auto leases = start<api::Lease>(client, api::resource<api::Lease>(), ns);
  std::vector<std::future<Listed<api::EgressPolicy>>> policies;
  for (const PolicyKind kind : {PolicyKind::EgressGatewayPolicy, PolicyKind::EgressPolicy,
                                PolicyKind::EgressClusterPolicy}) {
    policies.push_back(start<api::EgressPolicy>(client, api::policy_resource(kind)));
  }
  std::vector<std::future<Listed<api::EgressEndpointSlice>>> slices;
  for (const bool cluster : {false, true}) {
    slices.push_back(start<api::EgressEndpointSlice>(client, api::slice_resource(cluster)));
  }

  ClusterLists lists;
  std::optional<Error> failure;
  take(std::move(gateways), lists.gateways, lists, failure);
  take(std::move(nodes), lists.nodes, lists, failure);
  take(std::move(infos), lists.infos, lists, failure);
  take(std::move(leases), lists.leases, lists, failure);
  for (auto& list : policies) take(std::move(list), lists.policies, lists, failure);
  for (auto& list : slices) take(std::move(list), lists.slices, lists, failure);
  if (failure) return *failure;
  return lists;
}

int ctl_status(const CtlStatusOptions& options) {
  const Result<k8s::Config> config = k8s::load(options.kubeconfig, options.context);
  if (!config.ok()) return unreadable(config.error().message);
  k8s::Client client(*config);
  const Result<ClusterLists> lists = read_cluster(client, options.namespace_);
  if (!lists.ok()) {
    const bool missing = k8s::not_found(lists.error());
    return unreadable(lists.error().message +
                      (missing ? "; is egw installed? kubectl apply -f manifests/crds/" : ""));
  }
  const StatusReport report = make_report(*lists, now().wall);
  std::string text;
  switch (options.output) {
    case Output::Table:
      text = render_table(report, wants_colour());
      break;
    case Output::Json:
      text = to_tree(report).json();
      break;
    case Output::Yaml:
      text = to_tree(report).yaml();
      break;
  }
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return unreadable("writing to stdout failed");
  }
  return report.ok() ? 0 : 1;
}

} // namespace egw::cmd
