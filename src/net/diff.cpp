// SPDX-License-Identifier: Apache-2.0
#include "net/diff.hpp"

#include "net/diff_nft.hpp"

namespace egw::net {
namespace {

bool same_device(const Vxlan& a, const Vxlan& b) {
  return a.vni == b.vni && a.port == b.port && a.local == b.local && a.parent == b.parent;
}

bool same_settings(const Vxlan& actual, const Vxlan& desired) {
  return actual.sound && actual.mac == desired.mac &&
         (desired.mtu == 0 || actual.mtu == desired.mtu);
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
    if (lost_with_tunnel()) {
      for (const auto& [key, is] : actual_.routes) {
        if (!desired_.routes.contains(key)) routes_go_.push_back({key, is});
      }
      for (const auto& [key, wanted] : desired_.routes) {
        const auto it = actual_.routes.find(key);
        const bool stands = it != actual_.routes.end() && it->second.type != RouteType::Unicast;
        put_route(key, stands ? std::optional(it->second) : std::nullopt, wanted);
      }
      return;
    }
    for_each_difference(actual_.routes, desired_.routes,
                        [&](const RouteKey& key, const RouteValue* is, const RouteValue* wanted) {
                          if (wanted == nullptr) {
                            routes_go_.push_back({key, *is});
                          } else {
                            put_route(key, is ? std::optional(*is) : std::nullopt, *wanted);
                          }
                        });
  }
  void put_route(const RouteKey& key, const std::optional<RouteValue>& is,
                 const RouteValue& wanted) {
    if (is == wanted) return;
    // IPv6 puts a route of another type beside the old one instead of in its place.
    const bool beside = is && key.destination.family() == Family::V6 && is->type != wanted.type;
    if (beside) batch_.before.emplace_back(DeleteRoute{key, *is});
    batch_.before.emplace_back(PutRoute{key, wanted, is && !beside});
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
    for (DeleteRoute& route : routes_go_) batch_.after.emplace_back(std::move(route));
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
  std::vector<DeleteRoute> routes_go_;
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
