// SPDX-License-Identifier: Apache-2.0
#include "egress/pod_witness.hpp"

namespace egw::egress {

std::optional<PodWitness::Found> PodWitness::testifies(PodId id, const PodTable& pods) const {
  const PodRecord* pod = pods.get(id);
  if (pod == nullptr || pod->host_network || pod->ended) return std::nullopt;
  for (const Address& address : pod->endpoint.ips.all()) {
    if (set_.contains(address) != (where_ == Where::Inside)) continue;
    return Found{id, {*pod->endpoint.namespace_, std::string(*pod->endpoint.pod)}, address};
  }
  return std::nullopt;
}

void PodWitness::search(const PodTable& pods) {
  found_.reset();
  pods.for_each([&](PodId id) {
    if (!found_) found_ = testifies(id, pods);
  });
}

bool PodWitness::look_in(const IntervalSet& set, const PodTable& pods) {
  if (set_ == set) return false;
  set_ = set;
  const auto before = found_;
  // The same one is as good as another, and no news.
  if (found_ && testifies(found_->id, pods) == found_) return false;
  search(pods);
  return found_ != before;
}

bool PodWitness::changed(PodId id, const PodTable& pods) {
  const auto now = testifies(id, pods);
  if (found_ && found_->id == id) {
    if (now == found_) return false;
    const auto before = found_;
    search(pods);
    return found_ != before;
  }
  if (found_ || !now) return false;
  found_ = now;
  return true;
}

} // namespace egw::egress
