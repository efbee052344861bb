// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/ip.hpp"
#include "egress/node_plan.hpp"
#include "net/state.hpp"

// Where an EIP has no port left for a destination the kernel drops what would be one connection
// more, and counts that among others; which EIP and destination it was tell the connections that
// stand. They are looked at when the count has grown, and not before. Pure.
namespace egw::egress {

// Connections of one EIP to one destination. Of 65,535 ports the kernel gives those from 1,024 on
// (nf_nat_l4proto_unique_tuple).
struct Crowd {
  std::int32_t eip_id = 0;
  std::uint8_t protocol = 0; // IPPROTO_*
  Address destination;
  std::uint16_t port = 0;
  std::size_t connections = 0;
  auto operator<=>(const Crowd&) const = default;
};
inline constexpr std::size_t kPortsOfEip = 64512;

// Finds those with at least so many among any number of connections, seen from the holder of the
// EIPs, in little memory: all are shown twice. The first time they are counted by a hash.
class CrowdFinder {
 public:
  CrowdFinder(const NodeOptions& options, std::size_t at_least);
  void begin(); // of either time, and again where it begins anew
  void first(const net::Connection& connection);
  // The first time is over: there may be some; else the second is of no use.
  [[nodiscard]] bool any();
  void second(const net::Connection& connection);
  [[nodiscard]] std::vector<Crowd> crowds() const; // the largest first

 private:
  using Key = std::tuple<std::int32_t, std::uint8_t, Address, std::uint16_t>;
  [[nodiscard]] std::optional<Key> key_of(const net::Connection& connection) const;
  [[nodiscard]] std::uint32_t& bucket(const Key& key);

  std::uint32_t tunnelled_, id_mask_;
  std::size_t at_least_;
  std::vector<std::uint32_t> buckets_;
  std::map<Key, std::size_t> counts_;
  bool counted_ = false; // the first time is over
};

class PortWatch {
 public:
  struct Timing {
    Duration ask = std::chrono::seconds(10); // for the kernel's count
    Duration calm = std::chrono::minutes(1); // a crowd is told of until none was seen for this long
    // Connections are counted at most so often while nothing is found, ever more rarely: they may
    // be hundreds of thousands, and the kernel's count grows for other reasons too.
    Duration pause_min = std::chrono::seconds(10), pause_max = std::chrono::minutes(10);
    // The kernel gives up on a port after some tries at random.
    std::size_t crowded = kPortsOfEip - kPortsOfEip / 20;
  };
  enum class Want : std::uint8_t { Nothing, Failures, Connections };

  PortWatch() = default;
  explicit PortWatch(Timing timing) : timing_(timing) {}

  // What is to be asked for now; answers come by failures() and crowds(), and nothing is asked
  // meanwhile. Without an EIP there is nothing to watch.
  [[nodiscard]] Want due(bool holds_eips, Time now);
  void failures(std::optional<std::uint64_t> count); // nothing: it could not be read
  void crowds(std::optional<std::vector<Crowd>> found, Time now);
  [[nodiscard]] std::optional<Time> deadline() const;

  [[nodiscard]] const std::vector<Crowd>& crowded() const { return crowded_; }
  [[nodiscard]] const Timing& timing() const { return timing_; }

 private:
  Timing timing_;
  std::optional<Time> next_; // nothing: not watching
  bool waiting_ = false;
  bool grown_ = false; // the count, since connections were looked at
  std::optional<std::uint64_t> last_;
  Time next_count_{};
  Duration pause_ = timing_.pause_min;
  std::vector<Crowd> crowded_;
  Time seen_{}; // when
};

} // namespace egw::egress
