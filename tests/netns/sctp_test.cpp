// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "netns/cluster.hpp"

using namespace egw;
using namespace egw::test;

TEST_SUITE_BEGIN("netns");

namespace {

using Packet = std::vector<std::uint8_t>;
constexpr std::uint8_t kInit = 1, kInitAck = 2;
constexpr std::uint16_t kPort = 5000; // of the server

void put(Packet& packet, std::uint32_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    packet.push_back(static_cast<std::uint8_t>(value >> (8U * static_cast<unsigned>(i))));
  }
}
std::uint16_t u16(const Packet& packet, std::size_t at) {
  return static_cast<std::uint16_t>(packet.at(at) << 8U | packet.at(at + 1));
}

// RFC 9260 appendix A: CRC32c.
std::uint32_t crc32c(const Packet& packet) {
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : packet) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

// The first packet of an association, or the answer to it (RFC 9260 sections 3.3.2 and 3.3.3).
Packet sctp(std::uint16_t from, std::uint16_t to, std::uint32_t tag, std::uint8_t chunk) {
  Packet p;
  put(p, from, 2);
  put(p, to, 2);
  put(p, tag, 4);
  put(p, 0, 4); // checksum
  put(p, chunk, 1);
  put(p, 0, 1);
  put(p, 20, 2);   // length
  put(p, 7, 4);    // initiate tag
  put(p, 4096, 4); // window
  put(p, 1, 2);
  put(p, 1, 2);
  put(p, 1, 4); // first TSN
  const std::uint32_t crc = crc32c(p);
  for (unsigned i = 0; i < 4; ++i) p[8 + i] = static_cast<std::uint8_t>(crc >> (8U * i));
  return p;
}

// Not every kernel has SCTP sockets: these are raw ones.
class Raw {
 public:
  Raw(const Netns& ns, const std::string& local) {
    const Netns::Inside inside(ns);
    socklen_t size = 0;
    const auto address = sockaddr_of({local, 0}, size);
    v4_ = address.ss_family == AF_INET;
    fd_ = Fd(check_errno(socket(address.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP), "raw"));
    check_errno(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), size), "bind");
  }
  void send(const std::string& to, const Packet& what) {
    socklen_t size = 0;
    const auto address = sockaddr_of({to, 0}, size);
    check_errno(sendto(fd_.get(), what.data(), what.size(), 0,
                       reinterpret_cast<const sockaddr*>(&address), size),
                "sendto");
  }
  // Who sent the next packet, which is in `packet`; "" when none comes in time.
  std::string receive(int milliseconds) {
    pollfd p{fd_.get(), POLLIN, 0};
    if (check_errno(poll(&p, 1, milliseconds), "poll") == 0) return "";
    packet.resize(2048);
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const auto n = recvfrom(fd_.get(), packet.data(), packet.size(), 0,
                            reinterpret_cast<sockaddr*>(&from), &size);
    packet.resize(static_cast<std::size_t>(check_errno(n, "recvfrom")));
    if (v4_) packet.erase(packet.begin(), packet.begin() + (packet.at(0) & 15) * 4);
    return text_of(from);
  }
  Packet packet;

 private:
  Fd fd_;
  bool v4_ = true;
};

} // namespace

TEST_CASE("SCTP goes by the EIP, and its answer comes back") {
  Cluster c;
  c.reconcile();
  std::uint16_t port = 4000;
  for (const Try& t : kBoth) {
    Raw server(c.server, t.server), pod(c.pod, t.pod);
    pod.send(t.server, sctp(++port, kPort, 0, kInit));
    REQUIRE(server.receive(kLong) == t.eip);
    CHECK(u16(server.packet, 0) == port); // kept, since it is free
    CHECK(u16(server.packet, 2) == kPort);
    server.send(t.eip, sctp(kPort, port, 7, kInitAck));
    REQUIRE(pod.receive(kLong) == t.server);
    CHECK(u16(pod.packet, 2) == port);
    CHECK(pod.packet.at(12) == kInitAck);
  }
}

TEST_SUITE_END();
