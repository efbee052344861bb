// SPDX-License-Identifier: Apache-2.0
#include "net/rules.hpp"

#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

using namespace egw::net;

namespace {

// Each expression with values of its own, the longest and the largest among them.
std::vector<Rule> one_of_each() {
  const Bytes longest(Bytes::kCapacity, 0xff);
  const std::string name(300, 'x');
  return {
      {expr::Payload{expr::PayloadBase::Transport, 0xffffffff, 16, 23}, expr::Payload{}},
      {expr::MetaLoad{expr::MetaKey::Priority, 9}, expr::MetaSet{expr::MetaKey::Mark, 8}},
      {},
      {expr::CtLoad{expr::CtKey::Direction, 3}, expr::CtSet{expr::CtKey::Mark, 127}},
      {expr::Cmp{expr::CmpOp::Gte, 128, longest}, expr::Cmp{}},
      {expr::Bitwise{1, 2, {0xff, 0x00}, {0x00, 0x01}}},
      {expr::Lookup{name, 16383, 16384, true, false}, expr::Lookup{"", 1, 0, false, true}},
      {expr::Immediate{2, {0}}, expr::Decide{{VerdictKind::Return, ""}},
       expr::Decide{{VerdictKind::Goto, name}}},
      {expr::Snat{2}, expr::Notrack{}, expr::FibAddrType{2}, expr::TcpMssLoad{2},
       expr::TcpMssSet{3}, expr::RouteMss{4}, expr::Byteorder{4, 5, 6, 7}, expr::Counter{}},
  };
}

} // namespace

TEST_CASE("rules come out as they went in, and each expression is tried") {
  const std::vector<Rule> wanted = one_of_each();
  std::vector<bool> tried(std::variant_size_v<Expr>);
  for (const Rule& rule : wanted) {
    for (const Expr& e : rule) tried[e.index()] = true;
  }
  tried[Expr(expr::Unknown{}).index()] = true; // below
  for (const bool one : tried) CHECK(one);

  const Rules packed(wanted);
  CHECK(packed.unpacked() == wanted);
  CHECK(packed.size() == wanted.size());
  std::size_t at = 0;
  for (const Rule& rule : packed) CHECK(rule == wanted[at++]);
  CHECK(at == wanted.size());
  Rules again;
  CHECK(again.empty());
  CHECK(again.begin() == again.end());
  for (const Rule& rule : wanted) again.push_back(rule);
  CHECK(again == packed);
  again.clear();
  CHECK(again == Rules());
  CHECK_FALSE(again == packed);
}

TEST_CASE("rules are equal when all their expressions are, in their order") {
  const Rule a{expr::Notrack{}}, b{expr::Counter{}};
  CHECK(Rules{a, b} == Rules{a, b});
  CHECK_FALSE(Rules{a, b} == Rules{b, a});
  CHECK_FALSE(Rules{a, b} == Rules{a});
  CHECK_FALSE(Rules{a, b} == Rules{Rule{expr::Notrack{}, expr::Counter{}}});
  CHECK_FALSE(Rules{Rule{}} == Rules{});
}

TEST_CASE("rules with an expression that is not known are equal to nothing") {
  const Rules rules{Rule{expr::Unknown{"tproxy"}}};
  CHECK_FALSE(rules == Rules(rules));
  const std::vector<Rule> out = rules.unpacked();
  REQUIRE(out.size() == 1);
  REQUIRE(out[0].size() == 1);
  CHECK(std::get<expr::Unknown>(out[0][0]).name == "tproxy");
  Rules cleared = rules;
  cleared.clear();
  CHECK(cleared == Rules());
}
