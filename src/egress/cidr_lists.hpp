// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "api/egress.hpp"
#include "base/ip.hpp"

// How ranges stand in EgressClusterInfo's status, and lists in its messages.
namespace egw::egress {

// The first few, and how many more there are: a condition must not grow with the cluster.
[[nodiscard]] std::string first_of(const std::vector<std::string>& texts, const char* separator);

// Puts a range in, unless it is there. bare: an address is written without its length.
void add(api::CidrSource& source, const Prefix& prefix, bool bare);
// Puts in what stands in the other; texts that are no CIDRs stay behind.
void add(api::CidrSource& source, const api::CidrSource& other, bool bare);
void collect(std::vector<Range>& ranges, const api::CidrSource& source);
// As few CIDRs as hold exactly these addresses.
[[nodiscard]] api::CidrSource merged(std::vector<Range> ranges, bool bare);

} // namespace egw::egress
