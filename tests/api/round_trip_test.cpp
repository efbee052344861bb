// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <random>

#include "api/json.hpp"

// decode(encode(x)) == x for random objects, and encode is the same text each time.
using namespace egw;
using namespace egw::api;

namespace {

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}

  int below(int n) { return static_cast<int>(engine_() % static_cast<unsigned>(n)); }
  bool coin() { return below(2) == 0; }
  template <class E>
  E word(int count) {
    return static_cast<E>(below(count));
  }

  // Quotes, control characters and more than ASCII, and often empty.
  std::string text() {
    static const std::vector<std::string> pieces{"a",  "B7", "-",    ".", "/",  "\"",
                                                 "\\", "\n", "\x01", "é", "語", " "};
    std::string s;
    for (int i = below(5); i > 0; --i)
      s += pieces[static_cast<std::size_t>(below(static_cast<int>(pieces.size())))];
    return s;
  }
  std::string name() { return "n" + text(); }
  std::vector<std::string> texts() {
    return list<std::string>([&] { return text(); });
  }
  WallTime micros() {
    return coin()
               ? WallTime{}
               : WallTime{std::chrono::microseconds{1'700'000'000'000'000 + below(2'000'000'000)}};
  }
  WallTime seconds() { return std::chrono::floor<std::chrono::seconds>(micros()); }
  Address address() {
    if (coin()) return Address::v4(static_cast<std::uint32_t>(engine_()));
    Address a = Address::zero(Family::V6);
    for (auto& b : a.bytes) b = static_cast<std::uint8_t>(below(256));
    a.bytes[0] = 0xfd;
    return a;
  }
  Prefix prefix() {
    const Address a = address();
    const auto text = a.to_string() + "/" + std::to_string(below(static_cast<int>(a.bits()) + 1));
    return Prefix::parse(text).value();
  }
  Labels labels() {
    Labels l;
    for (int i = below(4); i > 0; --i) l.set(name(), text());
    return l;
  }
  LabelSelector selector() {
    LabelSelector s;
    s.match_labels = labels();
    s.match_expressions = list<SelectorRequirement>(
        [&] { return SelectorRequirement{name(), word<SelectorOperator>(4), texts()}; });
    return s;
  }
  ObjectMeta meta() {
    ObjectMeta m;
    m.name = name();
    m.namespace_ = text();
    m.uid = text();
    m.resource_version = text();
    m.labels = labels();
    m.annotations = labels();
    m.owners = list<OwnerReference>(
        [&] { return OwnerReference{text(), text(), text(), text(), coin()}; });
    m.finalizers = texts();
    return m;
  }
  std::vector<Condition> conditions() {
    return list<Condition>(
        [&] { return Condition{text(), text(), text(), text(), below(9), seconds()}; });
  }
  std::vector<EipEntry> eips() {
    return list<EipEntry>([&] {
      return EipEntry{below(kMaxEipId), text(), text(), list<PolicyKey>([&] {
                        return PolicyKey{word<PolicyKind>(3), text(), text()};
                      })};
    });
  }
  CidrSource source() { return {texts(), texts()}; }

  template <class T, class F>
  std::vector<T> list(F make) {
    std::vector<T> items;
    for (int i = below(4); i > 0; --i) items.push_back(make());
    return items;
  }
  template <class F>
  auto maybe(F make) -> std::optional<decltype(make())> {
    if (coin()) return make();
    return std::nullopt;
  }

 private:
  std::mt19937 engine_;
};

EgressGateway gateway(Random& r) {
  EgressGateway g;
  g.meta = r.meta();
  auto& s = g.spec;
  s.cluster_default = r.coin();
  s.ipv4_pool = r.texts();
  s.ipv6_pool = r.texts();
  s.ipv4_default_eip = r.text();
  s.ipv6_default_eip = r.text();
  s.node_selector = r.selector();
  s.placement = r.word<PlacementPolicy>(3);
  s.limit = r.below(3);
  s.scope_namespaces = r.maybe([&] { return r.texts(); });
  s.scope_namespace_selector = r.maybe([&] { return r.selector(); });
  s.when_no_gateway = r.word<WhenNoGateway>(2);
  s.unserved_family = r.word<UnservedFamily>(2);
  if (r.coin()) return g;
  auto& t = g.status;
  t.node_list =
      r.list<GatewayNodeStatus>([&] { return GatewayNodeStatus{r.text(), r.text(), r.eips()}; });
  t.unplaced = r.eips();
  t.resting_ids = r.list<RestingId>([&] { return RestingId{r.below(100), r.micros()}; });
  t.term = r.below(9);
  t.ip_usage = {r.below(9), r.below(9), INT64_MAX, r.below(9)};
  t.conditions = r.conditions();
  return g;
}

