// SPDX-License-Identifier: Apache-2.0
#include "base/digest.hpp"

#include <doctest/doctest.h>

#include <string>

namespace egw {

TEST_CASE("SHA-256 gives the examples of FIPS 180") {
  CHECK(short_digest("") == "e3b0c44298fc1c149afb");
  CHECK(short_digest("abc") == "ba7816bf8f01cfea4141");
  CHECK(short_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c0");
  CHECK(short_digest(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1");
  const std::array<std::uint8_t, 32> abc = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                            0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                            0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
  CHECK(sha256("abc") == abc);
}

TEST_CASE("bytes after a NUL count") {
  using namespace std::string_view_literals;
  CHECK(short_digest("a\0b"sv) != short_digest("a\0c"sv));
}

} // namespace egw
