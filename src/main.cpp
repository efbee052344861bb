// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "version.hpp"

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    fmt::print("egw {}\n", egw::version());
    return 0;
  }
  fmt::print(stderr, "usage: egw --version\n");
  return 2;
}
