// SPDX-License-Identifier: Apache-2.0
// Against a real API server. EGW_KUBECONFIG: of a user who may do everything there.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <thread>

#include "base/queue.hpp"
#include "k8s/client.hpp"
#include "k8s/elector.hpp"
#include "k8s/events.hpp"
#include "k8s/support.hpp"
#include "k8s/watch.hpp"

using namespace egw;
using namespace egw::test;
using api::Lease;
using api::Node;
using k8s::Verb;
using k8s::Write;

namespace {

k8s::Config admin() {
  const char* path = std::getenv("EGW_KUBECONFIG"); // NOLINT(concurrency-mt-unsafe)
  REQUIRE_MESSAGE(path != nullptr, "EGW_KUBECONFIG must name a kubeconfig of a test API server");
  auto config = k8s::load(std::string(path));
  if (!config) FAIL(config.error().message);
  return *config;
}

std::string unique(const char* base) {
  static int counter = 0;
  return fmt::format("{}-{}-{}", base, getpid(), ++counter);
}

// Removes what a test made, also when it fails.
struct Fixture {
  k8s::Config config = admin();
  k8s::Client client{config};
  std::vector<Write> made;

  ~Fixture() {
    for (auto& write : made) {
      Write remove;
      remove.verb = Verb::Remove;
      remove.resource = write.resource;
      remove.key = write.key;
      static_cast<void>(client.write(remove)); // may be gone already
    }
  }

  Write node(Verb verb, const std::string& name, const std::string& body) {
    Write write;
    write.verb = verb;
    write.resource = &api::resource<Node>();
    write.key = {"", name};
    write.body = body;
    return write;
  }
  static std::string body(const std::string& name, const std::string& more = "") {
    return fmt::format(R"({{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{}"{}}}}})", name,
                       more);
  }
  Result<Node> create(const std::string& name, const std::string& more = "") {
    auto write = node(Verb::Create, name, body(name, more));
    made.push_back(write);
    return client.write_as<Node>(write);
  }
};

} // namespace

TEST_SUITE_BEGIN("k8s_api");

TEST_CASE_FIXTURE(Fixture, "create, get, update, patch, apply, delete, and refusals as values") {
  const auto name = unique("node");
  const auto created = create(name);
  REQUIRE_MESSAGE(created, (created ? "" : created.error().message));
  CHECK(created->meta.uid.size() == 36);

  const auto again = create(name);
  REQUIRE_FALSE(again);
  CHECK(k8s::conflict(again.error()));
  CHECK(again.error().message.find(name) != std::string::npos);
  CHECK(again.error().message.find("create Node") == 0);

  const auto patched =
      client.write_as<Node>(node(Verb::MergePatch, name, R"({"metadata":{"labels":{"a":"b"}}})"));
  REQUIRE(patched);
  CHECK(*patched->meta.labels.find("a") == "b");

  // A JSON patch with a version is a compare-and-swap too.
  const auto swap = [&](const std::string& version, const char* path) {
    return client.write_as<Node>(
        node(Verb::JsonPatch, name,
             fmt::format(R"([{{"op":"replace","path":"/metadata/resourceVersion","value":"{}"}},)"
                         R"({{"op":"add","path":"{}","value":"b"}}])",
                         version, path)));
  };
  const auto late = swap(created->meta.resource_version, "/metadata/labels/c");
  REQUIRE_FALSE(late);
  CHECK(k8s::conflict(late.error()));
  CHECK(swap(patched->meta.resource_version, "/spec/taints/7/key").error().code == 422);
  const auto swapped = swap(patched->meta.resource_version, "/metadata/labels/c");
  REQUIRE(swapped);
  CHECK(*swapped->meta.labels.find("c") == "b");

  auto status = node(Verb::MergePatch, name,
                     R"({"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.7"}]}})");
  status.status = true;
  const auto with_address = client.write_as<Node>(status);
  REQUIRE(with_address);
  CHECK(with_address->internal_ips.size() == 1);

  // The version before the last one: a compare-and-swap that fails.
  const auto stale = client.write(
      node(Verb::Update, name,
           body(name, fmt::format(R"(,"resourceVersion":"{}")", created->meta.resource_version))));
  REQUIRE_FALSE(stale);
  CHECK(k8s::conflict(stale.error()));
  CHECK(stale.error().message.find("the object has been modified") != std::string::npos);
  const auto updated = client.write_as<Node>(
      node(Verb::Update, name,
           body(name, fmt::format(R"(,"resourceVersion":"{}","labels":{{"c":"d"}})",
                                  with_address->meta.resource_version))));
  REQUIRE(updated);
  CHECK_FALSE(updated->meta.labels.find("a").has_value());

  // Two managers of one field: refused, then forced.
  auto apply = node(Verb::Apply, name, body(name, R"(,"labels":{"e":"f"})"));
  apply.field_manager = "one";
  apply.force = false;
  REQUIRE(client.write(apply));
  apply.field_manager = "two";
  apply.body = body(name, R"(,"labels":{"e":"g"})");
  const auto refused = client.write(apply);
  REQUIRE_FALSE(refused);
  CHECK(k8s::conflict(refused.error()));
  apply.force = true;
  const auto forced = client.write_as<Node>(apply);
  REQUIRE(forced);
  CHECK(*forced->meta.labels.find("e") == "g");
  CHECK(*forced->meta.labels.find("c") == "d");

  auto remove = node(Verb::Remove, name, "");
  remove.uid = "00000000-0000-0000-0000-000000000000";
  const auto other = client.write(remove);
  REQUIRE_FALSE(other);
  CHECK(k8s::conflict(other.error()));
  remove.uid = created->meta.uid;
  CHECK(client.write(remove));
  const auto gone = client.get_as<Node>({"", name});
  REQUIRE_FALSE(gone);
  CHECK(k8s::not_found(gone.error()));
}

