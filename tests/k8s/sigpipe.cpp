// SPDX-License-Identifier: Apache-2.0
#include <csignal>

// As the program does: a peer that closes early is an error of one call, not the end of the
// process.
[[maybe_unused]] static const auto kBefore = std::signal(SIGPIPE, SIG_IGN);
