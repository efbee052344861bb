// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "net/diff.hpp"

namespace egw::net {

// The nftables part of diff, pure, as one transaction's steps: what refers to something is removed
// before it and added after it.
[[nodiscard]] std::vector<NftOp> diff_tables(const std::map<NftFamily, Table>& actual,
                                             const std::map<NftFamily, Table>& desired);

// The elements of an interval set without data, with adjacent and overlapping ranges joined: the
// kernel refuses overlapping ones. Other sets are returned as they are.
[[nodiscard]] Elements joined(const Set& set);

} // namespace egw::net
