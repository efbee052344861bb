// SPDX-License-Identifier: Apache-2.0
// What runs in the pods of this test, as process 1 of its container.
//
//   pod pause   nothing, until it is told to end: the container that holds a pod's namespaces
//   pod serve   UDP and TCP 8080: answers each datagram and line with "HOSTNAME SOURCE"
//               TCP 8081: the line "tcp ADDRESS PORT" or "udp ADDRESS PORT" opens a socket from
//               this pod and is answered with "ok" or an error; after that, what comes from either
//               side goes to the other. So a pod sends nothing but what it was asked for.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kAnswerPort = 8080, kRelayPort = 8081, kConnectSeconds = 5 };

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void end(int signal) {
  _exit(signal == SIGTERM ? 0 : 128 + signal);
}

// A socket of both families on all addresses.
static int bound(int type, int port) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  int fd = socket(AF_INET6, type, 0), yes = 1, no = 0;
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (bind(fd, (struct sockaddr*)&any, sizeof any) != 0) die("bind");
  if (type == SOCK_STREAM && listen(fd, 64) != 0) die("listen");
  return fd;
}

static int answer(char* text, size_t size, const struct sockaddr_in6* from) {
  char host[65] = "", source[INET6_ADDRSTRLEN] = "";
  gethostname(host, sizeof host - 1);
  if (IN6_IS_ADDR_V4MAPPED(&from->sin6_addr))
    inet_ntop(AF_INET, &from->sin6_addr.s6_addr[12], source, sizeof source);
  else
    inet_ntop(AF_INET6, &from->sin6_addr, source, sizeof source);
  return snprintf(text, size, "%s %s\n", host, source);
}

static void answer_lines(int fd, const struct sockaddr_in6* from) {
  char line[512], text[256];
  int length = answer(text, sizeof text, from);
  FILE* in = fdopen(fd, "r");
  while (in && fgets(line, sizeof line, in))
    if (write(fd, text, (size_t)length) != length) return;
}

static void answer_datagram(int fd) {
  struct sockaddr_in6 from;
  socklen_t size = sizeof from;
  char data[512], text[256];
  if (recvfrom(fd, data, sizeof data, 0, (struct sockaddr*)&from, &size) < 0) return;
  int length = answer(text, sizeof text, &from);
  sendto(fd, text, (size_t)length, 0, (struct sockaddr*)&from, size);
}

// The socket that a line asks for; -1 with errno.
static int opened(const char* line) {
  char protocol[4], address[INET6_ADDRSTRLEN];
  int port;
  struct sockaddr_storage to = {0};
  struct sockaddr_in* to4 = (struct sockaddr_in*)&to;
  struct sockaddr_in6* to6 = (struct sockaddr_in6*)&to;
  struct timeval patience = {kConnectSeconds, 0};
  errno = EINVAL;
  if (sscanf(line, "%3s %45s %d", protocol, address, &port) != 3) return -1;
  if (inet_pton(AF_INET, address, &to4->sin_addr) == 1) {
    to4->sin_family = AF_INET;
    to4->sin_port = htons((uint16_t)port);
  } else if (inet_pton(AF_INET6, address, &to6->sin6_addr) == 1) {
    to6->sin6_family = AF_INET6;
    to6->sin6_port = htons((uint16_t)port);
  } else {
    return -1;
  }
  int type = strcmp(protocol, "tcp") == 0   ? SOCK_STREAM
             : strcmp(protocol, "udp") == 0 ? SOCK_DGRAM
                                            : 0;
  if (type == 0) return -1;
  int fd = socket(to.ss_family, type, 0);
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); // connect() heeds it
  return connect(fd, (struct sockaddr*)&to, sizeof to) == 0 ? fd : -1;
}

static void relay(int asker) {
  char line[128], data[4096];
  size_t length = 0;
  while (length < sizeof line - 1 && read(asker, line + length, 1) == 1 && line[length] != '\n')
    ++length;
  line[length] = '\0';
  int out = opened(line);
  dprintf(asker, "%s\n", out < 0 ? strerror(errno) : "ok");
  if (out < 0) return;
  struct pollfd both[2] = {{asker, POLLIN, 0}, {out, POLLIN, 0}};
  while (poll(both, 2, -1) > 0) {
    for (int i = 0; i < 2; ++i) {
      if (!both[i].revents) continue;
      ssize_t got = read(both[i].fd, data, sizeof data);
      // A refused datagram shows as an error of the socket; the asker finds out by the missing
      // answer.
      if (got < 0 && i == 1 && errno == ECONNREFUSED) continue;
      if (got <= 0 || write(both[1 - i].fd, data, (size_t)got) != got) return;
    }
  }
}

static void serve_connection(int listener, int lines) {
  struct sockaddr_in6 from;
  socklen_t size = sizeof from;
  int fd = accept(listener, (struct sockaddr*)&from, &size);
  if (fd < 0) return;
  pid_t child = fork();
  if (child == 0) {
    if (lines)
      answer_lines(fd, &from);
    else
      relay(fd);
    _exit(0);
  }
  close(fd);
}

static void serve(void) {
  struct pollfd sockets[3] = {{bound(SOCK_STREAM, kAnswerPort), POLLIN, 0},
                              {bound(SOCK_STREAM, kRelayPort), POLLIN, 0},
                              {bound(SOCK_DGRAM, kAnswerPort), POLLIN, 0}};
  for (;;) {
    if (poll(sockets, 3, -1) < 0) continue;
    if (sockets[0].revents) serve_connection(sockets[0].fd, 1);
    if (sockets[1].revents) serve_connection(sockets[1].fd, 0);
    if (sockets[2].revents) answer_datagram(sockets[2].fd);
  }
}

int main(int argc, char** argv) {
  // Process 1 gets no signal that it does not handle, and inherits children that it must reap.
  struct sigaction ending = {.sa_handler = end},
                   reaping = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};
  sigaction(SIGTERM, &ending, NULL);
  sigaction(SIGINT, &ending, NULL);
  sigaction(SIGCHLD, &reaping, NULL);
  signal(SIGPIPE, SIG_IGN);
  if (argc == 2 && strcmp(argv[1], "pause") == 0)
    for (;;) pause();
  if (argc == 2 && strcmp(argv[1], "serve") == 0) serve();
  fprintf(stderr, "usage: pod pause|serve\n");
  return 2;
}
