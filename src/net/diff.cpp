// SPDX-License-Identifier: Apache-2.0
#include "net/diff.hpp"

#include "net/diff_nft.hpp"

namespace egw::net {
namespace {

constexpr std::uint32_t kIpv6DefaultMetric = 1024; // what the kernel makes of 0: linux/ipv6_route.h

bool same_device(const Vxlan& a, const Vxlan& b) {
  return a.vni == b.vni && a.port == b.port && a.local == b.local && a.parent == b.parent;
}

bool same_settings(const Vxlan& actual, const Vxlan& desired) {
  return actual.sound && actual.mac == desired.mac &&
         (desired.mtu == 0 || actual.mtu == desired.mtu);
}

std::map<RouteKey, RouteValue> as_read_back(const std::map<RouteKey, RouteValue>& routes) {
  std::map<RouteKey, RouteValue> out;
  for (const auto& [given, value] : routes) {
    RouteKey key = given;
    if (key.destination.family() == Family::V6 && key.metric == 0) key.metric = kIpv6DefaultMetric;
    out.emplace(key, value);
  }
  return out;
}

class LinkDiff {
 public:
  LinkDiff(const State& actual, const State& desired, Batch& batch)
      : actual_(actual), desired_(desired), batch_(batch) {}

  void run() {
    remove_eips();
    put_tunnel();
    put_addresses();
    put_neighbours();
    put_routes();
    put_rules();
    forward_accepts();
    add_eips();
    remove_the_rest();
  }

 private:
  // What stands on the tunnel goes with it when it is made anew.
  [[nodiscard]] bool lost_with_tunnel() const { return recreate_; }

  void remove_eips() {
    for (const auto& [key, value] : actual_.addresses)
      if (value.eip && !desired_.addresses.contains(key))
        batch_.before.emplace_back(DeleteAddress{key});
  }

  void put_tunnel() {
    if (!desired_.tunnel) return;
    recreate_ = actual_.tunnel && !same_device(*actual_.tunnel, *desired_.tunnel);
    if (!actual_.tunnel || recreate_ || !same_settings(*actual_.tunnel, *desired_.tunnel))
      batch_.before.emplace_back(PutTunnel{*desired_.tunnel, recreate_});
  }

  void put_addresses() {
    for (const auto& [key, value] : desired_.addresses) {
      if (value.eip) continue;
      const auto it = actual_.addresses.find(key);
      if (lost_with_tunnel() || it == actual_.addresses.end() || it->second != value)
        batch_.before.emplace_back(PutAddress{key, value});
    }
  }

  void put_neighbours() {
    // A link that gets another MAC forgets its neighbours, permanent ones too.
    const bool new_mac =
        actual_.tunnel && desired_.tunnel && actual_.tunnel->mac != desired_.tunnel->mac;
    for (const auto& [key, mac] : desired_.neighbours) {
      const auto it = actual_.neighbours.find(key);
      if (lost_with_tunnel() || new_mac || it == actual_.neighbours.end() || it->second != mac)
        batch_.before.emplace_back(PutNeighbour{key, mac});
    }
    for (const auto& [mac, peer] : desired_.fdb) {
      const auto it = actual_.fdb.find(mac);
      if (lost_with_tunnel() || it == actual_.fdb.end() || it->second != peer)
        batch_.before.emplace_back(PutFdb{mac, peer});
    }
  }

  void put_routes() {
    routes_ = as_read_back(desired_.routes);
    for (const auto& [key, value] : routes_) {
      const auto it = actual_.routes.find(key);
      const bool stands = it != actual_.routes.end() &&
                          (!lost_with_tunnel() || it->second.type != RouteType::Unicast);
      if (stands && it->second == value) continue;
      // IPv6 puts a route of another type beside the old one instead of in its place.
      const bool beside =
          stands && key.destination.family() == Family::V6 && it->second.type != value.type;
      if (beside) batch_.before.emplace_back(DeleteRoute{key, it->second});
      batch_.before.emplace_back(PutRoute{key, value, stands && !beside});
    }
  }

  void put_rules() {
    for (const RoutingRule& rule : desired_.rules)
      if (!actual_.rules.contains(rule)) batch_.before.emplace_back(AddRule{rule});
  }

  void forward_accepts() {
    for (const Family family : desired_.forward_accepts)
      if (!actual_.forward_accepts.contains(family))
        batch_.before.emplace_back(PutForwardAccepts{family});
  }

  void add_eips() {
    for (const auto& [key, value] : desired_.addresses) {
      if (!value.eip) continue;
      const auto it = actual_.addresses.find(key);
      if (it == actual_.addresses.end() || it->second != value)
        batch_.after.emplace_back(PutAddress{key, value});
    }
  }

  void remove_the_rest() {
    for (const auto& [key, value] : actual_.routes)
      if (!routes_.contains(key)) batch_.after.emplace_back(DeleteRoute{key, value});
    for (const RoutingRule& rule : actual_.rules)
      if (!desired_.rules.contains(rule)) batch_.after.emplace_back(DeleteRule{rule});
    // With the tunnel deleted or made anew, these are gone already.
    if (!recreate_ && desired_.tunnel) {
      for (const auto& [key, mac] : actual_.neighbours)
        if (!desired_.neighbours.contains(key)) batch_.after.emplace_back(DeleteNeighbour{key});
      for (const auto& [mac, peer] : actual_.fdb)
        if (!desired_.fdb.contains(mac)) batch_.after.emplace_back(DeleteFdb{mac, peer});
    }
    for (const auto& [key, value] : actual_.addresses)
      if (!value.eip && !desired_.addresses.contains(key))
        batch_.after.emplace_back(DeleteAddress{key});
    for (const Family family : actual_.forward_accepts)
      if (!desired_.forward_accepts.contains(family))
        batch_.after.emplace_back(DeleteForwardAccepts{family});
    if (actual_.tunnel && !desired_.tunnel) batch_.after.emplace_back(DeleteTunnel{});
  }

  const State& actual_;
  const State& desired_;
  Batch& batch_;
  std::map<RouteKey, RouteValue> routes_; // desired, with the metrics that the kernel will show
  bool recreate_ = false;
};

} // namespace

Batch diff(const State& actual, const State& desired) {
  Batch batch;
  LinkDiff(actual, desired, batch).run();
  batch.nft = diff_tables(actual.tables, desired.tables);
  return batch;
}

} // namespace egw::net
