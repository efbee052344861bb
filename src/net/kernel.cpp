// SPDX-License-Identifier: Apache-2.0
#include "net/kernel.hpp"

#include <fmt/format.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <system_error>

#include "base/fd.hpp"
#include "net/events.hpp"
#include "net/iptables_legacy.hpp"
#include "net/neighbour.hpp"
#include "net/nft_batch.hpp"
#include "net/nft_dump.hpp"
#include "net/nft_owner.hpp"
#include "net/rtnl_read.hpp"
#include "net/rtnl_write.hpp"

namespace egw::net {
namespace {

constexpr int kLooks = 10; // while others change our tables under our eyes
constexpr std::array kRouteGroups{RTNLGRP_LINK,        RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR,
                                  RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                                  RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE};
constexpr std::array kNftGroups{NFNLGRP_NFTABLES};

template <class Group, std::size_t N>
std::array<int, N> numbers(const std::array<Group, N>& groups) {
  std::array<int, N> out{};
  for (std::size_t i = 0; i < N; ++i) out[i] = static_cast<int>(groups[i]);
  return out;
}

// IPVS makes this file in each network namespace (net/netfilter/ipvs/ip_vs_ctl.c).
bool has_ipvs() {
  return access("/proc/thread-self/net/ip_vs", F_OK) == 0;
}

} // namespace

struct Kernel::Impl {
  Ownership own;
  NetlinkSocket route{NETLINK_ROUTE};
  NetlinkSocket netfilter{NETLINK_NETFILTER};
  std::shared_ptr<NftOwner> tables; // shared with the lease
  NetlinkSocket route_events{NETLINK_ROUTE, numbers(kRouteGroups)};
  NetlinkSocket nft_events{NETLINK_NETFILTER, numbers(kNftGroups)};
  Fd epoll{check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")};
  Fd packets; // from the first announcement on
  Known known;
  bool due = false; // a look is, since something was told before
  Wakeup told;      // of that: what was told during a change of ours can't be read again

  explicit Impl(Ownership ownership)
      : own(std::move(ownership)), tables(std::make_shared<NftOwner>(own.exclusive)) {
    for (const int fd : {route_events.fd(), nft_events.fd(), told.fd()}) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      check_errno(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }
  }

  [[nodiscard]] Result<void> send(const std::string& link, const char* what,
                                  const std::function<std::vector<Buffer>(const Mac&)>& frames);

  // Every message is taken in, so that `known` follows. The kernel does not say who changed a link:
  // what is told of the tunnel right after we changed it, we did.
  void take_route_events(bool tunnel_changed) {
    for_each_reply(route_events.receive_events(due), [&](const nlmsghdr& h) {
      if (is_own_port(NETLINK_ROUTE, h.nlmsg_pid)) return;
      if (tunnel_changed) {
        const auto link = decode_link(h);
        if (link && link->host.name == own.device) return;
      }
      if (concerns_us(h, own, known)) due = true;
    });
    if (due) told.signal();
  }
  bool take_due() {
    told.clear();
    return std::exchange(due, false);
  }

  bool drain_nft_events() {
    bool concerned = false;
    for_each_reply(nft_events.receive_events(concerned), [&](const nlmsghdr& h) {
      if (!is_own_port(NETLINK_NETFILTER, h.nlmsg_pid) && nft_concerns_us(h, own)) concerned = true;
    });
    return concerned;
  }
};

Kernel::Kernel(Ownership ownership) : impl_(std::make_unique<Impl>(std::move(ownership))) {}
Kernel::~Kernel() = default;
Kernel::Kernel(Kernel&&) noexcept = default;
Kernel& Kernel::operator=(Kernel&&) noexcept = default;

Observation Kernel::observe() {
  for (int look = 0; look < kLooks; ++look) {
    // What was told before the dumps begin is in them.
    bool lost = false;
    (void)impl_->route_events.receive_events(lost);
    (void)impl_->nft_events.receive_events(lost);
    (void)impl_->take_due();

    Observation seen;
    const std::uint32_t before = nft_generation(impl_->netfilter);
    NftView nft = read_nftables(impl_->netfilter, impl_->own);
    seen.state.tables = std::move(nft.tables);
    seen.state.forward_accepts = std::move(nft.forward_accepts);
    seen.host.forward_policy_drop = std::move(nft.forward_policy_drop);
    seen.host.ipvs = has_ipvs();
    seen.host.legacy_forward_drop = legacy_forward_drops(impl_->own.device);
    impl_->known = read_rtnl(impl_->route, impl_->own, seen);
    // Another generation may be another's tables or our own lease: only what concerns us counts.
    if (nft_generation(impl_->netfilter) == before || !impl_->drain_nft_events()) return seen;
  }
  throw std::system_error(
      EAGAIN, std::system_category(),
      "nftables table " + impl_->own.table + " changes faster than it can be read");
}

std::vector<Error> Kernel::apply(const Batch& batch) {
  RtnlWriter writer(impl_->route, impl_->netfilter, impl_->own, impl_->known,
                    [this](bool tunnel_changed) { impl_->take_route_events(tunnel_changed); });
  std::vector<Error> errors = writer.apply(batch.before);
  const std::vector<Error> nft = apply_nft(*impl_->tables, impl_->own.table, batch.nft);
  errors.insert(errors.end(), nft.begin(), nft.end());
  if (!nft.empty()) {
    // EIPs would be open without their rules, and the rules that stayed still need what would go.
    if (!batch.after.empty())
      errors.push_back({fmt::format("{} steps that follow the nftables transaction were not taken, "
                                    "the first: {}",
                                    batch.after.size(), to_string(batch.after[0])),
                        ECANCELED});
    return errors;
  }
  const std::vector<Error> after = writer.apply(batch.after);
  errors.insert(errors.end(), after.begin(), after.end());
  return errors;
}

Result<void> Kernel::Impl::send(const std::string& link, const char* what,
                                const std::function<std::vector<Buffer>(const Mac&)>& frames) {
  const auto failed = [&](const std::string& why, int code) {
    return Error{fmt::format("{} on {}: {}", what, link, why), code};
  };
  const auto answer = route.get(encode_link_get(link));
  if (!answer) return failed(answer.error().message, answer.error().code);
  const auto info = decode_link(*reinterpret_cast<const nlmsghdr*>(answer->data()));
  if (!info || !info->ethernet) {
    return failed("it is not an Ethernet link and has no neighbours to tell", EAFNOSUPPORT);
  }
  if (!packets) packets = open_packet_socket();
  const auto sent = send_frames(packets, info->host.index, frames(info->host.mac));
  if (!sent) return failed(sent.error().message, sent.error().code);
  return {};
}

Result<void> Kernel::announce(const std::string& link, const std::vector<Address>& addresses) {
  return impl_->send(link, "announce",
                     [&](const Mac& mac) { return announcement_frames(addresses, mac); });
}

Result<void> Kernel::probe(const std::string& link, const std::vector<Address>& addresses,
                           const std::optional<Address>& from) {
  return impl_->send(link, "probe",
                     [&](const Mac& mac) { return probe_frames(addresses, mac, from); });
}

Lease Kernel::lease() const {
  return {impl_->own.table, impl_->tables};
}

bool Kernel::tables_are_bound() const {
  return impl_->tables->table_flags() != 0;
}

int Kernel::event_fd() const {
  return impl_->epoll.get();
}

bool Kernel::drain_events() {
  impl_->take_route_events(false);
  const bool nft = impl_->drain_nft_events();
  return impl_->take_due() || nft;
}

} // namespace egw::net
