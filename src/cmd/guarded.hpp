// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <system_error>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"

namespace egw::cmd {

// What `f` returns, or the error of the system call that must not have failed: it is tried again
// like a refusal.
template <class R, class F>
R guarded(F f) {
  try {
    return f();
  } catch (const std::system_error& error) {
    return R{Error{error.what(), error.code().value()}};
  }
}

inline double milliseconds(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

} // namespace egw::cmd
