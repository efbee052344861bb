// SPDX-License-Identifier: Apache-2.0
#include "net/rules.hpp"

#include <array>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace egw::net {
namespace {

// Calls f with all that an expression consists of.
template <class E, class F>
void parts(E& e, F& f) {
  using T = std::remove_const_t<E>;
  if constexpr (std::is_same_v<T, expr::Payload>) {
    f(e.base, e.offset, e.len, e.dreg);
  } else if constexpr (std::is_same_v<T, expr::MetaLoad> || std::is_same_v<T, expr::CtLoad>) {
    f(e.key, e.dreg);
  } else if constexpr (std::is_same_v<T, expr::MetaSet> || std::is_same_v<T, expr::CtSet>) {
    f(e.key, e.sreg);
  } else if constexpr (std::is_same_v<T, expr::Cmp>) {
    f(e.op, e.sreg, e.data);
  } else if constexpr (std::is_same_v<T, expr::Bitwise>) {
    f(e.sreg, e.dreg, e.mask, e.flip);
  } else if constexpr (std::is_same_v<T, expr::Lookup>) {
    f(e.set, e.sreg, e.dreg, e.invert, e.verdict);
  } else if constexpr (std::is_same_v<T, expr::Immediate>) {
    f(e.dreg, e.data);
  } else if constexpr (std::is_same_v<T, expr::Decide>) {
    f(e.verdict.kind, e.verdict.chain);
  } else if constexpr (std::is_same_v<T, expr::Snat>) {
    f(e.addr_reg);
  } else if constexpr (std::is_same_v<T, expr::FibAddrType> ||
                       std::is_same_v<T, expr::TcpMssLoad> || std::is_same_v<T, expr::RouteMss>) {
    f(e.dreg);
  } else if constexpr (std::is_same_v<T, expr::TcpMssSet>) {
    f(e.sreg);
  } else if constexpr (std::is_same_v<T, expr::Byteorder>) {
    f(e.sreg, e.dreg, e.len, e.size);
  } else if constexpr (std::is_same_v<T, expr::Unknown>) {
    f(e.name);
  } else {
    static_assert(std::is_empty_v<T>, "an expression whose parts are not named here");
  }
}

// Numbers in groups of seven bits, the lowest first; the eighth bit says that more follow.
class Writer {
 public:
  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  void put(const std::string& text) {
    put(text.size());
    bytes.insert(bytes.end(), text.begin(), text.end());
  }
  void put(const Bytes& value) {
    put(value.size());
    bytes.insert(bytes.end(), value.begin(), value.end());
  }
  template <class T>
    requires std::is_enum_v<T>
  void put(T value) {
    bytes.push_back(static_cast<std::uint8_t>(value));
  }
  template <class T>
    requires std::is_unsigned_v<T>
  void put(T value) {
    auto rest = static_cast<std::uint64_t>(value);
    for (; rest >= 0x80; rest >>= 7) bytes.push_back(static_cast<std::uint8_t>(rest | 0x80));
    bytes.push_back(static_cast<std::uint8_t>(rest));
  }

  std::vector<std::uint8_t> bytes;
};

class Reader {
 public:
  explicit Reader(const std::uint8_t* at) : at_(at) {}
  template <class... T>
  void operator()(T&... values) {
    (take(values), ...);
  }
  void take(std::string& text) {
    const std::size_t size = number();
    text.assign(reinterpret_cast<const char*>(at_), size);
    at_ += size;
  }
  void take(Bytes& value) {
    const std::size_t size = number();
    value = Bytes(at_, at_ + size);
    at_ += size;
  }
  template <class T>
    requires std::is_enum_v<T>
  void take(T& value) {
    value = static_cast<T>(*at_++);
  }
  template <class T>
    requires std::is_unsigned_v<T>
  void take(T& value) {
    value = static_cast<T>(number());
  }
  std::size_t number() {
    std::size_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const std::uint8_t byte = *at_++;
      value |= static_cast<std::size_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

 private:
  const std::uint8_t* at_;
};

using MakeExpr = Expr (*)();
template <std::size_t... I>
constexpr std::array<MakeExpr, sizeof...(I)> makers(std::index_sequence<I...>) {
  return {+[]() -> Expr { return std::variant_alternative_t<I, Expr>{}; }...};
}
constexpr auto kMakers = makers(std::make_index_sequence<std::variant_size_v<Expr>>{});

constexpr std::size_t kLength = 4;

std::size_t length_of(const std::uint8_t* rule) {
  std::uint32_t length = 0;
  std::memcpy(&length, rule, kLength);
  return length;
}

} // namespace

Rule Rules::const_iterator::operator*() const {
  Reader reader(at_ + kLength);
  Rule rule(reader.number());
  for (Expr& e : rule) {
    e = kMakers.at(reader.number())();
    std::visit([&](auto& one) { parts(one, reader); }, e);
  }
  return rule;
}

Rules::const_iterator& Rules::const_iterator::operator++() {
  at_ += kLength + length_of(at_);
  return *this;
}

Rules::Rules(const std::vector<Rule>& rules) {
  for (const Rule& rule : rules) push_back(rule);
  bytes_.shrink_to_fit();
}

void Rules::push_back(const Rule& rule) {
  Writer writer;
  writer.put(rule.size());
  for (const Expr& e : rule) {
    unknown_ = unknown_ || std::holds_alternative<expr::Unknown>(e);
    writer.put(e.index());
    std::visit([&](const auto& one) { parts(one, writer); }, e);
  }
  const auto length = static_cast<std::uint32_t>(writer.bytes.size());
  const std::size_t before = bytes_.size();
  bytes_.resize(before + kLength + length);
  std::memcpy(bytes_.data() + before, &length, kLength);
  std::memcpy(bytes_.data() + before + kLength, writer.bytes.data(), length);
}

std::size_t Rules::size() const {
  std::size_t count = 0;
  for (const_iterator at = begin(); at != end(); ++at) ++count;
  return count;
}

} // namespace egw::net
