// SPDX-License-Identifier: Apache-2.0
// Load for the figures: as many small datagrams, or connections, as one thread can make.
//
//   load udp ADDRESS PORT SECONDS       datagrams of 18 bytes (64-byte frames), by sendmmsg
//   load connect ADDRESS PORT SECONDS   a connection after the other, each reset at once
//   load accept ADDRESS PORT            the other end of `connect`, until it is killed
//
// udp and connect print {"count": N, "failed": N, "seconds": S, "cpu": S}; cpu is this thread's time,
// softirq work done in its context included (kernels without IRQ_TIME_ACCOUNTING).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kBatch = 64, kPayload = 18 };

static double now(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) { perror("clock_gettime"); exit(1); }
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int make_socket(int type) {
  int fd = socket(AF_INET, type, 0);
  if (fd < 0) { perror("socket"); exit(1); }
  return fd;
}

static void send_datagrams(const struct sockaddr_in* to, double seconds, long* count, long* failed) {
  int fd = make_socket(SOCK_DGRAM);
  if (connect(fd, (const struct sockaddr*)to, sizeof *to) != 0) { perror("connect"); exit(1); }
  static char payload[kPayload];
  struct iovec part = {payload, sizeof payload};
  struct mmsghdr batch[kBatch];
  memset(batch, 0, sizeof batch);
  for (int i = 0; i < kBatch; ++i) {
    batch[i].msg_hdr.msg_iov = &part;
    batch[i].msg_hdr.msg_iovlen = 1;
  }
  for (double end = now(CLOCK_MONOTONIC) + seconds; now(CLOCK_MONOTONIC) < end;) {
    int sent = sendmmsg(fd, batch, kBatch, 0);
    if (sent > 0) *count += sent;
    else ++*failed;
  }
  close(fd);
}

static void make_connections(const struct sockaddr_in* to, double seconds, long* count, long* failed) {
  struct linger reset = {1, 0};
  struct timeval patience = {0, 200000};
  for (double end = now(CLOCK_MONOTONIC) + seconds; now(CLOCK_MONOTONIC) < end;) {
    int fd = make_socket(SOCK_STREAM);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr*)to, sizeof *to) == 0) ++*count;
    else ++*failed;
    close(fd);
  }
}

static void accept_connections(const struct sockaddr_in* at) {
  int fd = make_socket(SOCK_STREAM), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (const struct sockaddr*)at, sizeof *at) != 0 || listen(fd, 4096) != 0) { perror("listen"); exit(1); }
  puts("ready");
  fflush(stdout);
  for (;;) {
    int one = accept(fd, NULL, NULL);
    if (one >= 0) close(one);
    else if (errno != EINTR && errno != ECONNABORTED) { perror("accept"); exit(1); }
  }
}

int main(int argc, char** argv) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (argc < 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
    fputs("usage: load udp|connect ADDRESS PORT SECONDS; load accept ADDRESS PORT\n", stderr);
    return 2;
  }
  address.sin_port = htons((unsigned short)atoi(argv[3]));
  if (strcmp(argv[1], "accept") == 0) accept_connections(&address);
  double seconds = argc > 4 ? atof(argv[4]) : 1;
  long count = 0, failed = 0;
  double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);
  if (strcmp(argv[1], "udp") == 0) send_datagrams(&address, seconds, &count, &failed);
  else make_connections(&address, seconds, &count, &failed);
  printf("{\"count\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"cpu\": %.6f}\n", count, failed,
         now(CLOCK_MONOTONIC) - began, now(CLOCK_THREAD_CPUTIME_ID) - cpu);
  return 0;
}
