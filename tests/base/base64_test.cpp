// SPDX-License-Identifier: Apache-2.0
#include "base/base64.hpp"

#include <doctest/doctest.h>

#include <array>
#include <utility>

using namespace egw;

TEST_CASE("base64 gives the examples of RFC 4648, both ways") {
  const std::array<std::pair<const char*, const char*>, 7> examples{{{"", ""},
                                                                     {"f", "Zg=="},
                                                                     {"fo", "Zm8="},
                                                                     {"foo", "Zm9v"},
                                                                     {"foob", "Zm9vYg=="},
                                                                     {"fooba", "Zm9vYmE="},
                                                                     {"foobar", "Zm9vYmFy"}}};
  for (const auto& [bytes, text] : examples) {
    CHECK(base64_encode(bytes) == text);
    CHECK(base64_decode(text).value() == bytes);
  }
}

TEST_CASE("base64: any bytes come back, and broken lines are read") {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * 7);
  std::string text = base64_encode(bytes);
  CHECK(base64_decode(text).value() == bytes);
  for (std::size_t at = 76; at < text.size(); at += 78) text.insert(at, "\r\n");
  CHECK(base64_decode(text + "\n").value() == bytes);
}

TEST_CASE("base64: what is none is refused") {
  for (const char* text :
       {"Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Z=9v", "Zm9v!", "Zm-_", "Zm9vZ"})
    CHECK_MESSAGE(!base64_decode(text).ok(), text);
}