TEST_CASE_FIXTURE(Fixture, "server-side apply of a status") {
  const auto name = unique("node");
  REQUIRE(create(name));
  auto apply =
      node(Verb::Apply, name,
           fmt::format(R"({{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{}"}},"status":)"
                       R"({{"conditions":[{{"type":"Ready","status":"True"}}]}}}})",
                       name));
  apply.status = true;
  apply.field_manager = "kubelet";
  const auto applied = client.write_as<Node>(apply);
  REQUIRE_MESSAGE(applied, (applied ? "" : applied.error().message));
  CHECK(applied->ready);
}

TEST_CASE_FIXTURE(Fixture, "lists in pages and by selector") {
  const auto label = unique("set");
  for (int i = 0; i < 7; ++i) {
    REQUIRE(create(unique("node"), fmt::format(R"(,"labels":{{"set":"{}"}})", label)));
  }
  k8s::ListOptions options;
  options.label_selector = "set=" + label;
  options.page_size = 3;
  const auto listed = client.list_as<Node>(api::resource<Node>(), options);
  REQUIRE(listed);
  CHECK(listed->items.size() == 7);
  CHECK(k8s::parse_version(listed->resource_version));
  options.metadata_only = true;
  const auto names = client.list_as<Node>(api::resource<Node>(), options);
  REQUIRE(names);
  CHECK(names->items.size() == 7);
  CHECK(names->items[0].meta.name == listed->items[0].meta.name);
}

TEST_CASE_FIXTURE(Fixture, "watch: streaming and in pages, whole objects and metadata") {
  for (const bool streaming : {true, false}) {
    for (const bool metadata_only : {true, false}) {
      CAPTURE(streaming);
      CAPTURE(metadata_only);
      const auto label = unique("set");
      const auto more = fmt::format(R"(,"labels":{{"set":"{}"}})", label);
      const auto first = unique("node"), second = unique("node");
      const auto before = create(first, more);
      REQUIRE(before);

      NodeCache cache;
      auto options = quick_watch(api::resource<Node>());
      options.streaming = streaming;
      options.metadata_only = metadata_only;
      options.label_selector = "set=" + label;
      k8s::Watch<Node> watch(config, options, cache.sink());
      CHECK(cache.await({first + "@" + before->meta.resource_version}));

      const auto after = create(second, more);
      REQUIRE(after);
      CHECK(cache.await({first + "@" + before->meta.resource_version,
                         second + "@" + after->meta.resource_version}));
      // It leaves the selection: for this watch it is deleted.
      REQUIRE(client.write(node(Verb::MergePatch, second, R"({"metadata":{"labels":null}})")));
      CHECK(cache.await({first + "@" + before->meta.resource_version}));
      // Deleted and made again.
      REQUIRE(client.write(node(Verb::Remove, first, "")));
      const auto anew = create(first, more);
      REQUIRE(anew);
      CHECK(cache.await({first + "@" + anew->meta.resource_version}));
      CHECK(cache.errors().empty());
      CHECK(watch.metrics().lists == 1);
      // Servers before 1.32 do not stream lists by themselves: there the first stream was in vain.
      const std::uint64_t opened = watch.metrics().watches;
      CHECK(opened >= 1);
      CHECK(opened <= (streaming ? 2 : 1));
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "streams that the server ends in order are taken up, not listed anew") {
  NodeCache cache;
  auto options = quick_watch(api::resource<Node>());
  options.server_timeout = 1s;
  options.healthy_after = 500ms;
  const auto label = unique("set");
  options.label_selector = "set=" + label;
  k8s::Watch<Node> watch(config, options, cache.sink());
  CHECK(cache.await({}));
  const auto begun = now().steady;
  const auto name = unique("node");
  while (watch.metrics().watches < 2 && now().steady - begun < kPatience) {
    std::this_thread::sleep_for(10ms);
  }
  const auto made_now = create(name, fmt::format(R"(,"labels":{{"set":"{}"}})", label));
  REQUIRE(made_now);
  CHECK(cache.await({name + "@" + made_now->meta.resource_version}));
  CHECK(watch.metrics().lists == 1);
  CHECK(cache.errors().empty());
}

TEST_CASE_FIXTURE(Fixture, "what RBAC denies is a value with the server's words") {
  // A service account's token and nothing bound to it.
  Write account;
  static constexpr api::Resource kAccounts{"", "v1", "serviceaccounts", "ServiceAccount", true};
  account.verb = Verb::Create;
  account.resource = &kAccounts;
  account.key = {"default", unique("nobody")};
  account.body =
      fmt::format(R"({{"apiVersion":"v1","kind":"ServiceAccount","metadata":{{"name":"{}"}}}})",
                  account.key.name);
  made.push_back(account);
  REQUIRE(client.write(account));
  // Its token is a subresource that is created; a resource of that path does as well.
  const auto path = "serviceaccounts/" + account.key.name + "/token";
  const api::Resource tokens{"", "v1", path.c_str(), "TokenRequest", true};
  Write request = account;
  request.resource = &tokens;
  request.body = R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}})";
  const auto answer = client.write(request);
  REQUIRE_MESSAGE(answer, (answer ? "" : answer.error().message));
  rapidjson::Document token;
  token.Parse(answer->c_str());

  auto nobody = config;
  nobody.client_cert_pem.clear(), nobody.client_key_pem.clear();
  nobody.token = token["status"]["token"].GetString();
  k8s::Client denied(nobody);
  const auto listed = denied.list_as<Node>(api::resource<Node>());
  REQUIRE_FALSE(listed);
  CHECK(listed.error().code == 403);
  CHECK(listed.error().message.find("cannot list resource \"nodes\"") != std::string::npos);
  CHECK(listed.error().message.find(account.key.name) != std::string::npos);
  const auto write = denied.write(node(Verb::Create, "x", body("x")));
  REQUIRE_FALSE(write);
  CHECK(write.error().code == 403);

  NodeCache cache;
  k8s::Watch<Node> watch(nobody, quick_watch(api::resource<Node>()), cache.sink());
  CHECK(cache.await_error("cannot list resource \"nodes\""));

  nobody.token = "nonsense";
  k8s::Client stranger(nobody);
  const auto unknown = stranger.get_as<Node>({"", "x"});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == 401);
}

