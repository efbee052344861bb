// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "net/nft_handles.hpp"
#include "net/state.hpp"

// Sets, maps and their elements as the kernel keeps them. An interval is two elements there: its
// first key, and the key after its last one marked as an end; one that reaches the last key has no
// end. Source: linux/netfilter/nf_tables.h.
namespace egw::net {

// A set of another shape than those that egw makes: differs from every desired one.
inline constexpr KeyType kForeignKey{0xff};

struct RawElement {
  Bytes key;
  bool end = false;
  ElementData data;
  bool operator==(const RawElement&) const = default;
};

// In order of their keys, each end before a start at the same key.
[[nodiscard]] std::vector<RawElement> to_raw(const Set& shape, const Elements& elements);
// From elements in any order. Ends without a start are dropped: nft writes one at zero.
[[nodiscard]] Elements from_raw(const Set& shape, std::vector<RawElement> raw);

// Fails where an interval ends before it begins, intervals overlap, or a key has not the set's
// length.
[[nodiscard]] Result<void> check_elements(const std::string& set, const Set& shape,
                                          const Elements& elements);

[[nodiscard]] NftSet encode_set(const std::string& table, const std::string& name, const Set& shape,
                                std::uint32_t id);
// Shape alone. Nothing for anonymous sets: they belong to a rule and go with it.
[[nodiscard]] std::optional<Set> decode_set(const nftnl_set& set);

// Sets that carry some of the elements each, few enough for one message (64 KiB).
[[nodiscard]] std::vector<NftSet> encode_elements(const std::string& table, const std::string& name,
                                                  const Set& shape, const Elements& elements);
// The same for elements with a timeout; 0: none, as their deletion wants it.
[[nodiscard]] std::vector<NftSet> encode_timed_elements(const std::string& table,
                                                        const std::string& name,
                                                        const std::set<Bytes>& keys,
                                                        std::uint64_t timeout_ms);
void decode_elements(const nftnl_set& set, std::vector<RawElement>& out);

[[nodiscard]] std::size_t key_length(KeyType type); // bytes

} // namespace egw::net
