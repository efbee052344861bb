// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "egress/cluster_detection.hpp"
#include "egress/controller_io.hpp"
#include "egress/gateway_plan.hpp"
#include "egress/ledger.hpp"
#include "egress/policy.hpp"
#include "egress/policy_plan.hpp"
#include "egress/selection.hpp"
#include "egress/tunnel.hpp"
#include "egress/work_list.hpp"
#include "egress/world.hpp"

namespace egw::egress {

struct ControllerOptions {
  TunnelSubnets tunnel;
  IpFamilies families;
  bool remove_taint = false; // api::kTaintAgentNotReady, off Nodes whose agent is ready
  // Of what only people read in a gateway's status (names of policies, usage): one write each
  // interval.
  Duration cosmetic_interval = std::chrono::seconds(1);
  // What a watch missed comes within this once it was opened anew: the server has it ready.
  Duration catch_up = std::chrono::milliseconds(100);
  // How long a policy waits for an id before its status says so.
  Duration id_patience = std::chrono::seconds(10);
  // Of what statuses say of other policies alone: one write in each.
  Duration overlap_interval = std::chrono::milliseconds(50);
  // Slices of one policy. The first changes are planned at once, the further ones together, once in
  // an interval. Writes: one each interval in the long run, and so many at once after a rest.
  Duration slice_interval = std::chrono::milliseconds(500);
  int slice_burst = 3, slice_writes = 20;
  // Of what was found out about the cluster: the first changes are written at once (a node that
  // comes makes two or three), then one write each interval, the longer the more nodes there are.
  Duration info_interval = std::chrono::seconds(1);
  Duration info_interval_per_node = std::chrono::milliseconds(2);
  int info_burst = 3;
  // So many writes are under way at once; what is to be written after them is planned when its turn
  // comes. And while more gateways than that are being written, as when a node is lost, what only
  // follows from them waits.
  int most_writes = 256, few_gateways = 2;
  Duration retry_min = std::chrono::milliseconds(50), retry_max = std::chrono::seconds(30);
};

// The controller: events in, actions out; no I/O, no threads, no clock. An event marks what it
// touches; what is marked is planned anew by the pure functions of this folder, and the difference
// to what the API server holds becomes writes, at most one under way for each object. Whatever the
// outcome of a write, the object is looked at again; so a lost or refused one mends itself.
class ControllerCore {
 public:
  explicit ControllerCore(ControllerOptions options) : options_(std::move(options)) {}

  // Does what the events ask for. Also to be called, without events, when deadline() has come.
  [[nodiscard]] std::vector<Action> step(std::vector<Event> events, const Now& now);
  [[nodiscard]] std::optional<Time> deadline() const;

  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] const ControllerOptions& options() const { return options_; }
  // Leads, and every list has come or was denied: it writes.
  [[nodiscard]] bool active() const { return active_; }
  [[nodiscard]] std::int64_t term() const { return term_; }
  // How often something was planned.
  struct Counters {
    std::uint64_t verdicts = 0, gateways = 0, statuses = 0, nodes = 0, slices = 0, infos = 0;
    // Writes that succeeded and changed nothing: something else insists on another value, or the
    // API server keeps it in another form. They are repeated with backoff.
    std::uint64_t fruitless = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  // Objects that are being written, wait for their turn, or for another try.
  [[nodiscard]] std::size_t pending(Time now) const;

 private:
  struct Pending { // a write under way, or one to be repeated later
    bool in_flight = false;
    bool waits_for_news = false; // conflict: what the watch brings makes a new try worthwhile
    int failures = 0;
    Time not_before{};
    std::string deleted_at; // resourceVersion of a deletion seen meanwhile
    Write sent;
    Work work;                   // what plans this object
    std::vector<Notice> notices; // once it has succeeded
  };
  struct Done { // in this step
    Write sent;
    int failures = 0;
  };
  struct Pace { // of a policy's slices: when what was done so far was due
    Time plans{}, writes{};
  };

  // controller_core.cpp
  void handle(Replaced&& event);
  void handle(Reopened&& event);
  void handle(FellBehind&& event);
  void handle(Upsert&& event);
  void handle(Deleted&& event);
  void handle(Unreadable&& event);
  void handle(Access&& event);
  void handle(LeaderChanged&& event);
  void handle(LostLeadership&& event);
  void handle(WriteDone&& event);
  void set_in_flight(const ObjectKey& key, Pending& pending, bool in_flight);
  [[nodiscard]] bool may_follow() const;
  void handle(ServiceRangesTold&& event);
  void activate();
  [[nodiscard]] WallTime rest_clock() const;
  void look_at_everything();
  void deactivate();
  void run(const Work& work);
  void mark(Task task, const std::string& name = {}) { dirty_.add({task, {{}, {}, name}}); }
  void mark(Task task, const api::PolicyKey& key) { dirty_.add({task, key}); }
  void schedule(const Work& work, Time at);
  [[nodiscard]] bool blocked(const ObjectKey& key, const Work& work);
  void submit(Write write, const Work& work, std::vector<Notice> notices = {});
  void postpone(Pending& pending);
  void news(const ObjectKey& key);
  void gone(const ObjectKey& key, const std::string& resource_version);

