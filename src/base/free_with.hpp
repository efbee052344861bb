// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace egw {

// For std::unique_ptr to an object of a C library: `Free` is the library's function.
template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};

} // namespace egw
