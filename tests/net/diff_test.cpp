// SPDX-License-Identifier: Apache-2.0
#include "net/diff.hpp"

#include <doctest/doctest.h>

#include <random>
#include <utility>

#include "net/diff_nft.hpp"
#include "netns/sample.hpp"

using namespace egw;
using namespace egw::net;
using namespace egw::test;

namespace {

// A kernel that takes the steps one by one and refuses what the real one refuses: a reference to
// what is not there, and the removal of what is still referred to.
class Model {
 public:
  explicit Model(State s) : s_(std::move(s)) {}
  void apply(const Batch& b) {
    for (const LinkOp& op : b.before) std::visit([&](const auto& o) { take(o); }, op);
    for (const NftOp& op : b.nft) std::visit([&](const auto& o) { take(o); }, op);
    for (const LinkOp& op : b.after) std::visit([&](const auto& o) { take(o); }, op);
  }
  [[nodiscard]] const State& state() const { return s_; }

 private:
  static void must(bool ok, const auto& op) {
    if constexpr (requires { LinkOp(op); }) {
      if (!ok) throw std::logic_error(to_string(LinkOp(op)));
    } else {
      if (!ok) throw std::logic_error(to_string(NftOp(op)));
    }
  }
  void clear_tunnel() {
    std::erase_if(s_.addresses, [](const auto& a) { return a.first.link == "egw0"; });
    Routes left;
    for (const auto& [key, value] : s_.routes)
      if (value.link != "egw0") left.emplace(key, value);
    s_.routes = std::move(left);
    s_.neighbours.clear();
    s_.fdb.clear();
  }
  void take(const PutTunnel& o) {
    must(o.recreate <= s_.tunnel.has_value(), o);
    if (o.recreate) clear_tunnel();
    if (s_.tunnel && s_.tunnel->mac != o.vxlan.mac) s_.neighbours.clear();
    s_.tunnel = o.vxlan;
  }
  void take(const DeleteTunnel& o) {
    must(s_.tunnel.has_value(), o);
    clear_tunnel();
    s_.tunnel.reset();
  }
  void take(const PutAddress& o) {
    must(o.key.link != "egw0" || s_.tunnel, o);
    s_.addresses[o.key] = o.value;
  }
  void take(const DeleteAddress& o) { s_.addresses.erase(o.key); }
  void take(const PutRoute& o) {
    must(o.replace == s_.routes.contains(o.key), o);
    must(o.value.type != RouteType::Unicast || s_.tunnel, o);
    s_.routes.insert_or_assign(o.key, o.value);
  }
  void take(const DeleteRoute& o) { s_.routes.erase(o.key); }
  void take(const AddRule& o) { must(s_.rules.insert(o.rule).second, o); }
  void take(const DeleteRule& o) { must(s_.rules.erase(o.rule) == 1, o); }
  void take(const PutNeighbour& o) {
    must(s_.tunnel.has_value(), o);
    s_.neighbours[o.key] = o.mac;
  }
  void take(const DeleteNeighbour& o) { s_.neighbours.erase(o.key); }
  void take(const PutFdb& o) {
    must(s_.tunnel.has_value(), o);
    s_.fdb[o.mac] = o.peer;
  }
  void take(const DeleteFdb& o) { s_.fdb.erase(o.mac); }
  void take(const PutForwardAccepts& o) { must(s_.forward_accepts.insert(o.family).second, o); }
  void take(const DeleteForwardAccepts& o) { must(s_.forward_accepts.erase(o.family) == 1, o); }

