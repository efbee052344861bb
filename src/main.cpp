// SPDX-License-Identifier: Apache-2.0
#include "base/memory.hpp"
#include "base/signals.hpp"
#include "cmd/app.hpp"

int main(int argc, char** argv) {
  // Both before there is a second thread.
  egw::block_signals();
  egw::share_heap();
  return egw::cmd::run(argc, argv);
}
