// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

namespace egw::cmd {

// One agent a node: an abstract Unix socket (unix(7)), which is one for each network namespace and
// goes with the process, however that ends. The error names the process that holds it.
[[nodiscard]] Result<Fd> lock_node();

} // namespace egw::cmd