  Table& table(const auto& o) {
    must(s_.tables.contains(o.family), o);
    return s_.tables[o.family];
  }
  static bool uses_set(const Table& t, const std::string& set) {
    for (const auto& [name, chain] : t.chains)
      for (const Rule& r : chain.rules)
        for (const Expr& e : r)
          if (const auto* l = std::get_if<expr::Lookup>(&e); l && l->set == set) return true;
    return false;
  }
  static bool uses_chain(const Table& t, const std::string& target) {
    for (const auto& [name, chain] : t.chains)
      for (const Rule& r : chain.rules)
        for (const Expr& e : r)
          if (const auto* d = std::get_if<expr::Decide>(&e); d && d->verdict.chain == target)
            return true;
    for (const auto& [name, set] : t.sets)
      for (const auto& [key, data] : set.elements)
        if (const auto* v = std::get_if<ElementVerdict>(&data); v && v->chain_name() == target)
          return true;
    return false;
  }
  void take(const AddTable& o) { must(s_.tables.try_emplace(o.family).second, o); }
  void take(const TakeTable& o) { must(std::exchange(table(o).unowned, false), o); }
  void take(const DeleteTable& o) { must(s_.tables.erase(o.family) == 1, o); }
  void take(const AddSet& o) {
    must(o.set.elements.empty(), o);
    must(table(o).sets.try_emplace(o.name, o.set), o);
  }
  void take(const DeleteSet& o) {
    Table& t = table(o);
    must(!uses_set(t, o.name), o);
    for (const auto& [key, data] : t.sets[o.name].elements)
      must(!std::holds_alternative<ElementVerdict>(data), o);
    must(t.sets.erase(o.name) == 1, o);
  }
  void take(const AddElements& o) {
    Table& t = table(o);
    must(t.sets.contains(o.set), o);
    for (const auto& [key, data] : o.elements) {
      const auto* v = std::get_if<ElementVerdict>(&data);
      const std::string chain = v ? v->chain_name() : "";
      must(chain.empty() || (t.chains.contains(chain) && !t.chains[chain].base), o);
      must(t.sets[o.set].elements.emplace(key, data), o);
    }
  }
  void take(const DeleteElements& o) {
    Table& t = table(o);
    must(t.sets.contains(o.set), o);
    for (const auto& [key, data] : o.elements) must(t.sets[o.set].elements.erase(key) == 1, o);
  }
  void take(const AddTimedElements& o) { must(false, o); } // never a difference of two states
  void take(const AddChain& o) { must(table(o).chains.try_emplace(o.name, Chain{o.base, {}}), o); }
  void take(const DeleteChain& o) {
    Table& t = table(o);
    must(t.chains.contains(o.name) && t.chains[o.name].rules.empty() && !uses_chain(t, o.name), o);
    t.chains.erase(o.name);
  }
  void take(const ReplaceRules& o) {
    Table& t = table(o);
    must(t.chains.contains(o.chain), o);
    for (const Rule& r : o.rules)
      for (const Expr& e : r) {
        if (const auto* l = std::get_if<expr::Lookup>(&e)) must(t.sets.contains(l->set), o);
        if (const auto* d = std::get_if<expr::Decide>(&e))
          must(d->verdict.chain.empty() ||
                   (t.chains.contains(d->verdict.chain) && !t.chains[d->verdict.chain].base),
               o);
      }
    t.chains[o.chain].rules = o.rules;
  }

