// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/error.hpp"

namespace egw::cmd {

// Deletes the tables of the host's boot guard (manifests/boot-guard), which keeps pods from sending
// outside until an agent's own ruleset stands. That there are none is no error.
[[nodiscard]] std::vector<Error> remove_boot_guard();

} // namespace egw::cmd
