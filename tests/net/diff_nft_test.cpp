// SPDX-License-Identifier: Apache-2.0
#include "net/diff_nft.hpp"

#include <doctest/doctest.h>

#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

TEST_CASE("a set with other room is made anew, and the rules that ask it are written again") {
  State before, after;
  Table& is = before.tables[NftFamily::Ip];
  is.sets["pods"] = {.key = KeyType::Ipv4, .elements = {{{{10, 0, 0, 1}, {}}, {}}}, .size = 64};
  is.chains["c"].rules.push_back(Rule{expr::Lookup{.set = "pods"}});
  after = before;
  CHECK(diff(before, after).empty());
  after.tables.at(NftFamily::Ip).sets.at("pods").size = 256;
  const Batch batch = diff(before, after);
  CHECK(print(batch) ==
        "nft: empty ip chain c\n"
        "nft: delete ip set pods\n"
        "nft: add ip set pods\n"
        "nft: add 1 element to ip set pods\n"
        "nft: write 1 rule of ip chain c\n");
  CHECK(std::get<AddSet>(batch.nft[2]).set.size == 256);
}

TEST_CASE("a set with a timeout is made, but its elements are nobody's business here") {
  State before, after;
  after.tables[NftFamily::Ip].sets["alive"] = {
      KeyType::NfProto, DataType::None, false, true, {{{{2}, {}}, {}}}};
  before.tables[NftFamily::Ip];
  CHECK(print(diff(before, after)) == "nft: add ip set alive\n");
  before.tables[NftFamily::Ip].sets["alive"] = {KeyType::NfProto, DataType::None, false, true, {}};
  CHECK(diff(before, after).empty());
}

TEST_CASE("a table that someone put to sleep is made anew") {
  State before, after;
  after.tables[NftFamily::Ip].chains["c"].base = BaseChain{"filter", Hook::Forward, 0};
  before = after;
  before.tables[NftFamily::Ip].dormant = true;
  CHECK(print(diff(before, after)) ==
        "nft: delete table ip\nnft: add table ip\nnft: add ip chain c\n");
}

TEST_CASE("a table that is nobody's is taken, and what it lacks comes with that") {
  State before, after;
  after.tables[NftFamily::Ip].chains["c"] = {};
  before.tables[NftFamily::Ip].unowned = true;
  CHECK(print(diff(before, after)) == "nft: take table ip\nnft: add ip chain c\n");
  CHECK(print(diff(before, State{})) == "nft: delete table ip\n");
}

TEST_CASE("ranges of a set are joined where they touch or overlap; those of a map are not") {
  Set set{KeyType::Ipv4,
          DataType::None,
          true,
          false,
          {{interval("10.0.0.0", "10.0.0.9"), {}},
           {interval("10.0.0.5", "10.0.0.20"), {}},
           {interval("10.0.0.21", "10.0.0.30"), {}},
           {interval("10.0.0.32", "10.0.0.40"), {}},
           {interval("255.255.255.0", "255.255.255.255"), {}}}};
  CHECK(joined(set) == Elements{{interval("10.0.0.0", "10.0.0.30"), {}},
                                {interval("10.0.0.32", "10.0.0.40"), {}},
                                {interval("255.255.255.0", "255.255.255.255"), {}}});
  set.data = DataType::Verdict;
  CHECK(joined(set) == set.elements);
}