  State s_;
};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }
  bool chance(unsigned percent) { return below(100) < percent; }

  State state() {
    State s;
    if (chance(80)) {
      s.tunnel = Vxlan{mac(chance(80) ? "66:00:00:00:00:01" : "66:00:00:00:00:11"),
                       chance(80) ? 100U : 101U,
                       7789,
                       ip("192.0.2.1"),
                       2,
                       1450,
                       true};
      for (const char* a : {"172.31.0.1/32", "172.31.0.2/32"})
        if (chance(60)) s.addresses[{"egw0", prefix(a)}] = {};
      for (const char* a : {"172.31.0.8", "172.31.0.9", "fe80::9"})
        if (chance(60)) s.neighbours[{ip(a)}] = peer();
      for (const char* m : {"66:00:00:00:00:02", "66:00:00:00:00:03"})
        if (chance(60)) s.fdb[mac(m)] = ip(chance(50) ? "192.0.2.2" : "192.0.2.3");
    }
    for (const char* a : {"192.0.2.50/32", "192.0.2.51/32", "2001:db8::50/128"})
      if (chance(50)) s.addresses[{"eth0", prefix(a)}] = {.eip = true};
    for (const char* d : {"0.0.0.0/0", "10.1.0.0/16", "::/0"})
      for (std::uint32_t table = 7700; table < 7702; ++table)
        if (chance(60)) s.routes.emplace({table, prefix(d), 1}, route(s.tunnel.has_value(), d));
    for (std::uint32_t p = 98; p < 102; ++p)
      if (chance(60))
        s.rules.insert({Family::V4, p, chance(50) ? 1U : 2U, 0x307f, RuleAction::Lookup, 7700});
    for (const Family f : {Family::V4, Family::V6})
      if (chance(30)) s.forward_accepts.insert(f);
    for (const NftFamily f : {NftFamily::Ip, NftFamily::Ip6, NftFamily::Arp})
      if (chance(70)) s.tables[f] = table();
    return s;
  }

 private:
  Mac peer() { return mac(chance(50) ? "66:00:00:00:00:02" : "66:00:00:00:00:03"); }
  RouteValue route(bool tunnel, const char* destination) {
    if (!tunnel || chance(30)) return {RouteType::Blackhole, "", {}};
    const bool v4 = prefix(destination).family() == Family::V4;
    return {
        RouteType::Unicast, "egw0",
        ip(v4 ? (chance(50) ? "172.31.0.8" : "172.31.0.9") : (chance(50) ? "fe80::8" : "fe80::9"))};
  }
  Table table() {
    Table t;
    std::vector<std::string> regular;
    for (int i = 0; i < 6; ++i) {
      if (chance(25)) continue;
      const std::string name = "c" + std::to_string(i);
      Chain c;
      if (chance(30))
        c.base = BaseChain{"filter", Hook::Forward, static_cast<std::int32_t>(below(2))};
      if (!c.base) regular.push_back(name);
      t.chains[name] = c;
    }
    for (int i = 0; i < 4; ++i) {
      if (chance(25)) continue;
      Set s;
      s.key = chance(80) ? KeyType::Ipv4 : KeyType::Mark;
      s.interval = chance(40);
      const unsigned kind = below(3);
      s.data = kind == 0 ? DataType::None : kind == 1 ? DataType::Mark : DataType::Verdict;
      for (std::uint32_t e = 0; e < 5; ++e) {
        if (chance(50)) continue;
        const ElementKey key{
            key_of(Address::v4(0x0a000000U + e * 16)),
            s.interval ? key_of(Address::v4(0x0a000000U + e * 16 + below(8))) : Bytes{}};
        ElementData data;
        if (s.data == DataType::Mark) data = key_of(below(3));
        if (s.data == DataType::Verdict) data = verdict(regular, 9);
        s.elements.emplace(key, data);
      }
      t.sets["s" + std::to_string(i)] = s;
    }
    std::vector<std::string> chains;
    for (const auto& [name, chain] : t.chains) chains.push_back(name);
    for (const std::string& name : chains) {
      Chain& chain = t.chains[name];
      for (unsigned r = below(4); r > 0; --r) {
        Rule rule{expr::MetaLoad{}};
        if (!t.sets.empty() && chance(60))
          rule.push_back(expr::Lookup{
              std::next(t.sets.begin(), below(static_cast<unsigned>(t.sets.size())))->first, 1});
        rule.push_back(expr::Decide{verdict(regular, name[1] - '0')});
        chain.rules.push_back(rule);
      }
    }
    return t;
  }
  // Only to chains before `level`: no loops.
  Verdict verdict(const std::vector<std::string>& regular, int level) {
    if (regular.empty() || chance(40)) return {};
    const std::string& target = regular[below(static_cast<unsigned>(regular.size()))];
    if (target[1] - '0' >= level) return {VerdictKind::Accept, ""};
    return {chance(50) ? VerdictKind::Goto : VerdictKind::Jump, target};
  }
  std::mt19937 engine_;
};

