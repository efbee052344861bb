// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "k8s/certificate_secret.hpp"

namespace egw::k8s {

// tls.crt, tls.key and, where it is there, ca.crt of a directory. Errors name the file.
[[nodiscard]] Result<Material> read_material(const std::string& directory);

// Reads them at once and after each change in the directory, by inotify: also where a kubelet
// replaces all files of a volume by the rename of one link.
class CertificateFiles {
 public:
  using Sink = std::function<void(Result<Material>)>; // from its thread
  CertificateFiles(std::string directory, Sink sink);
  ~CertificateFiles(); // the sink is not called afterwards
  CertificateFiles(const CertificateFiles&) = delete;
  CertificateFiles& operator=(const CertificateFiles&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace egw::k8s
