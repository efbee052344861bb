// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace egw {

// RFC 4648, with padding and without line breaks: bytes in JSON, as Kubernetes writes them.
[[nodiscard]] std::string base64_encode(std::string_view bytes);
// Line breaks and blanks between the characters are passed over, as in hand-made kubeconfigs.
[[nodiscard]] Result<std::string> base64_decode(std::string_view text);

} // namespace egw
