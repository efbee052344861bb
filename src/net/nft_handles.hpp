// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>

#include <memory>
#include <new>

#include "base/free_with.hpp"

// libnftnl's objects, owned.
namespace egw::net {

using NftTable = std::unique_ptr<nftnl_table, FreeWith<nftnl_table_free>>;
using NftChain = std::unique_ptr<nftnl_chain, FreeWith<nftnl_chain_free>>;
using NftRule = std::unique_ptr<nftnl_rule, FreeWith<nftnl_rule_free>>;
using NftSet = std::unique_ptr<nftnl_set, FreeWith<nftnl_set_free>>;
using NftElement = std::unique_ptr<nftnl_set_elem, FreeWith<nftnl_set_elem_free>>;
using NftExpr = std::unique_ptr<nftnl_expr, FreeWith<nftnl_expr_free>>;
using NftExprIter = std::unique_ptr<nftnl_expr_iter, FreeWith<nftnl_expr_iter_destroy>>;
using NftElementIter =
    std::unique_ptr<nftnl_set_elems_iter, FreeWith<nftnl_set_elems_iter_destroy>>;

// The library returns null only when memory is out.
template <class Owner, class T>
[[nodiscard]] Owner owned(T* p) {
  if (!p) throw std::bad_alloc();
  return Owner(p);
}

} // namespace egw::net
