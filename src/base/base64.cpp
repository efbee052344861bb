// SPDX-License-Identifier: Apache-2.0
#include "base/base64.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cstddef>

namespace egw {

std::string base64_encode(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0'); // and a zero byte, which OpenSSL writes
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

Result<std::string> base64_decode(std::string_view text) {
  std::string clean(text);
  std::erase_if(clean, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  const auto padding = clean.size() - std::min(clean.find('='), clean.size());
  std::string out(clean.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(clean.data()),
                                   static_cast<int>(clean.size()));
  // OpenSSL takes '=' for a zero anywhere in the last four characters.
  const bool padded =
      padding <= 2 && clean.find_first_not_of('=', clean.size() - padding) == std::string::npos;
  if (size < 0 || clean.size() % 4 != 0 || !padded) return Error{"not base64"};
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

} // namespace egw
