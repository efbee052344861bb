// SPDX-License-Identifier: Apache-2.0
#include "base/ip.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace egw {

namespace {

// What somebody wrote, for a message: bounded, and plain ASCII whatever it was.
std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 64;
  std::string out = "\"";
  for (const char c : text.substr(0, longest)) {
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
    }
  }
  if (text.size() > longest) out += "...";
  return out + "\"";
}

template <class... A>
Error bad(std::string_view text, fmt::format_string<A...> f, A&&... a) {
  return Error{quoted(text) + " " + fmt::format(f, std::forward<A>(a)...)};
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// A number of a dotted quad that begins with a zero it does not need. Some programs read it as
// octal.
bool has_leading_zero(std::string_view text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const bool starts = i == 0 || text[i - 1] == '.';
    if (starts && text[i] == '0' && is_digit(text[i + 1])) return true;
  }
  return false;
}

bool is_v4_mapped(const std::array<std::uint8_t, 16>& b) {
  return std::all_of(b.begin(), b.begin() + 10, [](auto x) { return x == 0; }) && b[10] == 0xff &&
         b[11] == 0xff;
}

std::string v4_text(const std::uint8_t* b) {
  return fmt::format("{}.{}.{}.{}", b[0], b[1], b[2], b[3]);
}

// RFC 5952, section 4. Not inet_ntop: glibc writes all of ::/96 with a dotted quad ("::1.2.3.4"),
// while the API server keeps to "::102:304", and the two must compare equal as text.
std::string v6_text(const std::array<std::uint8_t, 16>& b) {
  if (is_v4_mapped(b)) return "::ffff:" + v4_text(&b[12]);
  const auto group = [&b](std::size_t i) { return b[2 * i] << 8 | b[2 * i + 1]; };
  std::size_t gap = 8; // the first of the longest runs of two or more zero groups
  std::size_t gap_size = 1;
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && group(end) == 0) ++end;
    if (end - i > gap_size) {
      gap = i;
      gap_size = end - i;
    }
    i = std::max(end, i + 1);
  }
  std::string out;
  for (std::size_t i = 0; i < 8;) {
    if (i == gap) {
      out += "::";
      i += gap_size;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    out += fmt::format("{:x}", group(i));
    ++i;
  }
  return out;
}

// All bits after the first `length` set to ones or zeros.
Address fill(Address a, unsigned length, bool ones) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto before = static_cast<unsigned>(8 * i);
    const unsigned keep = std::clamp(length, before, before + 8) - before;
    const auto rest = static_cast<std::uint8_t>(0xffU >> keep);
    a.bytes[i] = static_cast<std::uint8_t>(ones ? a.bytes[i] | rest : a.bytes[i] & ~rest);
  }
  return a;
}

// A length as people and Kubernetes write it: no sign, no blank, no leading zero.
std::optional<std::uint8_t> parse_length(std::string_view text, unsigned most) {
  if (text.empty() || text.size() > 3 || !std::all_of(text.begin(), text.end(), is_digit) ||
      (text.size() > 1 && text.front() == '0')) {
    return std::nullopt;
  }
  unsigned value = 0;
  for (const char c : text) value = value * 10 + static_cast<unsigned>(c - '0');
  if (value > most) return std::nullopt;
  return static_cast<std::uint8_t>(value);
}

// "ADDRESS/LENGTH" with the slash at `slash`; the host bits are still there.
Result<Prefix> parse_cidr(std::string_view text, std::size_t slash) {
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) return bad(text, "is not a CIDR: {}", address.error().message);
  const auto length = parse_length(text.substr(slash + 1), address->bits());
  if (!length) {
    return bad(text, "is not a CIDR: the length after the slash must be a number from 0 to {}",
               address->bits());
  }
  return Prefix{*address, *length};
}

Result<Prefix> refuse_host_bits(std::string_view text, const Prefix& p) {
  const Prefix network{fill(p.address, p.length, false), p.length};
  if (network == p) return p;
  return bad(
      text,
      "has bits set after its first {}: write {} for the whole CIDR or {} for the one address",
      p.length, network.to_string(), p.address.to_string());
}

std::optional<std::uint8_t> hex_digit(char c) {
  if (is_digit(c)) return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

} // namespace

Result<Address> Address::parse(std::string_view text) {
  if (text.find('%') != std::string_view::npos) {
    return bad(text, "has a zone: give the address without the \"%\" and what follows");
  }
  // inet_pton reads up to a NUL: one inside the text must not hide what comes after it.
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (!text.empty() && text.size() < buffer.size() && text.find('\0') == std::string_view::npos) {
    std::copy(text.begin(), text.end(), buffer.begin());
    Address a;
    if (text.find(':') == std::string_view::npos) {
      if (has_leading_zero(text)) {
        return bad(text, "is not an IPv4 address: write its numbers without leading zeros");
      }
      if (::inet_pton(AF_INET, buffer.data(), a.bytes.data()) == 1) return a;
    } else {
      a.family = Family::V6;
      if (::inet_pton(AF_INET6, buffer.data(), a.bytes.data()) == 1) {
        if (!is_v4_mapped(a.bytes)) return a;
        return bad(text, "is an IPv4-mapped IPv6 address: write {}", v4_text(&a.bytes[12]));
      }
    }
  }
  return bad(text, "is not an IPv4 or IPv6 address");
}

