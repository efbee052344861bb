// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/chrono.hpp"
#include "base/clock.hpp"
#include "base/ip.hpp"

// Which EIPs of this node another host uses too (RFC 5227 section 2.4, RFC 4861 section 7.2.5).
// Pure.
namespace egw::egress {

class Claims {
 public:
  struct Timing {
    // A claim is believed when it is still heard this long after the first one: the holder before
    // may answer until it has heard that it is none any more, or until its lease has run out.
    Duration believe = std::chrono::seconds(12);
    Duration ask_first = std::chrono::seconds(2);  // how often, until then
    Duration silence = std::chrono::seconds(5);    // after which it was none
    Duration ask_again = std::chrono::seconds(10); // how often, while it lasts
    Duration forget = std::chrono::seconds(25);    // after it was heard last
  };
  struct Conflict {
    Address address;
    Mac mac; // of whoever claims it
    std::string link;
    bool operator==(const Conflict&) const = default;
  };

  Claims() = default;
  explicit Claims(Timing timing) : timing_(timing) {}

  void heard(const Address& address, const Mac& mac, const std::string& link, Time now);
  void forget(const Address& address); // it is not held any more

  // Addresses to be asked for now, by link. The question claims nothing (RFC 5227 section 2.1.1): a
  // node that was cut off must not shout against the one that holds its EIPs now.
  [[nodiscard]] std::map<std::string, std::vector<Address>> due(Time now);
  [[nodiscard]] std::optional<Time> deadline() const;

  [[nodiscard]] std::vector<Conflict> conflicts() const; // those that are believed
  [[nodiscard]] std::vector<Address> addresses() const;

 private:
  struct Claim {
    Mac mac;
    std::string link;
    Time first{}, last{}, ask{};
    bool believed = false;
    [[nodiscard]] Time end(const Timing& t) const {
      return last + (believed ? t.forget : t.silence);
    }
  };
  Timing timing_;
  std::map<Address, Claim> claims_;
};

} // namespace egw::egress
