// SPDX-License-Identifier: Apache-2.0
#include "base/signals.hpp"
#include "cmd/app.hpp"

int main(int argc, char** argv) {
  egw::block_signals(); // before there is a second thread
  return egw::cmd::run(argc, argv);
}
