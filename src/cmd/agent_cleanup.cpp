// SPDX-License-Identifier: Apache-2.0
#include "cmd/agent_cleanup.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "cmd/agent_lock.hpp"
#include "cmd/boot_guard.hpp"
#include "net/diff.hpp"
#include "net/kernel.hpp"

namespace egw::cmd {

namespace {

int complain(const std::string& what) {
  fmt::print(stderr, "egw agent cleanup: {}\n", what);
  return 1;
}

// Connections that bear our mark were bound by our rules: without them they lead nowhere.
Result<std::size_t> forget_connections(std::uint32_t ct_mask) {
  net::Conntrack conntrack;
  const auto all = conntrack.marked(ct_mask);
  if (!all) return all.error();
  const auto done = conntrack.forget(*all);
  if (!done) return done.error();
  return all->size();
}

} // namespace

int run_cleanup(const AgentSettings& settings) {
  const auto lock = lock_node();
  if (!lock) return complain(lock.error().message);
  net::Kernel kernel(settings.core.plan.ownership);
  const net::Batch batch = net::diff(kernel.observe().state, {});
  for (const auto* ops : {&batch.before, &batch.after}) {
    for (const net::LinkOp& op : *ops) fmt::print("{}\n", net::to_string(op));
  }
  for (const net::NftOp& op : batch.nft) fmt::print("{}\n", net::to_string(op));
  int status = 0;
  for (const Error& error : kernel.apply(batch)) status = complain(error.message);
  for (const Error& error : remove_boot_guard()) status = complain("boot guard: " + error.message);
  const auto forgotten = forget_connections(settings.core.plan.ct_mask);
  if (!forgotten) return complain(forgotten.error().message);
  if (status == 0 && !net::diff(kernel.observe().state, {}).empty()) {
    return complain(
        "something of ours came back meanwhile; is an agent of another container running?");
  }
  if (status == 0) {
    fmt::print("{}; {} connections forgotten\n",
               batch.empty() ? "there was nothing to remove" : "all removed", *forgotten);
  }
  return status;
}

} // namespace egw::cmd
