// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_files.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/queue.hpp"
#include "k8s/support.hpp"

using namespace egw;
using namespace egw::k8s;
using namespace egw::test;
namespace fs = std::filesystem;

namespace {

void put(const fs::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

struct Fixture {
  fs::path dir = fs::temp_directory_path() / fmt::format("egw-certificates-{}", getpid());
  Queue<Result<Material>> read;
  std::unique_ptr<CertificateFiles> files;

  Fixture() {
    fs::remove_all(dir);
    fs::create_directories(dir);
  }
  ~Fixture() {
    files.reset();
    fs::remove_all(dir);
  }
  void start() {
    files = std::make_unique<CertificateFiles>(
        dir.string(), [this](Result<Material> material) { read.push(std::move(material)); });
  }
  // Until one comes of which `wanted` is true.
  template <class F>
  bool await(F wanted) {
    const auto end = now().steady + kPatience;
    while (now().steady < end) {
      for (const auto& material : read.take(end)) {
        if (wanted(material)) return true;
      }
    }
    return false;
  }
  bool await_certificate(const std::string& text) {
    return await([&](const auto& m) { return m && m->serving.certificate == text; });
  }
  bool await_error(const std::string& part) {
    return await(
        [&](const auto& m) { return !m && m.error().message.find(part) != std::string::npos; });
  }
  // As a kubelet replaces all files of a volume at once.
  void publish(const std::string& generation, const std::string& text) const {
    fs::create_directories(dir / generation);
    put(dir / generation / "tls.crt", text);
    put(dir / generation / "tls.key", "key of " + text);
    fs::create_symlink(generation, dir / "..data_tmp");
    fs::rename(dir / "..data_tmp", dir / "..data");
    for (const char* name : {"tls.crt", "tls.key"}) {
      if (!fs::is_symlink(dir / name)) fs::create_symlink(fs::path("..data") / name, dir / name);
    }
  }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "certificate files: read, ca.crt only where it is there") {
  CHECK(read_material(dir.string()).error().message ==
        fmt::format("cannot read {}/tls.crt: No such file or directory", dir.string()));
  put(dir / "tls.crt", "c");
  CHECK(read_material(dir.string()).error().message.find("tls.key") != std::string::npos);
  put(dir / "tls.key", "k");
  CHECK(*read_material(dir.string()) == Material{{"c", "k"}, ""});
  put(dir / "ca.crt", "a");
  CHECK(*read_material(dir.string()) == Material{{"c", "k"}, "a"});
  fs::remove(dir / "ca.crt");
  fs::create_directory(dir / "ca.crt");
  CHECK(read_material(dir.string()).error().message.find("ca.crt: Is a directory") !=
        std::string::npos);
}

TEST_SUITE("threads") {
  TEST_CASE_FIXTURE(Fixture, "certificate files: read again when they are replaced") {
    start();
    CHECK(await_error("tls.crt"));
    put(dir / "tls.crt", "one");
    put(dir / "tls.key", "k");
    CHECK(await_certificate("one"));
    put(dir / "new", "two");
    fs::rename(dir / "new", dir / "tls.crt");
    CHECK(await_certificate("two"));
    fs::remove(dir / "tls.crt");
    CHECK(await_error("tls.crt"));
  }

  TEST_CASE_FIXTURE(Fixture, "certificate files: a volume of a kubelet") {
    publish("..1", "one");
    start();
    CHECK(await_certificate("one"));
    publish("..2", "two");
    CHECK(await([](const auto& m) { return m && *m == Material{{"two", "key of two"}, ""}; }));
  }

  TEST_CASE_FIXTURE(Fixture, "certificate files: a directory that comes later, and goes") {
    fs::remove_all(dir);
    start();
    CHECK(await_error("cannot watch " + dir.string() + ": No such file or directory"));
    fs::create_directories(dir);
    publish("..1", "one");
    CHECK(await_certificate("one"));
    fs::remove_all(dir);
    CHECK(await_error(dir.string()));
    fs::create_directories(dir);
    publish("..1", "two");
    CHECK(await_certificate("two"));
  }
}
