// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "api/admission_review.hpp"
#include "base/error.hpp"
#include "egress/admission.hpp"
#include "k8s/client.hpp"

namespace egw::cmd {

// What the rules say by what is known, with these objects read anew. Nothing: no answer in time.
using Judge = std::function<std::optional<egress::AdmissionVerdict>(const egress::Fresh&)>;
// As the API server has it now. A value without an object: there is none.
using ReadObject = std::function<Result<std::optional<egress::Object>>(const egress::ObjectKey&)>;

// Asks again with what the answer rests on, since a watch is a little behind: an object applied
// together with the one that names it, or deleted a moment before, is seen. Where that can't be
// read the answer stands as it is. Bounded: the API server waits five seconds.
[[nodiscard]] api::AdmissionResponse admit_anew(const Judge& judge, const ReadObject& read);

// Gateways, policies and namespaces.
[[nodiscard]] Result<std::optional<egress::Object>> read_object(k8s::Client& client,
                                                                const egress::ObjectKey& key);

} // namespace egw::cmd
