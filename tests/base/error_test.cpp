// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"

#include <doctest/doctest.h>

#include <memory>

namespace egw {

TEST_CASE("a result is a value or an error") {
  Result<int> good = 7;
  CHECK(good.ok());
  CHECK(static_cast<bool>(good));
  CHECK(*good == 7);
  CHECK(good.value_or(1) == 7);
  CHECK_THROWS_AS((void)good.error(), std::bad_variant_access);

  const Result<int> bad = Error{"the API server refused", 409};
  CHECK_FALSE(bad.ok());
  CHECK(bad.error() == Error{"the API server refused", 409});
  CHECK(bad.value_or(1) == 1);
  CHECK_THROWS_AS((void)bad.value(), std::bad_variant_access);
}

TEST_CASE("a result of an error type's own kind keeps its side") {
  const Result<std::string> text = std::string("fine");
  CHECK(text.ok());
  CHECK(text->size() == 4);
}

TEST_CASE("a value that cannot be copied moves out of its result") {
  Result<std::unique_ptr<int>> r = std::make_unique<int>(3);
  const std::unique_ptr<int> taken = std::move(r).value();
  CHECK(*taken == 3);
}

TEST_CASE("a result without a value") {
  const Result<void> good;
  CHECK(good.ok());
  CHECK_THROWS_AS((void)good.error(), std::bad_optional_access);
  const Result<void> bad = Error{"no", 1};
  CHECK_FALSE(bad.ok());
  CHECK(bad.error().code == 1);
}

TEST_CASE("check_errno passes results on and throws errno") {
  CHECK(check_errno(0, "read") == 0);
  CHECK(check_errno(5L, "read") == 5L);
  errno = ENOENT;
  try {
    check_errno(-1, "open the file");
    FAIL("did not throw");
  } catch (const std::system_error& e) {
    CHECK(e.code().value() == ENOENT);
    CHECK(std::string(e.what()).find("open the file") != std::string::npos);
  }
}

} // namespace egw
