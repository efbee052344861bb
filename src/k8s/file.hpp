// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.hpp"

namespace egw::k8s {

[[nodiscard]] Result<std::string> read_file(const std::string& path);
[[nodiscard]] std::string trimmed(std::string text); // without white space at the end

} // namespace egw::k8s
