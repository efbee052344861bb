// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "net/attributes.hpp"
#include "net/expr.hpp"
#include "net/state.hpp"

// Announcements of addresses and questions for them, as Ethernet frames. Sources: RFC 826, RFC
// 5227, RFC 4861, RFC 4862.
namespace egw::net {

// RFC 5227 section 3: some hosts update from requests alone, some from replies alone; both are
// sent.
[[nodiscard]] Buffer gratuitous_arp(const Address& address, const Mac& mac, bool reply);
// RFC 4861 section 7.2.6: to all nodes, with Override, from the address itself.
[[nodiscard]] Buffer unsolicited_advertisement(const Address& address, const Mac& mac);

// RFC 5227 section 2.1.1: of no address, so that nobody learns one.
[[nodiscard]] Buffer arp_probe(const Address& address, const Mac& mac);
// RFC 4861 section 4.3: from an address of this host's own, to the address' solicited-node group.
// Not from no address, as RFC 4862 has it: to that hosts answer to all nodes, and with Override, so
// that a holder of before would take the address over once more.
[[nodiscard]] Buffer neighbour_probe(const Address& address, const Mac& mac, const Address& from);

// IPv6 addresses are left out without an address to ask from.
[[nodiscard]] std::vector<Buffer> probe_frames(const std::vector<Address>& addresses,
                                               const Mac& mac, const std::optional<Address>& from);
[[nodiscard]] std::vector<Buffer> announcement_frames(const std::vector<Address>& addresses,
                                                      const Mac& mac);

// For send_frames. To be kept: closing it waits for every CPU of the machine, 10 ms and more
// (synchronize_net in packet_release). Throws std::system_error without CAP_NET_RAW.
[[nodiscard]] Fd open_packet_socket();

// Sends frames out of a link, in order. Fails with the errno of send, ENETDOWN where the link is
// down.
[[nodiscard]] Result<void> send_frames(const Fd& packet_socket, std::uint32_t index,
                                       const std::vector<Buffer>& frames);

} // namespace egw::net
