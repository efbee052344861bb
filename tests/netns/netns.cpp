// SPDX-License-Identifier: Apache-2.0
#include "netns/netns.hpp"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "base/error.hpp"

namespace egw::test {
namespace {

Fd current() {
  return Fd(check_errno(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
                        "open a network namespace"));
}

struct Output {
  std::string text;
  int status = 0;
};
Output shell(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "re");
  if (!pipe) throw std::runtime_error("cannot run: " + command);
  Output out;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    out.text.append(buffer.data(), n);
  out.status = pclose(pipe);
  return out;
}

} // namespace

Netns::Netns() {
  const Fd before = current();
  check_errno(unshare(CLONE_NEWNET), "make a network namespace");
  fd_ = current();
  run("ip link set lo up");
  check_errno(setns(before.get(), CLONE_NEWNET), "return to the network namespace");
}

Netns::Inside::Inside(const Netns& ns) : before_(current()) {
  check_errno(setns(ns.fd_.get(), CLONE_NEWNET), "enter a network namespace");
}

Netns::Inside::~Inside() {
  if (setns(before_.get(), CLONE_NEWNET) < 0)
    abort(); // every later test would run in the wrong place
}

std::string Netns::path() const {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_.get());
}

std::string run(const std::string& command) {
  Output out = shell(command);
  if (out.status != 0) throw std::runtime_error(command + ": " + out.text);
  return out.text;
}

bool succeeds(const std::string& command) {
  return shell(command).status == 0;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace egw::test