Address Address::v4(std::uint32_t host_order) {
  Address a;
  for (std::size_t i = 0; i < 4; ++i) {
    a.bytes[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  }
  return a;
}

Address Address::max(Family family) {
  return fill(zero(family), 0, true);
}

std::uint32_t Address::v4_host_order() const {
  if (family != Family::V4) throw std::logic_error(to_string() + " used as an IPv4 address");
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8U | bytes[i];
  return value;
}

std::string Address::to_string() const {
  return family == Family::V4 ? v4_text(bytes.data()) : v6_text(bytes);
}

std::optional<Address> Address::next() const {
  return plus(1);
}

std::optional<Address> Address::prev() const {
  Address a = *this;
  for (std::size_t i = size(); i-- > 0;) {
    if (a.bytes[i]-- != 0) return a; // no borrow from the byte before
  }
  return std::nullopt;
}

std::optional<Address> Address::plus(std::uint64_t n) const {
  Address a = *this;
  unsigned carry = 0;
  for (std::size_t i = size(); i-- > 0; n >>= 8U) {
    const unsigned sum = a.bytes[i] + static_cast<unsigned>(n & 0xffU) + carry;
    a.bytes[i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8U;
  }
  if (carry != 0 || n != 0) return std::nullopt;
  return a;
}

bool Address::is_unspecified() const {
  return *this == zero(family);
}

bool Address::is_loopback() const {
  if (family == Family::V4) return bytes[0] == 127;
  return *this == zero(Family::V6).next();
}

bool Address::is_multicast() const {
  return family == Family::V4 ? (bytes[0] & 0xf0U) == 0xe0 : bytes[0] == 0xff;
}

bool Address::is_link_local() const {
  if (family == Family::V4) return bytes[0] == 169 && bytes[1] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0U) == 0x80;
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    auto address = Address::parse(text);
    if (!address) return bad(text, "is not a CIDR or an address: {}", address.error().message);
    return host(*address);
  }
  auto p = parse_cidr(text, slash);
  if (p) p->address = fill(p->address, p->length, false);
  return p;
}

Result<Prefix> Prefix::parse_strict(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    const auto address = Address::parse(text);
    if (!address) return bad(text, "is not a CIDR: write an address, a slash and a length");
    return bad(text, "has no prefix length: write {}", host(*address).to_string());
  }
  const auto p = parse_cidr(text, slash);
  return p ? refuse_host_bits(text, *p) : p;
}

bool Prefix::contains(const Address& a) const {
  return a.family == family() && fill(a, length, false) == address;
}

bool Prefix::contains(const Prefix& p) const {
  return length <= p.length && contains(p.address);
}

Address Prefix::last() const {
  return fill(address, length, true);
}

std::string Prefix::to_string() const {
  return fmt::format("{}/{}", address.to_string(), length);
}

Result<Range> Range::parse(std::string_view text) {
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    const auto p = Prefix::parse(text);
    if (!p) return p.error();
    return of(*p);
  }
  const auto dash = text.find('-');
  const auto first = Address::parse(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : Address::parse(text.substr(dash + 1));
  if (!first || !last) {
    return bad(text, "is not an address, a CIDR or a range such as 10.0.0.1-10.0.0.9: {}",
               (first ? last : first).error().message);
  }
  if (first->family != last->family) return bad(text, "mixes IPv4 and IPv6 in one range");
  if (*last < *first) {
    return bad(text, "ends before it begins: write {}-{}", last->to_string(), first->to_string());
  }
  return Range{*first, *last};
}

std::uint64_t Range::size() const {
  // last - first, byte by byte; anything in the upper half of an IPv6 address saturates.
  std::uint64_t low = 0;
  int borrow = 0;
  bool high = false;
  for (std::size_t n = 0; n < first.size(); ++n) {
    const std::size_t i = first.size() - 1 - n;
    int digit = last.bytes[i] - first.bytes[i] - borrow;
    borrow = digit < 0 ? 1 : 0;
    if (borrow != 0) digit += 256;
    if (n < 8) {
      low |= static_cast<std::uint64_t>(digit) << (8 * n);
    } else if (digit != 0) {
      high = true;
    }
  }
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  return high || low == most ? most : low + 1;
}

std::string Range::to_string() const {
  return first == last ? first.to_string() : first.to_string() + "-" + last.to_string();
}

Result<Mac> Mac::parse(std::string_view text) {
  constexpr std::size_t length = 17;
  Mac mac;
  bool ok = text.size() == length;
  for (std::size_t i = 0; ok && i < mac.bytes.size(); ++i) {
    const auto high = hex_digit(text[3 * i]);
    const auto low = hex_digit(text[3 * i + 1]);
    ok = high && low && (i + 1 == mac.bytes.size() || text[3 * i + 2] == ':');
    if (ok) mac.bytes[i] = static_cast<std::uint8_t>(*high << 4U | *low);
  }
  if (!ok) return bad(text, "is not a MAC address such as 66:00:00:00:00:07");
  return mac;
}

std::string Mac::to_string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2],
                     bytes[3], bytes[4], bytes[5]);
}

} // namespace egw

std::size_t std::hash<egw::Address>::operator()(const egw::Address& a) const noexcept {
  // The bytes after an IPv4 address stay out of it, so 1.2.3.4 and 102:304:: differ by length.
  const std::string_view bytes(reinterpret_cast<const char*>(a.bytes.data()), a.size());
  return std::hash<std::string_view>{}(bytes);
}
