// SPDX-License-Identifier: Apache-2.0
#include "k8s/store.hpp"

#include <doctest/doctest.h>

#include "api/core.hpp"

using namespace egw;
using namespace egw::k8s;
using api::NamespacedName;
using Keys = std::vector<NamespacedName>;

namespace {

api::Pod pod(const std::string& name, const std::string& version, const std::string& node = "n",
             const std::string& uid = "u") {
  api::Pod p;
  p.meta.namespace_ = "ns";
  p.meta.name = name;
  p.meta.uid = uid;
  p.meta.resource_version = version;
  p.node_name = node;
  return p;
}
NamespacedName key(const std::string& name) {
  return {"ns", name};
}

} // namespace

TEST_CASE("a list replaces all; what changed is told, no more") {
  Store<api::Pod> store;
  CHECK_FALSE(store.synced());
  CHECK(store.apply(Replaced<api::Pod>{{pod("a", "1"), pod("b", "2")}, {}, "5"}) ==
        Keys{key("a"), key("b")});
  CHECK(store.synced());
  CHECK(store.apply(Replaced<api::Pod>{{pod("a", "1"), pod("c", "7")}, {}, "9"}) ==
        Keys{key("c"), key("b")});
  CHECK(store.items().size() == 2);
  CHECK(store.find(key("b")) == nullptr);
}

TEST_CASE("an older version never replaces a newer one, in a list neither") {
  Store<api::Pod> store;
  static_cast<void>(store.apply(Upsert<api::Pod>{pod("a", "10", "new")}));
  CHECK(store.apply(Upsert<api::Pod>{pod("a", "9", "old")}).empty());
  CHECK(store.apply(Replaced<api::Pod>{{pod("a", "9", "old")}, {}, "9"}).empty());
  CHECK(store.find(key("a"))->node_name == "new");
  // As numbers, not as text; and where they are no numbers the later one counts.
  CHECK(store.apply(Upsert<api::Pod>{pod("a", "100", "newer")}).size() == 1);
  CHECK(store.apply(Upsert<api::Pod>{pod("a", "x1", "newest")}).size() == 1);
}

TEST_CASE("a new version of the same content is taken and is no change") {
  Store<api::Pod> store;
  static_cast<void>(store.apply(Upsert<api::Pod>{pod("a", "10")}));
  CHECK(store.apply(Upsert<api::Pod>{pod("a", "11")}).empty());
  CHECK(store.find(key("a"))->meta.resource_version == "11");
}

TEST_CASE("deletions: of this object, not of an earlier one with its name") {
  Store<api::Pod> store;
  static_cast<void>(store.apply(Upsert<api::Pod>{pod("a", "20", "n", "second")}));
  CHECK(store.apply(Deleted{key("a"), "first", "15"}).empty());
  CHECK(store.apply(Deleted{key("a"), "second", "19"}).empty());
  CHECK(store.apply(Deleted{key("b"), "u", "30"}).empty());
  CHECK(store.apply(Deleted{key("a"), "second", "21"}) == Keys{key("a")});
  // Where versions are no numbers, the uid alone decides.
  static_cast<void>(store.apply(Upsert<api::Pod>{pod("a", "x", "n", "second")}));
  CHECK(store.apply(Deleted{key("a"), "first", "y"}).empty());
  CHECK(store.apply(Deleted{key("a"), "second", "y"}) == Keys{key("a")});
}

TEST_CASE("what could not be decoded keeps its last state") {
  Store<api::Pod> store;
  static_cast<void>(store.apply(Replaced<api::Pod>{{pod("a", "1"), pod("b", "2")}, {}, "5"}));
  CHECK(store.apply(Broken{key("a"), {"bad", 0}}).empty());
  CHECK(store.apply(Replaced<api::Pod>{{}, {key("a"), key("z")}, "9"}) == Keys{key("b")});
  CHECK(store.items().size() == 1);
  CHECK(store.find(key("a")) != nullptr);
}

TEST_CASE("the state of the watch is no change") {
  Store<api::Pod> store;
  CHECK(store.apply(WatchStatus{Error{"no rights", 403}}).empty());
  CHECK_FALSE(store.synced());
}

TEST_CASE("versions") {
  CHECK(older("9", "10"));
  CHECK_FALSE(older("10", "10"));
  CHECK_FALSE(older("11", "10"));
  CHECK_FALSE(older("", "10"));
  CHECK_FALSE(older("9", "ten"));
  CHECK(parse_version("18446744073709551615"));
  CHECK_FALSE(parse_version("18446744073709551616"));
  CHECK_FALSE(parse_version("-1"));
}
