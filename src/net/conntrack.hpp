// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "net/attributes.hpp"
#include "net/netlink.hpp"
#include "net/state.hpp"

// Connection tracking entries by ctnetlink. Source: linux/netfilter/nfnetlink_conntrack.h.
namespace egw::net {

// A message to a value; nothing for other messages, malformed ones, and entries in a zone of their
// own.
[[nodiscard]] std::optional<Connection> decode_connection(const nlmsghdr& message);

[[nodiscard]] Buffer encode_connection_dump(std::optional<Family> family);
[[nodiscard]] Buffer encode_connection_dump_marked(std::uint32_t mark, std::uint32_t mask);
// Kernels before 5.8 do not filter by source and send everything.
[[nodiscard]] Buffer encode_connection_dump_from(const Address& source);
[[nodiscard]] Buffer encode_connection_delete(const Connection& connection);

// Asks for the number of entries in this network namespace.
[[nodiscard]] Buffer encode_connection_count();
[[nodiscard]] std::optional<std::uint32_t> decode_connection_count(const nlmsghdr& message);

// Asks for statistics, which come as one message for each CPU.
[[nodiscard]] Buffer encode_connection_statistics();
[[nodiscard]] std::optional<std::uint32_t> decode_insert_failures(const nlmsghdr& message);

} // namespace egw::net
