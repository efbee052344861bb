// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "egress/controller_io.hpp"
#include "k8s/client.hpp"

namespace egw::cmd {

inline constexpr const char* kControllerManager = "egw-controller"; // field manager

// The core's writes as requests, and answers as its events.
[[nodiscard]] k8s::Write to_request(const egress::Write& write);
[[nodiscard]] egress::WriteDone to_event(const egress::ObjectKey& key, const k8s::Write& request,
                                         const Result<std::string>& result);
[[nodiscard]] const char* to_string(egress::WriteDone::Outcome outcome);

} // namespace egw::cmd
