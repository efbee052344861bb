// SPDX-License-Identifier: Apache-2.0
#include "egress/work_list.hpp"

#include <doctest/doctest.h>

#include <string>

namespace egw::egress {
namespace {

api::PolicyKey policy(const char* name) {
  return {api::PolicyKind::EgressPolicy, "default", name};
}
std::string taken(WorkList& list, bool also_what_follows = true) {
  const auto work = list.take(also_what_follows);
  return work ? work->key.name + " " + std::to_string(static_cast<int>(work->task)) : "";
}

} // namespace

TEST_CASE("work: decisions first, then object by object, each in its order") {
  WorkList list;
  for (const char* name : {"a", "b"}) {
    list.add({Task::Slices, policy(name)});
    list.add({Task::Status, policy(name)});
  }
  list.add({Task::Gateway, {{}, {}, "g"}});
  list.add({Task::Status, policy("a")}); // once is enough
  CHECK(list.size() == 5);
  CHECK(taken(list) == "g 2");
  CHECK(taken(list) == "a 4");
  CHECK(taken(list) == "a 6");
  CHECK(taken(list) == "b 4");
  list.add({Task::Verdict, policy("z")});
  CHECK(taken(list) == "z 1");
  CHECK(taken(list) == "b 6");
  CHECK(taken(list).empty());
}

TEST_CASE("work: what follows waits where it has to, and nobody comes twice before the others") {
  WorkList list;
  list.add({Task::Status, policy("a")});
  list.add({Task::Status, policy("b")});
  CHECK(taken(list, false).empty());
  list.add({Task::Addresses, {}});
  CHECK(taken(list, false) == " 0");
  CHECK(taken(list) == "a 4");
  list.add({Task::Status, policy("a")}); // changes all the time
  CHECK(taken(list) == "b 4");
  CHECK(taken(list) == "a 4");
  list.add({Task::Status, policy("a")});
  list.clear();
  CHECK(taken(list).empty());
}

} // namespace egw::egress
