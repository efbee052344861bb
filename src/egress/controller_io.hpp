// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/core.hpp"
#include "api/egress.hpp"
#include "api/ranges.hpp"

// What goes into the controller's core, and what comes out of it. Plain values: who fetched an
// object and how a write is sent is none of its business.
namespace egw::egress {

// One for each list that is watched.
enum class Kind : std::uint8_t {
  Node,
  Pod,
  Namespace,
  EndpointSlice, // those of default/kubernetes
  Gateway,
  GatewayPolicy,
  Policy,
  ClusterPolicy,
  EgressNode,
  Slice,
  ClusterSlice,
  ClusterInfo,
  // Objects of other programs that tell of ranges. A cluster may lack these kinds.
  IpPool,
  CiliumNode,
  CiliumConfig,
  FlannelConfig,
  ServiceCidr,
};
inline constexpr std::size_t kKinds = 17;
[[nodiscard]] const char* to_string(Kind kind);
[[nodiscard]] Kind kind_of(api::RangeKind kind);
[[nodiscard]] std::optional<api::RangeKind> range_kind(Kind kind);
[[nodiscard]] Kind kind_of(api::PolicyKind kind);
[[nodiscard]] std::optional<api::PolicyKind> policy_kind(Kind kind);

struct ObjectKey {
  Kind kind = Kind::Node;
  std::string namespace_, name;
  auto operator<=>(const ObjectKey&) const = default;
};
[[nodiscard]] ObjectKey key_of(const api::PolicyKey& key);

using Object = std::variant<api::Node, api::Pod, api::Namespace, api::EndpointSlice,
                            api::EgressGateway, api::EgressPolicy, api::EgressNode,
                            api::EgressEndpointSlice, api::EgressClusterInfo, api::RangeObject>;
[[nodiscard]] ObjectKey key_of(const Object& object);
[[nodiscard]] const api::ObjectMeta& meta_of(const Object& object);

// --- events --------------------------------------------------------------------------------------

// A complete list: what is not among the objects is gone. Until each kind had one, or was denied,
// nothing is written. It may come in pieces: the first begins it, and is the end of whatever began
// before; with the last come the two other parts. A kind that the cluster may lack, and lacks, has
// an empty one.
struct Replaced {
  Kind kind = Kind::Node;
  std::vector<Object> objects;
  std::vector<api::NamespacedName> unreadable; // exist, but could not be decoded
  std::string resource_version;                // of the list
  bool begins = true, ends = true;
  std::uint64_t round = 0; // see LeaderChanged
};
// The watch of a kind was opened anew in this round; what it had missed follows at once.
struct Reopened {
  Kind kind = Kind::Node;
  std::uint64_t round = 0;
};
// It fails, or has to fill a gap with a list: until it is Reopened or Replaced nobody knows what it
// misses. A leader that acts already goes on with what it knows.
struct FellBehind {
  Kind kind = Kind::Node;
};
struct Upsert {
  Object object;
};
struct Deleted {
  ObjectKey key;
  std::string uid, resource_version; // resource_version: of the deletion
};
// Exists, but could not be decoded: what was known of it stays.
struct Unreadable {
  ObjectKey key;
};
// A kind can't be listed or watched, and that does not pass by itself: no rights, or no such kind.
// What is known of it stays, what depends on it is left as it is, the rest goes on.
struct Access {
  Kind kind = Kind::Node;
  std::optional<std::string> denied; // why; nothing: not any more
};
// This process leads now. What it knew before may be old: a watch that stood still hides a policy
// whose EIP the last leader wrote, and that would be taken from it. So every watch is opened anew,
// in a round of that number, and the leader acts once all of them have answered.
struct LeaderChanged {
  std::int64_t term = 0;
  std::uint64_t round = 0;
};
struct LostLeadership {};
// Comes exactly once for each Write, also for one that was never sent.
struct WriteDone {
  enum class Outcome : std::uint8_t { Ok, Conflict, NotFound, Failed };
  ObjectKey key;
  Outcome outcome = Outcome::Ok;
  std::optional<Object> object; // as it is after the write; nothing after a delete
};
// The answer to AskServiceRanges.
struct ServiceRangesTold {
  std::vector<Prefix> ranges;
  std::string problem; // why there is none, or not one of each family
  bool operator==(const ServiceRangesTold&) const = default;
};
using Event = std::variant<Replaced, Reopened, FellBehind, Upsert, Deleted, Unreadable, Access,
                           LeaderChanged, LostLeadership, WriteDone, ServiceRangesTold>;

// --- actions -------------------------------------------------------------------------------------

enum class WriteVerb : std::uint8_t {
  Create,
  Update,       // whole object, with its resourceVersion: a compare-and-swap
  UpdateStatus, // the same for the status subresource
  FillGateway,  // policies: sets spec.egressGatewayName, with the resourceVersion
  ApplyStatus,  // server-side apply of the controller's part of the status
  Remove,       // of this very object (uid)
  RemoveTaint,  // api::kTaintAgentNotReady, off a Node; no other taint is touched
};
[[nodiscard]] const char* to_string(WriteVerb verb);

struct Write {
  WriteVerb verb = WriteVerb::Update;
  Object object;
  bool failover = false; // outside the rate limit: it moves an EIP
};
// A Kubernetes Event for people.
struct Notice {
  api::ObjectReference regarding;
  bool warning = false;
  std::string reason, message;
};
// Another leader has written with a higher term: this one must not go on.
struct Resign {
  std::int64_t term = 0; // that one's
  std::string why;
};
// Nothing else tells the ranges of services: the API server names them when it refuses a Service.
struct AskServiceRanges {};
using Action = std::variant<Write, Notice, Resign, AskServiceRanges>;

} // namespace egw::egress