  // controller_changes.cpp: whom a change touches
  void notice(const World::Change& change);
  void changed(const std::string& name, const api::Node* before, const api::Node* after);
  void changed(const std::string& name, const api::Namespace* before, const api::Namespace* after);
  void changed(const std::string& name, const api::EgressGateway* before,
               const api::EgressGateway* after);
  void changed(const api::PolicyKey& key, const api::EgressPolicy* before,
               const api::EgressPolicy* after);
  void changed(const std::string& name, const api::EgressNode* before,
               const api::EgressNode* after);
  void changed(const api::EgressClusterInfo* before, const api::EgressClusterInfo* after);
  void tell_of(const api::EgressNode& before, const api::EgressNode& after);
  void mark_gateways_of(const std::string& node);
  void mark_entries(const std::string& gateway, const api::EgressGatewayStatus* before,
                    const api::EgressGatewayStatus* after);
  void slice_changed(const api::NamespacedName& name,
                     const std::optional<api::PolicyKey>& old_owner);
  void mark_selected();

  // controller_work.cpp: planning and writing
  void check_addresses();
  void judge_policy(const api::PolicyKey& key);
  void reconcile_gateway(const std::string& name);
  void reconcile_cluster_info();
  void schedule_end_of_rest(const std::vector<api::IdBlock>& blocks);
  void plan_ids(const api::EgressClusterInfo& info, api::EgressClusterInfoStatus& status);
  [[nodiscard]] const api::EgressGatewayStatus* status_under_way(const std::string& name) const;
  void reconcile_policy(const api::PolicyKey& key);
  [[nodiscard]] bool may_tell_overlap(const Work& work, const api::EgressPolicy& policy,
                                      const api::PolicyStatus& status);
  [[nodiscard]] bool may_tell_waiting(const Work& work, const Allocation* allocation);
  void reconcile_node(const std::string& name);
  void remove_taint(const api::Node& node, const api::EgressNode& egress_node, const Work& work);
  void reconcile_slices(const api::PolicyKey& key);
  void remove_slices(const std::set<api::NamespacedName>& names, SliceChanges& changes) const;
  [[nodiscard]] SliceChanges plan_paced(const Work& work, const api::EgressPolicy& policy,
                                        PolicySlices& slices);
  [[nodiscard]] bool knows_for_slices(const api::PolicyKey& key) const;
  [[nodiscard]] GatewayInput gateway_input(const api::EgressGateway& gateway);
  void account(const std::string& name);
  void write_gateway(const api::EgressGateway& gateway, const GatewayPlan& plan);
  [[nodiscard]] api::NodePhase phase_of(const std::string& node) const;

  ControllerOptions options_;
  World world_;
  bool leading_ = false, active_ = false;
  Time caught_up_{}; // when what watches missed has come
  std::int64_t lease_term_ = 0, term_ = 0;
  Now now_{};
  Now active_since_{};
  Counters counters_;
  std::vector<Action> actions_;

  WorkList dirty_;
  std::map<Work, Time> scheduled_;
  std::map<ObjectKey, Pending> writes_;
  int in_flight_ = 0, gateways_in_flight_ = 0; // of them
  std::map<ObjectKey, Done> just_done_;

  // While active: what follows from the world, kept up to date.
  Ledger ledger_;
  // Writes of a gateway's status that failed, but may have been done: the answer may have been
  // lost. Void when another resourceVersion than the one they were based on is seen.
  std::map<std::string, std::vector<api::EgressGateway>> uncertain_;
  TunnelBook tunnels_;
  std::map<std::string, Refusal> refused_gateways_;
  std::string default_gateway_;
  std::optional<Range> overlap_;
  std::map<api::PolicyKey, Verdict> verdicts_;
  std::map<std::string, std::map<api::PolicyKey, Allocation>> allocations_; // by gateway
  std::map<std::string, std::int32_t> want_blocks_;                         // of ids, by gateway
  std::set<std::string> hindered_; // gateways that can't have an address because another holds it
  std::map<std::string, Time> cosmetic_after_;
  std::map<api::PolicyKey, Time> overlap_turns_;
  Time next_overlap_turn_{};
  std::map<api::PolicyKey, Time> waiting_until_; // for an id, without a word
  std::optional<Selection> selection_;
  std::map<api::PolicyKey, Pace> slice_pace_;
  std::map<api::PolicyKey, int> slices_in_flight_;
  ClusterDetection detection_;
  Time info_pace_{};        // of writes of what was found out; see ControllerOptions
  bool info_waits_ = false; // such a write, for its turn
  // Survives the deletion of EgressClusterInfo, so that ids of gateways that are gone go on
  // resting.
  std::vector<api::IdBlock> known_blocks_;
};

} // namespace egw::egress
