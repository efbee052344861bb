// SPDX-License-Identifier: Apache-2.0
#include "net/nft_set.hpp"

#include <fmt/format.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <array>
#include <ranges>
#include <stdexcept>

#include "net/nft_expr.hpp"
#include "net/state_text.hpp"

namespace egw::net {
namespace {

// nft's own numbers of data types, kept in the kernel so that `nft list` prints values as people
// write them. A concatenation's number is made of six bits a part. Source: nft's documented netlink
// userdata.
constexpr std::uint32_t kNfproto = 2, kIpv4 = 7, kIpv6 = 8, kEther = 9, kMark = 19, kIfname = 41;
constexpr std::uint32_t concatenation(std::uint32_t a, std::uint32_t b) {
  return a << 6U | b;
}
constexpr std::uint32_t kHostOrder = 1, kNetworkOrder = 2; // nft's enum byteorder
constexpr std::size_t kElementsPerMessage = 400;           // each at most 150 bytes

struct KeyShape {
  KeyType key;
  std::uint32_t type, length, order;
};
constexpr std::array kKeys{
    KeyShape{KeyType::Ipv4, kIpv4, 4, kNetworkOrder},
    KeyShape{KeyType::Ipv6, kIpv6, 16, kNetworkOrder},
    KeyShape{KeyType::Mark, kMark, 4, kHostOrder},
    KeyShape{KeyType::NfProto, kNfproto, 1, kHostOrder},
    KeyShape{KeyType::Ipv4Ether, concatenation(kIpv4, kEther), 12, kNetworkOrder},
    KeyShape{KeyType::Ipv6Ether, concatenation(kIpv6, kEther), 24, kNetworkOrder},
    KeyShape{KeyType::Ifname, kIfname, 16, kHostOrder},
    KeyShape{KeyType::Ipv4Ifname, concatenation(kIpv4, kIfname), 20, kNetworkOrder},
    KeyShape{KeyType::MarkIpv4, concatenation(kMark, kIpv4), 8, kHostOrder},
    KeyShape{KeyType::MarkIpv6, concatenation(kMark, kIpv6), 20, kHostOrder},
};
struct DataShape {
  DataType data;
  std::uint32_t type, length, order;
};
constexpr std::array kData{
    DataShape{DataType::Verdict, NFT_DATA_VERDICT, 0, 0},
    DataShape{DataType::Mark, kMark, 4, kHostOrder},
    DataShape{DataType::Ipv4, kIpv4, 4, kNetworkOrder},
    DataShape{DataType::Ipv6, kIpv6, 16, kNetworkOrder},
};

const KeyShape& shape_of(KeyType key) {
  for (const KeyShape& k : kKeys)
    if (k.key == key) return k;
  throw std::invalid_argument("a set of another's shape cannot be written");
}

std::optional<Bytes> next_key(Bytes key) {
  for (std::uint8_t& byte : std::views::reverse(key))
    if (++byte != 0) return key;
  return {};
}

Bytes previous_key(Bytes key) {
  for (std::uint8_t& byte : std::views::reverse(key))
    if (byte-- != 0) break;
  return key;
}

using UdataBuf = std::unique_ptr<nftnl_udata_buf, FreeWith<nftnl_udata_buf_free>>;

NftElement encode_element(const RawElement& raw) {
  auto e = owned<NftElement>(nftnl_set_elem_alloc());
  const auto size = static_cast<std::uint32_t>(raw.key.size());
  if (nftnl_set_elem_set(e.get(), NFTNL_SET_ELEM_KEY, raw.key.data(), size) < 0)
    throw std::bad_alloc();
  if (raw.end) nftnl_set_elem_set_u32(e.get(), NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
  if (const auto* verdict = std::get_if<ElementVerdict>(&raw.data)) {
    nftnl_set_elem_set_u32(e.get(), NFTNL_SET_ELEM_VERDICT, verdict_code(verdict->kind));
    if (!verdict->chain.empty())
      nftnl_set_elem_set_str(e.get(), NFTNL_SET_ELEM_CHAIN, verdict->chain_name().c_str());
  } else if (const auto* bytes = std::get_if<Bytes>(&raw.data)) {
    nftnl_set_elem_set(e.get(), NFTNL_SET_ELEM_DATA, bytes->data(),
                       static_cast<std::uint32_t>(bytes->size()));
  }
  return e;
}

// As many messages as it takes.
class ElementMessages {
 public:
  ElementMessages(const std::string& table, const std::string& name) : table_(table), name_(name) {}
  void add(NftElement element) {
    if (count_++ % kElementsPerMessage == 0) {
      out_.push_back(owned<NftSet>(nftnl_set_alloc()));
      nftnl_set_set_str(out_.back().get(), NFTNL_SET_TABLE, table_.c_str());
      nftnl_set_set_str(out_.back().get(), NFTNL_SET_NAME, name_.c_str());
    }
    nftnl_set_elem_add(out_.back().get(), element.release());
  }
  std::vector<NftSet> take() { return std::move(out_); }

 private:
  const std::string &table_, &name_;
  std::vector<NftSet> out_;
  std::size_t count_ = 0;
};

} // namespace

std::size_t key_length(KeyType type) {
  return shape_of(type).length;
}

std::vector<RawElement> to_raw(const Set& shape, const Elements& elements) {
  std::vector<RawElement> raw;
  raw.reserve(elements.size() * (shape.interval ? 2 : 1));
  for (const auto& [key, data] : elements) {
    raw.push_back({key.first, false, data});
    if (!shape.interval) continue;
    if (auto end = next_key(key.last)) raw.push_back({*std::move(end), true, {}});
  }
  return raw;
}

Elements from_raw(const Set& shape, std::vector<RawElement> raw) {
  Elements out;
  std::sort(raw.begin(), raw.end(), [](const RawElement& a, const RawElement& b) {
    return a.key != b.key ? a.key < b.key : a.end && !b.end;
  });
  if (!shape.interval) {
    for (RawElement& r : raw) out.emplace(ElementKey{r.key, {}}, std::move(r.data));
    return out;
  }
  const RawElement* open = nullptr;
  for (const RawElement& r : raw) {
    if (open) out.emplace(ElementKey{open->key, previous_key(r.key)}, open->data);
    open = r.end ? nullptr : &r;
  }
  if (open) out.emplace(ElementKey{open->key, Bytes(open->key.size(), 0xff)}, open->data);
  return out;
}

Result<void> check_elements(const std::string& set, const Set& shape, const Elements& elements) {
  const std::size_t length = key_length(shape.key);
  std::optional<ElementKey> before;
  for (const auto& [key_now, data] : elements) {
    const ElementKey& key = key_now;
    const auto bad = [&](const std::string& why) {
      return Error{fmt::format("set {}, element {}: {}", set, to_string(key), why), EINVAL};
    };
    if (key.first.size() != length) return bad(fmt::format("the key must have {} bytes", length));
    if (key.last.size() != (shape.interval ? length : 0))
      return bad(shape.interval ? "an interval needs a last key"
                                : "only intervals have a last key");
    if (shape.interval && key.last < key.first) return bad("the interval ends before it begins");
    if (shape.interval && before && key.first <= before->last)
      return bad(fmt::format("overlaps {}", to_string(*before)));
    before = key;
  }
  return {};
}

NftSet encode_set(const std::string& table, const std::string& name, const Set& shape,
                  std::uint32_t id) {
  auto s = owned<NftSet>(nftnl_set_alloc());
  const KeyShape& key = shape_of(shape.key);
  std::uint32_t flags = 0;
  if (shape.interval) flags |= NFT_SET_INTERVAL;
  if (shape.timeout) flags |= NFT_SET_TIMEOUT;
  nftnl_set_set_str(s.get(), NFTNL_SET_TABLE, table.c_str());
  nftnl_set_set_str(s.get(), NFTNL_SET_NAME, name.c_str());
  nftnl_set_set_u32(s.get(), NFTNL_SET_ID, id);
  nftnl_set_set_u32(s.get(), NFTNL_SET_KEY_TYPE, key.type);
  nftnl_set_set_u32(s.get(), NFTNL_SET_KEY_LEN, key.length);

  const auto udata = owned<UdataBuf>(nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN));
  nftnl_udata_put_u32(udata.get(), NFTNL_UDATA_SET_KEYBYTEORDER, key.order);
  const auto* data = std::find_if(kData.begin(), kData.end(),
                                  [&](const DataShape& d) { return d.data == shape.data; });
  if (data != kData.end()) {
    flags |= NFT_SET_MAP;
    nftnl_set_set_u32(s.get(), NFTNL_SET_DATA_TYPE, data->type);
    if (data->length != 0) nftnl_set_set_u32(s.get(), NFTNL_SET_DATA_LEN, data->length);
    if (data->order != 0)
      nftnl_udata_put_u32(udata.get(), NFTNL_UDATA_SET_DATABYTEORDER, data->order);
  }
  nftnl_set_set_u32(s.get(), NFTNL_SET_FLAGS, flags);
  if (shape.size != 0) nftnl_set_set_u32(s.get(), NFTNL_SET_DESC_SIZE, shape.size);
  nftnl_set_set_data(s.get(), NFTNL_SET_USERDATA, nftnl_udata_buf_data(udata.get()),
                     nftnl_udata_buf_len(udata.get()));
  return s;
}

std::optional<Set> decode_set(const nftnl_set& set) {
  const auto u32 = [&](std::uint16_t attr) {
    return nftnl_set_is_set(&set, attr) ? nftnl_set_get_u32(&set, attr) : 0;
  };
  const std::uint32_t flags = u32(NFTNL_SET_FLAGS);
  if ((flags & NFT_SET_ANONYMOUS) != 0) return {};
  Set out;
  out.interval = (flags & NFT_SET_INTERVAL) != 0;
  out.timeout = (flags & NFT_SET_TIMEOUT) != 0;
  out.size = u32(NFTNL_SET_DESC_SIZE);
  const auto* key = std::find_if(kKeys.begin(), kKeys.end(), [&](const KeyShape& k) {
    return k.type == u32(NFTNL_SET_KEY_TYPE) && k.length == u32(NFTNL_SET_KEY_LEN);
  });
  const auto* data = kData.end();
  if ((flags & NFT_SET_MAP) != 0) {
    data = std::find_if(kData.begin(), kData.end(), [&](const DataShape& d) {
      return d.type == u32(NFTNL_SET_DATA_TYPE) &&
             (d.length == 0 || d.length == u32(NFTNL_SET_DATA_LEN));
    });
    if (data != kData.end()) out.data = data->data;
  }
  constexpr std::uint32_t known = NFT_SET_INTERVAL | NFT_SET_TIMEOUT | NFT_SET_MAP;
  const bool foreign = key == kKeys.end() || (flags & ~known) != 0 ||
                       ((flags & NFT_SET_MAP) != 0 && data == kData.end());
  out.key = foreign ? kForeignKey : key->key;
  return out;
}

std::vector<NftSet> encode_elements(const std::string& table, const std::string& name,
                                    const Set& shape, const Elements& elements) {
  ElementMessages out(table, name);
  for (const RawElement& raw : to_raw(shape, elements)) out.add(encode_element(raw));
  return out.take();
}

std::vector<NftSet> encode_timed_elements(const std::string& table, const std::string& name,
                                          const std::set<Bytes>& keys, std::uint64_t timeout_ms) {
  ElementMessages out(table, name);
  for (const Bytes& key : keys) {
    NftElement e = encode_element({key, false, {}});
    if (timeout_ms != 0) nftnl_set_elem_set_u64(e.get(), NFTNL_SET_ELEM_TIMEOUT, timeout_ms);
    out.add(std::move(e));
  }
  return out.take();
}

void decode_elements(const nftnl_set& set, std::vector<RawElement>& out) {
  const auto it = owned<NftElementIter>(nftnl_set_elems_iter_create(&set));
  while (nftnl_set_elem* e = nftnl_set_elems_iter_next(it.get())) {
    RawElement raw;
    std::uint32_t size = 0;
    const auto* key =
        static_cast<const std::uint8_t*>(nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &size));
    // Sets of another shape are not read, and in one of ours no value is longer.
    if (key) raw.key = Bytes(key, key + std::min<std::size_t>(size, Bytes::kCapacity));
    if (nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_FLAGS))
      raw.end = (nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_FLAGS) & NFT_SET_ELEM_INTERVAL_END) != 0;
    if (nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_VERDICT)) {
      Verdict v;
      const char* chain = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_CHAIN)
                              ? nftnl_set_elem_get_str(e, NFTNL_SET_ELEM_CHAIN)
                              : nullptr;
      // A verdict that egw does not use is an element without data here: never equal to a desired
      // one.
      if (decode_verdict(nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_VERDICT), chain, v) &&
          v.chain.size() <= Bytes::kCapacity) {
        raw.data = v;
      }
    } else if (nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_DATA)) {
      const auto* data =
          static_cast<const std::uint8_t*>(nftnl_set_elem_get(e, NFTNL_SET_ELEM_DATA, &size));
      raw.data = Bytes(data, data + std::min<std::size_t>(size, Bytes::kCapacity));
    }
    out.push_back(std::move(raw));
  }
}

} // namespace egw::net