template <class Op>
std::ptrdiff_t position(const std::vector<LinkOp>& ops) {
  for (std::size_t i = 0; i < ops.size(); ++i)
    if (std::holds_alternative<Op>(ops[i])) return static_cast<std::ptrdiff_t>(i);
  return -1;
}

} // namespace

TEST_CASE("a diff turns any state into any other, step by step, as a strict kernel allows") {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const State from = random.state(), to = random.state();
    const Batch batch = diff(from, to);
    Model model(from);
    REQUIRE_NOTHROW(model.apply(batch));
    REQUIRE(model.state() == to);
    REQUIRE(diff(to, to).empty());
    // EIPs go first and come last.
    for (std::size_t i = 0; i < batch.before.size(); ++i) {
      const auto* put = std::get_if<PutAddress>(&batch.before[i]);
      REQUIRE_FALSE((put && put->value.eip));
      if (i > 0 && std::holds_alternative<DeleteAddress>(batch.before[i]))
        REQUIRE(std::holds_alternative<DeleteAddress>(batch.before[i - 1]));
    }
    for (const LinkOp& op : batch.after) {
      const auto* put = std::get_if<PutAddress>(&op);
      REQUIRE((!put || put->value.eip));
    }
  }
}

TEST_CASE("from nothing and back") {
  const State wanted = sample_state(2);
  State read_back = wanted;
  Model model{State{}};
  model.apply(diff(State{}, wanted));
  CHECK(model.state() == read_back);
  model.apply(diff(model.state(), State{}));
  CHECK(model.state() == State{});
}

TEST_CASE("a change costs what changed") {
  const State before = sample_state(2);
  State after = before;
  after.tables[NftFamily::Ip].sets["nodes"].elements.try_emplace(element("192.0.2.3"));
  after.tables[NftFamily::Ip].sets["pods"].elements.insert_or_assign(
      element("10.1.0.5"), Verdict{VerdictKind::Goto, "p_A"});
  CHECK(print(diff(before, after)) ==
        "nft: delete 1 element from ip set pods\nnft: add 1 element to ip set nodes\nnft: add 1 "
        "element to ip set pods\n");
  after = before;
  after.tunnel->mtu = 0; // whatever the kernel made of it
  CHECK(diff(before, after).empty());
  after.tables[NftFamily::Ip].chains["eip_2"].rules.clear();
  CHECK(print(diff(before, after)) == "nft: empty ip chain eip_2\n");
  after.tables[NftFamily::Ip].chains["eip_2"].rules = {{expr::Decide{}}};
  CHECK(print(diff(before, after)) == "nft: write 1 rule of ip chain eip_2\n");
}

TEST_CASE("a tunnel made anew brings back what stood on it") {
  const State before = sample_state(2);
  State after = before;
  after.tunnel->vni = 7;
  const Batch batch = diff(before, after);
  CHECK(position<PutTunnel>(batch.before) == 0);
  CHECK(std::get<PutTunnel>(batch.before[0]).recreate);
  CHECK(print(batch).find("add address 172.31.0.1/32 on egw0") != std::string::npos);
  CHECK(print(batch).find("put neighbour fe80::6600:2") != std::string::npos);
  CHECK(print(batch).find("put forwarding entry 66:00:00:00:00:02 to 192.0.2.2") !=
        std::string::npos);
  CHECK(print(batch).find("add route 0.0.0.0/0 table 7702 metric 1 via 172.31.0.2 dev egw0") !=
        std::string::npos);
  CHECK(print(batch).find("blackhole") == std::string::npos); // it does not stand on the tunnel
  after = before;
  after.tunnel->mac = mac("66:00:00:00:00:99");
  CHECK_FALSE(std::get<PutTunnel>(diff(before, after).before[0]).recreate);
  State unsound = before;
  unsound.tunnel->sound = false;
  CHECK(diff(unsound, before).before.size() == 1);
}
