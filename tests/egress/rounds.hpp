// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace egw::egress::testing {

// How many random cases to try, where `all` are tried without sanitizers: under one each costs ten
// times as much, and what it looks for is on ways that the first ones have gone.
constexpr unsigned rounds(unsigned all) {
#ifdef EGW_SANITIZED
  return (all + 9) / 10;
#else
  return all;
#endif
}

} // namespace egw::egress::testing
