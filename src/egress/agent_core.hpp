// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "egress/affected.hpp"
#include "egress/agent_io.hpp"
#include "egress/agent_world.hpp"
#include "egress/claims.hpp"
#include "egress/node_plan.hpp"
#include "egress/node_planner.hpp"
#include "egress/port_watch.hpp"

// The agent's loop as a state machine: events in, actions out; no I/O, no clock, no threads. Events
// only say "look again": what is done follows from the world as it is known and the kernel as it
// was seen.
namespace egw::egress {

struct AgentOptions {
  std::string node;
  std::string version; // of this program, for the EgressNode's status
  NodeOptions plan;
  // Changes that come within this of the end of an apply wait for company: as long as the last turn
  // took, within these bounds.
  Duration burst_min = std::chrono::milliseconds(1), burst_max = std::chrono::milliseconds(5);
  // After a refusal: by itself with backoff from min to max; a change in the API is tried after
  // min.
  Duration retry_min = std::chrono::milliseconds(100), retry_max = std::chrono::seconds(5);
  // Others change the kernel in bursts as well: at most one look in this time.
  Duration look_gap = std::chrono::milliseconds(20);
  // How long after a pod became known unknown addresses stay closed, if none starts any more:
  // longer than any packet takes through the ruleset, on a machine that is held up.
  Duration stay_closed = std::chrono::milliseconds(100);
  // Connections are looked up when the kernel was left alone for this long, yet no later than the
  // second after the change: a look-up takes a CPU away for some ms, and one serves several
  // changes.
  Duration list_rest = std::chrono::milliseconds(10), list_latest = std::chrono::milliseconds(40);
  // After a takeover, besides the first announcement (RFC 5227 section 2.3; busy peers miss one).
  std::vector<Duration> announce_again = {std::chrono::milliseconds(300), std::chrono::seconds(1),
                                          std::chrono::seconds(3)};
  Claims::Timing claims{};
  PortWatch::Timing ports{};
  // Every so often a node asks for all its EIPs: another host that says nothing by itself is found
  // then.
  Duration probe_interval = std::chrono::minutes(5);
};

class AgentCore {
 public:
  explicit AgentCore(AgentOptions options);

  // Each Observe, Apply, ListConnections, Forget and PatchEgressNode must be answered by its event;
  // until then nothing of its kind follows.
  [[nodiscard]] std::vector<agent::Action> step(std::vector<agent::Event> events, const Now& now);
  // When step() has something to do next without an event.
  [[nodiscard]] std::optional<Time> deadline() const;

  [[nodiscard]] const NodePlan& plan() const { return *plan_; } // the last one made
  // What the last Apply asks of the kernel: the plan's state, less what must wait.
  [[nodiscard]] const net::State& wanted() const { return *wanted_; }
  [[nodiscard]] const AgentWorld& world() const { return store_.world(); }
  [[nodiscard]] bool synced() const { return synced_; }       // every list has been complete once
  [[nodiscard]] std::vector<std::string> waiting_for() const; // lists that are missing until then
  [[nodiscard]] bool settled() const { return settled_; }     // the kernel is as planned
  // EIPs of this node that other hosts use as well.
  [[nodiscard]] std::vector<Claims::Conflict> conflicts() const { return claims_.conflicts(); }
  // Destinations for which an EIP of this node has no port left.
  [[nodiscard]] const std::vector<Crowd>& crowded() const { return ports_.crowded(); }

 private:
  struct Retry { // of what was refused
    int failures = 0;
    Time since{}, at{}; // the last failure; when to try again
    [[nodiscard]] bool failed() const { return failures > 0; }
  };
  struct Announcement {
    std::string link;
    Time next{};
    std::size_t sent = 0;
  };

