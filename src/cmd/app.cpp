// SPDX-License-Identifier: Apache-2.0
#include "cmd/app.hpp"

#include <fmt/format.h>
#include <nss.h>
#include <openssl/crypto.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/command.hpp"
#include "version.hpp"

namespace egw::cmd {

namespace {

void prepare_process() {
  // A static glibc can't load the modules that a host's nsswitch.conf may name.
  __nss_configure_lookup("hosts", "files dns");
  // The host's openssl.cnf may name providers that are not linked in.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
}

// "--option=" is an empty value, of which CLI11 would make the argument that comes next.
std::vector<std::string> arguments(int argc, char** argv) {
  std::vector<std::string> all;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word(argv[i]);
    const bool empty = word.starts_with("--") && word.find('=') == word.size() - 1;
    all.emplace_back(empty ? word.substr(0, word.size() - 1) : word);
    if (empty) all.emplace_back();
  }
  return all;
}

} // namespace

int run(int argc, char** argv) {
  prepare_process();
  const auto words = arguments(argc, argv);
  std::vector<const char*> pointers;
  pointers.reserve(words.size());
  for (const auto& word : words) pointers.push_back(word.c_str());
  CLI::App app{"egw: stable source addresses for traffic that leaves a Kubernetes cluster"};
  app.set_version_flag("--version", fmt::format("egw {}", version()));
  app.require_subcommand(1);
  Run command;
  add_controller(app, command);
  add_agent(app, command);
  add_ctl(app, command);
  try {
    app.parse(static_cast<int>(pointers.size()), pointers.data());
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return command();
  } catch (const std::exception& error) {
    fmt::print(stderr, "egw: {}\n", error.what());
    return 1;
  }
}

} // namespace egw::cmd
