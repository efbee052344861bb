// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "egress/controller_core.hpp"
#include "egress/model_api.hpp"

namespace egw::egress::test {

// A controller and a model of the API server, with a virtual clock.
class Harness {
 public:
  explicit Harness(ControllerOptions options = {});

  ModelApi api;
  std::unique_ptr<ControllerCore> core;
  Now now;
  std::vector<Write> history;   // every write that was sent
  std::size_t most_at_once = 0; // of those without an answer
  std::vector<Notice> notices;
  int resigned = 0;
  ServiceRangesTold service_ranges{{Prefix::parse("10.96.0.0/16").value()}, ""}; // when asked
  int asked = 0;

  // A new process takes over: lists in an order drawn from `seed`.
  void restart(std::int64_t term, unsigned seed = 0);
  // One that is not allowed to read these kinds; and when it is.
  void restart_without(const std::set<Kind>& kinds, std::int64_t term);
  void grant(Kind kind);
  // Rights that go while a watch runs, and come back: no new list.
  void deny(Kind kind);
  void allow(Kind kind);
  void advance(Duration d);
  // Until there is nothing more to do, also later: events, writes and timers. Returns writes sent.
  std::size_t settle();
  // One step with some of the events and some of the answers that are due.
  void shake(std::mt19937& random);
  // Without moving the clock beyond what is due now.
  void pump();

  // --- objects -----------------------------------------------------------------------------------
  void node(const std::string& name, bool ready = true, bool cordoned = false, int number = 0);
  void remove_node(const std::string& name);
  void gateway(const std::string& name, const std::vector<std::string>& v4,
               const std::vector<std::string>& v6 = {}, const std::string& role = "gateway");
  void policy(const std::string& ns, const std::string& name, const std::string& gateway,
              const std::string& v4 = "", const std::string& app = "web",
              const std::function<void(api::PolicySpec&)>& edit = {});
  void ns(const std::string& name, const api::Labels& labels = {});
  void pod(const std::string& ns, const std::string& name, const std::string& node,
           const std::string& ip, const std::string& app = "web");
  // Agents answer: every EgressNode with addresses gets DatapathReady.
  void agents(const std::string& ready = "True");

  [[nodiscard]] const api::EgressGateway& gateway(const std::string& name) const;
  [[nodiscard]] const api::EgressPolicy& policy(const std::string& ns,
                                                const std::string& name) const;
  [[nodiscard]] const api::EgressNode& egress_node(const std::string& name) const;
  [[nodiscard]] std::string condition(const std::vector<api::Condition>& conditions,
                                      const char* type) const; // "True", "False Reason", ""
  // What must hold at every moment. Empty when it does.
  [[nodiscard]] std::vector<std::string> violations() const;

 private:
  void step(std::vector<Event> events);
  [[nodiscard]] bool heard() const; // events wait that it may read

  ControllerOptions options_;
  std::deque<Write> sent_;
  std::vector<Event> lists_; // of a restart, not delivered yet
  std::set<Kind> denied_;    // nothing is heard of these
};

// Three nodes whose agents are ready, a gateway with both families, led by term 7.
[[nodiscard]] Harness cluster();
[[nodiscard]] std::vector<Event> one(Event event);
[[nodiscard]] bool noticed(const Harness& h, const std::string& reason);

} // namespace egw::egress::test
