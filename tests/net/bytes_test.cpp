// SPDX-License-Identifier: Apache-2.0
#include "net/bytes.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using egw::net::Bytes;

TEST_CASE("bytes are equal by content, whatever stood in the unused part before") {
  Bytes a{1, 2, 3, 4};
  a.resize(2);
  CHECK(a == Bytes{1, 2});
  a.resize(4);
  CHECK(a == Bytes{1, 2, 0, 0});
  a.resize(6, 0xff);
  CHECK(a == Bytes{1, 2, 0, 0, 0xff, 0xff});
  CHECK(Bytes(3, 0xff) == Bytes{0xff, 0xff, 0xff});
  CHECK(Bytes().empty());
}

TEST_CASE("bytes are ordered as words are, as unsigned numbers") {
  const std::vector<Bytes> ordered{{}, {0}, {0, 0}, {0, 1}, {1}, {0x7f, 0xff}, {0x80}};
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    for (std::size_t k = 0; k < ordered.size(); ++k) {
      CHECK((ordered[i] < ordered[k]) == (i < k));
      CHECK((ordered[i] == ordered[k]) == (i == k));
    }
  }
}

TEST_CASE("bytes are made of parts, and of characters") {
  const std::string name = "eth\xff";
  Bytes b(name.begin(), name.end());
  CHECK(b == Bytes{'e', 't', 'h', 0xff});
  const std::vector<std::uint8_t> more{7, 8};
  b.append(more.begin(), more.end());
  CHECK(b.size() == 6);
  CHECK(b[5] == 8);
}

TEST_CASE("more bytes than a value can have are refused") {
  Bytes full(Bytes::kCapacity, 1);
  CHECK(full.size() == 24);
  const Bytes one{1};
  CHECK_THROWS_AS(full.append(one.begin(), one.end()), std::length_error);
  CHECK_THROWS_AS(Bytes(25), std::length_error);
  CHECK(full == Bytes(24, 1));
}
