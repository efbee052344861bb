// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_files.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "base/fd.hpp"
#include "k8s/file.hpp"

namespace egw::k8s {
namespace {

// Files that are written one after the other are read when that has ended.
constexpr int kSettleMs = 100, kSettleRounds = 20;
constexpr int kMissingMs = 2000; // until a directory that is not there is looked for again

} // namespace

Result<Material> read_material(const std::string& directory) {
  auto certificate = read_file(directory + "/" + kServingCertificate);
  if (!certificate) return certificate.error();
  auto key = read_file(directory + "/" + kServingKey);
  if (!key) return key.error();
  auto authorities = read_file(directory + "/" + kAuthorityCertificate);
  if (!authorities && authorities.error().code != ENOENT) return authorities.error();
  Material material{{std::move(certificate).value(), std::move(key).value()}, {}};
  if (authorities) material.authorities = std::move(authorities).value();
  return material;
}

struct CertificateFiles::Impl {
  Impl(std::string d, Sink s) : directory(std::move(d)), sink(std::move(s)) {
    inotify = Fd(check_errno(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify_init1"));
    thread = std::thread([this] { run(); });
  }
  ~Impl() {
    stopping = true;
    wakeup.signal();
    thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void run() {
    while (!stopping) {
      if (!watched && !watch()) {
        sink(Error{
            fmt::format("cannot watch {}: {}", directory, std::generic_category().message(errno)),
            errno});
        static_cast<void>(changed(kMissingMs));
        continue;
      }
      sink(read_material(directory));
      static_cast<void>(changed(-1));
      for (int i = 0; i < kSettleRounds && changed(kSettleMs); ++i) continue;
    }
  }

  bool watch() {
    constexpr auto kChanges = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                              IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    watched = inotify_add_watch(inotify.get(), directory.c_str(), kChanges) >= 0;
    return watched;
  }

  // Waits, for ever with -1; false: nothing came in time, or it is to stop.
  bool changed(int milliseconds) {
    std::array<pollfd, 2> fds{{{wakeup.fd(), POLLIN, 0}, {inotify.get(), POLLIN, 0}}};
    const int ready = ::poll(fds.data(), fds.size(), milliseconds);
    if (stopping || ready <= 0 || fds[1].revents == 0) return false;
    alignas(inotify_event) std::array<char, 4096> buffer{};
    const auto size = ::read(inotify.get(), buffer.data(), buffer.size());
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      if ((event->mask & (IN_IGNORED | IN_MOVE_SELF)) != 0) watched = false; // the directory went
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    return true;
  }

  const std::string directory;
  const Sink sink;
  Fd inotify;
  Wakeup wakeup;
  std::atomic<bool> stopping{false};
  bool watched = false;
  std::thread thread;
};

CertificateFiles::CertificateFiles(std::string directory, Sink sink)
    : impl_(std::make_unique<Impl>(std::move(directory), std::move(sink))) {}

CertificateFiles::~CertificateFiles() = default;

} // namespace egw::k8s
