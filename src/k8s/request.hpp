// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"
#include "k8s/client.hpp"
#include "k8s/http.hpp"

// From what is wanted to the bytes of a request: pure.
namespace egw::k8s {

// https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables and
// below
inline constexpr const char* kAcceptMetadataList =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
inline constexpr const char* kAcceptMetadata =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

// One page; `next` is the server's continue token. resourceVersion stays unset: a consistent read.
[[nodiscard]] std::string list_target(const api::Resource& resource, const ListOptions& list,
                                      const std::string& next);
// Errors: what is missing or does not go together in the Write.
[[nodiscard]] Result<HttpRequest> write_request(const Write& write);
[[nodiscard]] std::string describe(const Write& write); // "update status of EgressGateway eg1"

// metav1.ListMeta
void read_list_meta(std::string_view json, std::string& resource_version, std::string& next);

} // namespace egw::k8s