TEST_CASE_FIXTURE(
    Fixture, "events are created, counted up after a restart, and made anew when they are gone") {
  const Now at{Time{1h}, now().wall};
  const api::ObjectReference about{"v1", "Node", unique("node"), "", "some-uid"};
  k8s::EventRecorder before({"egw-test", 5min, 100});
  const auto first = before.record(about, "Warning", "Testing", "one two", at);
  REQUIRE(first);
  made.push_back(*first);
  const auto created = client.write(*first);
  REQUIRE_MESSAGE(created, (created ? "" : created.error().message));

  k8s::EventRecorder after({"egw-test", 5min, 100});
  const auto again = after.record(about, "Warning", "Testing", "one two", at);
  REQUIRE(again);
  const auto patch = after.done(*again, client.write(*again), at);
  REQUIRE(patch);
  const auto patched = client.write(*patch);
  CHECK_MESSAGE(patched, (patched ? "" : patched.error().message));

  auto remove = *first;
  remove.verb = Verb::Remove;
  REQUIRE(client.write(remove));
  static_cast<void>(after.record(about, "Warning", "Testing", "one two", at));
  const auto due = after.flush({at.steady + 5min, at.wall});
  REQUIRE(due.size() == 1);
  const auto anew = after.done(due[0], client.write(due[0]), at);
  REQUIRE(anew);
  const auto made_anew = client.write(*anew);
  REQUIRE(made_anew);
  CHECK(made_anew->find("\"count\":2") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "leader election: one at a time, handed over at once, terms grow") {
  const auto name = unique("lease");
  Write cleanup;
  cleanup.resource = &api::resource<Lease>();
  cleanup.key = {"default", name};
  made.push_back(cleanup);
  k8s::LeaderConfig leader{"default", name, "first", 3s, 2s, 100ms};
  Queue<k8s::Leadership> one, two;
  auto first = std::make_unique<k8s::Elector>(client, leader, [&](const auto& l) { one.push(l); });
  auto told = one.take(now().steady + kPatience);
  REQUIRE(told.size() == 1);
  CHECK(told[0].leading);
  CHECK(told[0].term == 1);
  CHECK(first->tenure());

  leader.identity = "second";
  k8s::Elector second(client, leader, [&](const auto& l) { two.push(l); });
  CHECK(two.take(now().steady + 400ms).empty());
  const auto begun = now().steady;
  first->stop();
  CHECK_FALSE(first->tenure());
  told = one.take(now().steady + kPatience);
  REQUIRE(told.size() == 1);
  CHECK_FALSE(told[0].leading);
  told = two.take(now().steady + kPatience);
  REQUIRE(told.size() == 1);
  CHECK(told[0].leading);
  CHECK(told[0].term == 2);
  CHECK(now().steady - begun < 1s);
  const auto lease = client.get_as<Lease>({"default", name});
  REQUIRE(lease);
  CHECK(lease->holder == "second");
}

TEST_SUITE_END();
