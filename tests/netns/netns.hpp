// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/fd.hpp"

// A network namespace of a test's own. It has no name and ends with the last thing that is in it.
namespace egw::test {

class Netns {
 public:
  Netns(); // made, with lo up; the calling thread stays where it is

  // The calling thread is in the namespace for as long as this lives.
  class Inside {
   public:
    explicit Inside(const Netns& ns);
    ~Inside();
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    Fd before_;
  };
  [[nodiscard]] std::string path() const; // for `ip link set X netns PATH`

 private:
  Fd fd_;
};

// What a shell command prints, in the namespace of the calling thread. Throws std::runtime_error
// with its output when it fails.
std::string run(const std::string& command);
[[nodiscard]] bool succeeds(const std::string& command);
[[nodiscard]] bool contains(const std::string& text, const std::string& part);

} // namespace egw::test