  template <class E>
  void handle(E& event, const Now& now);
  void handle(agent::Observed& event, const Now& now);
  void handle(agent::Applied& event, const Now& now);
  void handle(agent::Connections& event, const Now& now);
  void handle(agent::Forgotten& event, const Now& now);
  void handle(agent::PatchDone& event, const Now& now);
  void handle(agent::InsertFailures& event, const Now& now);
  void handle(agent::Crowds& event, const Now& now);
  void handle(agent::Claimed& event, const Now& now);
  void handle(agent::KernelChanged& event, const Now& now);
  void handle(agent::Stop& event, const Now& now);

  void changed(Time now);
  void fail(Retry& retry, Time now) const;
  void watch_slices(std::vector<agent::Action>& out);
  void look_and_write(const Now& now, std::vector<agent::Action>& out);
  void make_plan(const Now& now, std::vector<agent::Action>& out);
  void believe_plan(Time now);
  void open_again(const std::set<Address>& pods, Time now);
  void look_up_later(Affected affected, Time now);
  void confirm(std::vector<agent::Action>& out);
  void announce(Time now, std::vector<agent::Action>& out);
  void probe(const std::string& link, std::vector<Address> addresses,
             std::vector<agent::Action>& out) const;
  void watch_claims(Time now, std::vector<agent::Action>& out);
  void hear_claims(std::vector<agent::Action>& out);
  void watch_ports(Time now, std::vector<agent::Action>& out);
  void connections(Time now, std::vector<agent::Action>& out);
  [[nodiscard]] bool may_report() const;
  void report(const Now& now, std::vector<agent::Action>& out);
  void tell(std::vector<agent::Action>& out);
  [[nodiscard]] std::optional<Time> kernel_due() const;
  [[nodiscard]] std::optional<Time> list_due() const;
  [[nodiscard]] bool kernel_in_flight() const { return observing_ || applying_; }
  [[nodiscard]] std::vector<std::string> problems() const;
  [[nodiscard]] api::Condition datapath_ready() const;
  [[nodiscard]] std::vector<std::string> conflict_texts() const;
  [[nodiscard]] std::vector<std::string> crowd_texts() const;

  const AgentOptions options_;
  agent::Store store_;
  bool synced_ = false, stopped_ = false;
  std::optional<std::set<std::string>> sliced_; // gateways whose slices are watched

  // The kernel: what it holds as far as known, and what it should hold.
  std::shared_ptr<const net::State> kernel_; // nullptr: not known
  net::Host host_;
  NodePlanner planner_;
  std::shared_ptr<const NodePlan> plan_ = std::make_shared<const NodePlan>();
  std::shared_ptr<const net::State> wanted_; // the plan's, closed to those of closed_to_
  std::set<Address> closed_to_;              // until their connections are forgotten
  std::optional<Marks> marks_;               // of the last plan that the kernel took
  bool look_ = true;                         // a look is due
  bool observing_ = false, applying_ = false, settled_ = false, planned_ = false, audited_ = false;
  std::optional<Time> dirty_; // a plan is due at this time
  Time closed_until_{};       // see AgentWorld::stay_closed
  // By the plan that is being applied no pod starts any more, or their map is made anew.
  bool opens_later_ = false;
  Time turn_began_{}, quiet_until_{}, next_look_{};
  std::vector<Error> refusals_;
  Retry kernel_retry_;
  std::optional<bool> confirmed_;
  // The kernel's addresses, or those that are planned, are others: both cost their number.
  bool confirm_due_ = false, claims_due_ = false;

  std::map<Address, Announcement> announcements_;
  Claims claims_{options_.claims};
  std::optional<agent::WatchClaims> watched_;
  PortWatch ports_{options_.ports};
  std::optional<Time> next_probe_; // of all EIPs; nothing while there are none
  Affected in_apply_, to_list_;
  Time list_latest_{}, list_at_{}; // when to look for those of to_list_
  bool listing_ = false;           // until what is stale among them is forgotten
  Affected listed_;
  std::optional<std::vector<net::Connection>> connections_;
  Retry list_retry_;

  bool patching_ = false;
  Retry patch_retry_;
  std::optional<agent::Tell> told_;
};

} // namespace egw::egress