EgressPolicy policy(Random& r) {
  EgressPolicy p;
  p.kind = r.word<PolicyKind>(3);
  p.meta = r.meta();
  p.spec = {r.text(),
            r.text(),
            r.text(),
            r.coin(),
            r.word<AllocatorPolicy>(2),
            r.maybe([&] { return r.selector(); }),
            r.texts(),
            r.maybe([&] { return r.selector(); }),
            r.texts(),
            r.texts(),
            r.maybe([&] { return r.below(65536); })};
  p.status = {r.text(), r.text(), r.text(), r.below(9), r.conditions()};
  return p;
}

EgressNode egress_node(Random& r) {
  EgressNode n;
  n.meta = r.meta();
  n.status = {r.text(),
              r.text(),
              r.text(),
              {r.text(), r.text(), r.text()},
              {r.text(), r.below(3), r.below(3), r.texts(), r.below(3), r.text()},
              r.word<NodePhase>(7),
              r.conditions()};
  return n;
}

EgressEndpointSlice slice(Random& r) {
  return {r.meta(), r.list<Endpoint>([&] {
            return Endpoint{r.text(), r.text(), r.text(), r.texts(), r.texts()};
          })};
}

EgressClusterInfo cluster_info(Random& r) {
  EgressClusterInfo i;
  i.meta = r.meta();
  i.spec = {r.word<PodCidrMode>(4), r.coin(), r.coin(), r.texts()};
  for (int n = r.below(4); n > 0; --n) i.status.node_ip[r.name()] = r.source();
  for (int n = r.below(4); n > 0; --n) i.status.pod_cidr[r.name()] = r.source();
  i.status.cluster_ip = r.source();
  i.status.api_server = r.source();
  i.status.extra_cidr = r.source();
  i.status.pod_cidr_mode = r.text();
  i.status.id_blocks =
      r.list<IdBlock>([&] { return IdBlock{r.below(99), r.text(), r.text(), r.micros()}; });
  i.status.conditions = r.conditions();
  return i;
}

Node node(Random& r) {
  return {r.meta(),
          r.list<Address>([&] { return r.address(); }),
          r.list<Prefix>([&] { return r.prefix(); }),
          r.coin(),
          r.coin(),
          {},
          {},
          {}};
}

Pod pod(Random& r) {
  return {r.meta(),
          r.text(),
          r.coin(),
          r.word<PodPhase>(5),
          r.list<Address>([&] { return r.address(); }),
          {}};
}

Lease lease(Random& r) {
  return {r.meta(), r.text(), r.below(9), r.micros(), r.micros(), r.below(9)};
}

template <class T>
void check_round_trips(T make(Random&)) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    const T object = make(random);
    const std::string text = encode(object);
    INFO("seed " << seed << ": " << text);
    const auto back = decode_text<T>(text);
    REQUIRE_MESSAGE(back.ok(), back.error().message);
    REQUIRE(back.value() == object);
    REQUIRE(encode(back.value()) == text);
  }
}

} // namespace

TEST_CASE("every object comes back as it was") {
  check_round_trips<EgressGateway>(gateway);
  check_round_trips<EgressPolicy>(policy);
  check_round_trips<EgressNode>(egress_node);
  check_round_trips<EgressEndpointSlice>(slice);
  check_round_trips<EgressClusterInfo>(cluster_info);
  check_round_trips<Node>(node);
  check_round_trips<Pod>(pod);
  check_round_trips<Lease>(lease);
  check_round_trips<Namespace>([](Random& r) { return Namespace{r.meta()}; });
}
