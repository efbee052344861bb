// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "api/json_parse.hpp"
#include "k8s/json_stream.hpp"
#include "k8s/json_value.hpp"
#include "k8s/reflector_impl.hpp"
#include "k8s/request.hpp"
#include "k8s/status.hpp"
#include "k8s/store.hpp"

namespace egw::k8s {
namespace {

bool ends_initial_events(const rapidjson::Value& bookmark) {
  const auto* meta = member(bookmark, "metadata");
  const auto* annotations = meta == nullptr ? nullptr : member(*meta, "annotations");
  return text(annotations, "k8s.io/initial-events-end") == "true";
}

} // namespace

void Reflector::Impl::report(const std::optional<Error>& error) {
  const auto message = error ? error->message : std::string();
  if (message == reported) return;
  reported = message;
  sink.status(error ? &*error : nullptr);
}

std::string Reflector::Impl::target(bool initial) {
  auto path = list_target(
      *options.resource,
      {options.namespace_, options.label_selector, options.field_selector, false, 0}, "");
  path += path.find('?') == std::string::npos ? '?' : '&';
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(options.server_timeout).count();
  std::uniform_int_distribution<std::int64_t> spread(seconds, 2 * seconds);
  // Where nothing happens, the first word on a stream may be a bookmark a minute later. One that
  // lasted and ended in order shows as well that all is right. Not of a list, which may take
  // longer.
  const auto trial = std::chrono::ceil<std::chrono::seconds>(options.healthy_after).count() + 1;
  path +=
      fmt::format("watch=true&allowWatchBookmarks=true&timeoutSeconds={}",
                  silent_failure && !initial ? trial : std::max<std::int64_t>(spread(random), 1));
  // Without resourceVersion the initial events are as recent as a quorum read.
  path += initial ? "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                  : "&resourceVersion=" + url_encode(version);
  return path;
}

// Everything that the list holds was told. False: it is older than what was seen, and not taken.
bool Reflector::Impl::finish_list(const std::string& listed, Outcome& outcome) {
  if (older(listed, version)) {
    ++metrics.stale;
    outcome.error = Error{fmt::format(
        "{}: the server lists resourceVersion {}, but {} was seen. An API server that lags behind "
        "recovers; after etcd was restored from a backup, restart this process",
        what, listed, version)};
    return false;
  }
  version = listed;
  need_list = listing = false;
  refusals = error_events = 0;
  ++metrics.lists;
  metrics.listed_us = now().wall.time_since_epoch().count();
  metrics.synced = 1;
  sink.list_end(version);
  report(std::nullopt);
  return true;
}

// What the end of an exchange means, whatever came during it.
void Reflector::Impl::end(Outcome& outcome, const HttpResponse& response, Time begun) {
  outcome.lived = now().steady - begun;
  if (overtaken()) return;
  outcome.retry_after = response.retry_after;
  if (response.canceled) return; // by stop(), or because of something that `outcome` tells
  if (response.failure) {
    outcome.error = Error{fmt::format(
        "{}: {}", what,
        response.timeout && response.sent ? "the server fell silent" : *response.failure)};
    outcome.unreached = response.status == 0;
  } else if (response.status < 200 || response.status >= 300) {
    auto status = parse_status(response.body, response.status);
    outcome.error = refusal(what, status);
    outcome.answered = true;
    if (!outcome.retry_after) outcome.retry_after = status.retry_after;
    // 404, 400: the kind went away, or this version is no version there. 410: it was compacted
    // away.
    outcome.gone = status.code == 410 || status.code == 404 || status.code == 400;
    if (status.code == 410) ++metrics.gone;
  }
}

Reflector::Impl::Outcome Reflector::Impl::list() {
  Outcome outcome;
  const auto begun = now().steady;
  const ListOptions paging{options.namespace_, options.label_selector, options.field_selector,
                           options.metadata_only, options.page_size};
  std::string next, listed;
  sink.list_begin();
  do {
    HttpRequest request;
    request.wanted = [this] { return !overtaken(); };
    request.target = list_target(*options.resource, paging, next);
    request.headers.emplace_back("Accept",
                                 options.metadata_only ? kAcceptMetadataList : "application/json");
    std::string page_version, garbage;
    next.clear();
    ListSplitter splitter(
        [&](char* data, std::size_t) {
          rapidjson::MemoryPoolAllocator<> memory(pool.data(), pool.size());
          rapidjson::Document document(&memory);
          if (auto parsed = api::parse_json_in_situ(document, data); !parsed) {
            garbage = parsed.error().message;
          } else {
            strip(document);
            sink.list_item(document);
          }
        },
        [&](std::string_view name, char* data, std::size_t size) {
          if (name == "metadata") read_list_meta(std::string_view(data, size), page_version, next);
        });
    const auto response = connection.send(request, [&](const char* data, std::size_t size) {
      contact();
      reached();
      return splitter.feed(data, size) && garbage.empty();
    });
    end(outcome, response, begun);
    outcome.lived = {}; // however long half a list took: see stream()
    if (stopping() || overtaken() || outcome.error) return outcome;
    if (garbage.empty()) garbage = splitter.problem(page_version);
    if (!garbage.empty()) {
      outcome.error =
          Error{fmt::format("list {}: not a list: {}", options.resource->plural, garbage)};
      return outcome;
    }
    if (listed.empty()) listed = page_version;
  } while (!next.empty());
  if (finish_list(listed, outcome)) outcome.at_once = true; // and watch from there
  return outcome;
}

// What comes as PartialObjectMetadata is decoded as the kind whose metadata it is.
void Reflector::Impl::strip(rapidjson::Value& object) const {
  if (options.metadata_only && object.IsObject()) object.RemoveMember("kind");
}

bool Reflector::Impl::event(const std::string& type, rapidjson::Value& object, Outcome& outcome) {
  strip(object);
  const auto head = object_head(object);
  const bool removed = type == "DELETED";
  if (head.resource_version.empty() || (head.key.name.empty() && type != "BOOKMARK")) {
    outcome.error = Error{fmt::format("{}: not an event: the object has no name or version", what)};
    return false;
  }
  if (type == "BOOKMARK") {
    if (!listing) {
      if (older(version, head.resource_version)) version = head.resource_version;
    } else if (ends_initial_events(object)) {
      return outcome.progress = finish_list(head.resource_version, outcome);
    }
  } else if (listing) {
    removed ? sink.list_drop(head.key) : sink.list_item(object);
  } else if (head.resource_version == version || older(head.resource_version, version)) {
    ++metrics.stale; // told before
  } else {
    ++metrics.events;
    removed ? sink.removed(head.key, head.uid, head.resource_version) : sink.upsert(object);
    version = head.resource_version;
    outcome.progress = true;
  }
  return true;
}

// One line of a stream. False: no use reading on.
bool Reflector::Impl::line(char* data, Outcome& outcome) {
  rapidjson::MemoryPoolAllocator<> memory(pool.data(), pool.size());
  rapidjson::Document document(&memory);
  auto parsed = api::parse_json_in_situ(document, data);
  auto* object = parsed ? member(document, "object") : nullptr;
  const auto type = parsed ? text(&document, "type") : std::string();
  const bool known =
      type == "ADDED" || type == "MODIFIED" || type == "DELETED" || type == "BOOKMARK";
  if (object == nullptr || (!known && type != "ERROR")) {
    outcome.error =
        Error{fmt::format("{}: not an event: {}", what,
                          parsed ? "type or object is missing" : parsed.error().message)};
    return false;
  }
  if (known) {
    if (!listing) report(std::nullopt);
    return event(type, *object, outcome);
  }
  const auto status = read_status(*object, 500);
  outcome.error = refusal(what, status);
  outcome.answered = outcome.error_event = true;
  outcome.gone = status.code == 410;
  if (outcome.gone) ++metrics.gone;
  return false;
}

Reflector::Impl::Outcome Reflector::Impl::stream() {
  Outcome outcome;
  const auto begun = now().steady;
  listing = need_list;
  if (listing) sink.list_begin();
  HttpRequest request;
  request.wanted = [this] { return !overtaken(); };
  request.target = target(listing);
  request.headers.emplace_back("Accept",
                               options.metadata_only ? kAcceptMetadata : "application/json");
  request.head = [this](int status) {
    contact();
    if (status == 200) reached();
    if (status == 200 && !listing && !silent_failure) report(std::nullopt);
  };
  ++metrics.watches;
  LineSplitter lines([&](char* data, std::size_t) { return line(data, outcome); });
  const auto response = connection.send(request, [&](const char* data, std::size_t size) {
    contact();
    return lines.feed(data, size);
  });
  end(outcome, response, begun);
  if (stopping() || overtaken()) return outcome;
  if (listing && !response.canceled) {
    // 400 and 422: the server knows the option and has it switched off. Silence or an end before
    // the list was complete: it does not know the option.
    const bool refused = response.status == 400 || response.status == 422;
    const bool unknown = response.status == 200 && (response.timeout || !response.failure);
    if (refused || unknown) {
      streaming = false;
      outcome.at_once = refused;
      if (refused) outcome.error.reset();
    }
  }
  if (lines.overlong()) outcome.error = Error{fmt::format("{}: a line is too long", what)};
  if (!outcome.error && !outcome.at_once && outcome.lived < options.healthy_after &&
      !outcome.progress) {
    outcome.error = Error{fmt::format("{}: the stream ended at once", what)};
  }
  silent_failure = outcome.error && response.status == 200;
  // However long half a list took: it has to come again, and must not come in a tight loop.
  if (listing) outcome.lived = {};
  listing = false;
  return outcome;
}

Reflector::Impl::Outcome Reflector::Impl::turn() {
  take_round();
  try {
    return need_list && !streaming ? list() : stream();
  } catch (const std::exception& error) { // out of memory, or a sink that failed: begin anew
    Outcome outcome;
    outcome.error = Error{fmt::format("{}: {}", what, error.what())};
    outcome.gone = true;
    listing = false;
    return outcome;
  }
}

} // namespace egw::k8s
