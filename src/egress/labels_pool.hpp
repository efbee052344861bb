// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "api/meta.hpp"
#include "base/interned.hpp"

namespace egw::egress {

// Labels of pods: those of one Deployment have the same.
struct LabelsHash {
  std::size_t operator()(const api::Labels& labels) const noexcept;
};
// Of one of them.
[[nodiscard]] inline std::size_t hash_of(const api::Labels::Item& label) {
  const std::hash<std::string_view> hash;
  return hash(label.first) * 31 + hash(label.second);
}
using LabelsPool = InternPool<api::Labels, LabelsHash>;

using NamePool = InternPool<std::string>;

// The pool of what a struct holds, declared before it; copies of the struct share the pool. Where
// another one is assigned, the one before stays: what is in the struct is assigned after it.
template <class Pool>
class SharedPool {
 public:
  SharedPool() = default;
  SharedPool(const SharedPool& other) : pool_(other.pool_) {}
  SharedPool& operator=(const SharedPool& other) {
    auto pool = other.pool_; // `other` may be this one
    before_ = std::exchange(pool_, std::move(pool));
    return *this;
  }
  ~SharedPool() = default;
  [[nodiscard]] Pool& operator*() const { return *pool_; }

 private:
  std::shared_ptr<Pool> pool_ = std::make_shared<Pool>(), before_;
};

} // namespace egw::egress
