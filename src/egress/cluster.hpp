// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api/egress.hpp"
#include "base/interval_set.hpp"

namespace egw::egress {

// Every address that is inside the cluster: what EgressClusterInfo's status names, and what is
// never outside anywhere (loopback, link-local, multicast, limited broadcast, unspecified).
[[nodiscard]] IntervalSet inside_cluster(const api::EgressClusterInfo& info);

} // namespace egw::egress
