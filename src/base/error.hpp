// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

// Two ways to fail, never mixed:
//  - a system call that must not fail throws std::system_error, with what was being done;
//  - bad input and refusals (by the API server, by the kernel for one object) are Result<T>.
namespace egw {

struct Error {
  std::string message; // a full sentence for people: what, which value, and the remedy if any
  int code = 0;        // errno of the kernel or HTTP status of the API server; 0 where none
  bool operator==(const Error&) const = default;
};

// A value or an Error. Asking for the value of an error throws std::bad_variant_access: a bug.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}     // NOLINT: implicit
  Result(Error error) : v_(std::in_place_index<1>, std::move(error)) {} // NOLINT: implicit

  [[nodiscard]] bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & { return std::get<0>(v_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(v_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(v_)); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const { return std::get<1>(v_); }
  [[nodiscard]] T value_or(T other) const { return ok() ? value() : std::move(other); }

 private:
  std::variant<T, Error> v_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {} // NOLINT: implicit

  [[nodiscard]] bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const { return error_.value(); }

 private:
  std::optional<Error> error_;
};

// Returns `r` if it is not negative, else throws std::system_error(errno, what).
template <class Int>
Int check_errno(Int r, const char* what) {
  if (r < 0) throw std::system_error(errno, std::system_category(), what);
  return r;
}

} // namespace egw
