// SPDX-License-Identifier: Apache-2.0
#include "k8s/events.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/digest.hpp"

namespace egw::k8s {
namespace {

constexpr std::size_t kMaxMessage = 1024; // the API server's bound for v1 Event
constexpr std::size_t kMaxName = 253;

std::string event_name(const std::string& component, const api::ObjectReference& regarding,
                       const std::string& type, const std::string& reason,
                       const std::string& message) {
  // Lengths keep the parts apart: no two different events run together into one text.
  std::string content;
  for (const auto* part : {&component, &regarding.kind, &regarding.namespace_, &regarding.name,
                           &regarding.uid, &type, &reason, &message}) {
    content += fmt::format("{}:{}", part->size(), *part);
  }
  const auto digest = short_digest(content);
  return regarding.name.substr(0, kMaxName - digest.size() - 1) + "." + digest;
}

} // namespace

Write EventRecorder::create(Entry& entry, const Now& now) {
  due_.erase({entry.written + options_.interval, entry.event.meta.name});
  entry.written = now.steady;
  Write write;
  write.verb = Verb::Create;
  write.resource = &api::resource<api::Event>();
  write.key = {entry.event.meta.namespace_, entry.event.meta.name};
  write.body = api::encode(entry.event);
  return write;
}

Write EventRecorder::patch(Entry& entry, const Now& now) {
  auto write = create(entry, now);
  write.verb = Verb::MergePatch;
  write.body = fmt::format(R"({{"count":{},"lastTimestamp":"{}"}})", entry.event.count,
                           rfc3339(entry.event.last));
  return write;
}

void EventRecorder::forget(std::map<std::string, Entry>::iterator entry) {
  due_.erase({entry->second.written + options_.interval, entry->first});
  ages_.erase(entry->second.age);
  entries_.erase(entry);
}

std::optional<Write> EventRecorder::record(const api::ObjectReference& regarding,
                                           const std::string& type, const std::string& reason,
                                           const std::string& message, const Now& now) {
  const auto text = message.substr(0, kMaxMessage);
  const auto name = event_name(options_.component, regarding, type, reason, text);
  if (const auto i = entries_.find(name); i != entries_.end()) {
    auto& entry = i->second;
    ++entry.event.count;
    entry.event.last = now.wall;
    ages_.splice(ages_.end(), ages_, entry.age);
    due_.insert({entry.written + options_.interval, name});
    return std::nullopt;
  }
  if (entries_.size() >= options_.capacity && !ages_.empty()) forget(entries_.find(ages_.front()));
  Entry entry;
  entry.event.meta.name = name;
  entry.event.meta.namespace_ = regarding.namespace_.empty() ? "default" : regarding.namespace_;
  entry.event.regarding = regarding;
  entry.event.type = type;
  entry.event.reason = reason;
  entry.event.message = text;
  entry.event.component = options_.component;
  entry.event.first = entry.event.last = now.wall;
  entry.age = ages_.insert(ages_.end(), name);
  return create(entries_.emplace(name, std::move(entry)).first->second, now);
}

std::vector<Write> EventRecorder::flush(const Now& now) {
  std::vector<Write> writes;
  while (!due_.empty() && due_.begin()->first <= now.steady) {
    const auto name = due_.begin()->second;
    writes.push_back(patch(entries_.at(name), now)); // takes it off the list
  }
  return writes;
}

std::optional<Time> EventRecorder::next_flush() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

std::optional<Write> EventRecorder::done(const Write& write, const Result<std::string>& result,
                                         const Now& now) {
  const auto i = entries_.find(write.key.name);
  if (result || i == entries_.end()) return std::nullopt;
  auto& entry = i->second;
  const int code = result.error().code;
  if (write.verb == Verb::Create && code == 409) return patch(entry, now);
  if (write.verb == Verb::MergePatch && code == 404) return create(entry, now);
  // Refused or lost: forgotten, so that the next one of its kind is a new event.
  forget(i);
  return std::nullopt;
}

} // namespace egw::k8s
