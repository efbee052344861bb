// SPDX-License-Identifier: Apache-2.0
#include "k8s/writer.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace egw::k8s {
namespace {

// Status and object are one object: a change of the one moves the resourceVersion of the other.
using Key = std::tuple<std::string, std::string, api::NamespacedName>;
Key key_of(const Write& write) {
  if (write.resource == nullptr) return {"", "", write.key};
  return {write.resource->group, write.resource->plural, write.key};
}

} // namespace

struct Writer::Impl {
  // The changes of one object, in order.
  struct Chain {
    std::deque<Write> writes;
    Lane lane = Lane::Normal;
    bool busy = false;
  };

  Impl(Client& c, Done d, Options o) : client(c), done(std::move(d)), options(std::move(o)) {}

  void run(Lane lane);
  std::optional<Key> next(Lane lane);
  void offer(const Key& key, Lane lane);
  Result<std::string> send(const Write& write) const;

  Client& client;
  const Done done;
  const Options options;
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::map<Key, Chain> chains;
  std::array<std::deque<Key>, 2> ready; // by lane: objects with a change to send and none under way
  std::size_t pending = 0;
  bool stopped = false;
  std::vector<std::thread> threads;
};

void Writer::Impl::offer(const Key& key, Lane lane) {
  ready[static_cast<std::size_t>(lane)].push_back(key);
}

// An object that was moved to the fast lane leaves its place in the other queue behind: passed
// over.
std::optional<Key> Writer::Impl::next(Lane lane) {
  auto& queue = ready[static_cast<std::size_t>(lane)];
  while (!queue.empty()) {
    auto key = std::move(queue.front());
    queue.pop_front();
    const auto i = chains.find(key);
    if (i != chains.end() && !i->second.busy && i->second.lane == lane) return key;
  }
  return std::nullopt;
}

Result<std::string> Writer::Impl::send(const Write& write) const {
  try {
    return client.write(write, options.call);
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
}

void Writer::Impl::run(Lane lane) {
  const auto other = lane == Lane::Normal ? Lane::Failover : Lane::Normal;
  std::unique_lock lock(mutex);
  for (;;) {
    std::optional<Key> key;
    wake.wait(lock, [&] {
      key = next(lane);
      if (!key && stopped) key = next(other); // its threads may have ended already
      return key || stopped;
    });
    if (!key) return;
    auto& chain = chains.at(*key); // stays: others erase no busy chain
    auto write = std::move(chain.writes.front());
    chain.writes.pop_front();
    chain.busy = true;
    auto sent = write;
    sent.lane = lane; // the lane that the chain was moved to
    const bool refuse = stopped;
    lock.unlock();
    auto result = refuse ? Result<std::string>(Error{"stopped"}) : send(sent);
    done(std::move(write), std::move(result));
    lock.lock();
    --pending;
    chain.busy = false;
    if (chain.writes.empty()) {
      chains.erase(*key);
    } else {
      offer(*key, chain.lane);
      wake.notify_all();
    }
  }
}

Writer::Writer(Client& client, Done done, Options options)
    : impl_(std::make_unique<Impl>(client, std::move(done), std::move(options))) {
  const auto start = [this](int count, Lane lane) {
    for (int i = 0; i < std::max(count, 1); ++i) {
      impl_->threads.emplace_back([impl = impl_.get(), lane] { impl->run(lane); });
    }
  };
  start(impl_->options.normal_threads, Lane::Normal);
  start(impl_->options.failover_threads, Lane::Failover);
}

Writer::~Writer() {
  stop();
}

void Writer::push(Write write) {
  const auto key = key_of(write);
  {
    std::lock_guard lock(impl_->mutex);
    if (!impl_->stopped) {
      auto& chain = impl_->chains[key];
      const bool moved = write.lane == Lane::Failover && chain.lane == Lane::Normal;
      if (moved) chain.lane = Lane::Failover;
      const bool idle = !chain.busy && (chain.writes.empty() || moved);
      chain.writes.push_back(std::move(write));
      ++impl_->pending;
      if (idle) impl_->offer(key, chain.lane);
      impl_->wake.notify_all();
      return;
    }
  }
  impl_->done(std::move(write), Error{"stopped"});
}

std::size_t Writer::pending() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->pending;
}

void Writer::stop() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopped = true;
  }
  impl_->wake.notify_all();
  for (auto& thread : impl_->threads) {
    if (thread.joinable()) thread.join();
  }
}

} // namespace egw::k8s
