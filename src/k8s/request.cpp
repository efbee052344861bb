// SPDX-License-Identifier: Apache-2.0
#include "k8s/request.hpp"

#include <fmt/format.h>

#include "api/json_parse.hpp"
#include "api/rapidjson.hpp"

namespace egw::k8s {
namespace {

void add(std::string& target, std::string_view name, std::string_view value) {
  target += target.find('?') == std::string::npos ? '?' : '&';
  target += name;
  target += '=';
  target += url_encode(value);
}

std::string delete_options(const Write& write) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
  const auto string = [&json](const char* name, const std::string& value) {
    json.Key(name);
    json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  };
  json.StartObject();
  string("apiVersion", "v1");
  string("kind", "DeleteOptions");
  if (!write.uid.empty() || !write.resource_version.empty()) {
    json.Key("preconditions");
    json.StartObject();
    if (!write.uid.empty()) string("uid", write.uid);
    if (!write.resource_version.empty()) string("resourceVersion", write.resource_version);
    json.EndObject();
  }
  json.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

} // namespace

const char* to_string(Verb verb) {
  switch (verb) {
    case Verb::Create:
      return "create";
    case Verb::Update:
      return "update";
    case Verb::MergePatch:
    case Verb::JsonPatch:
      return "patch";
    case Verb::Apply:
      return "apply";
    case Verb::Remove:
      return "delete";
  }
  return "?";
}

std::string url_encode(std::string_view text) {
  constexpr std::string_view kUnreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string out;
  for (const char c : text) {
    if (kUnreserved.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string resource_path(const api::Resource& resource, const api::NamespacedName& key) {
  const std::string_view group = resource.group;
  std::string path = group.empty() ? fmt::format("/api/{}", resource.version)
                                   : fmt::format("/apis/{}/{}", group, resource.version);
  if (resource.namespaced && !key.namespace_.empty())
    path += "/namespaces/" + url_encode(key.namespace_);
  path += '/';
  path += resource.plural;
  if (!key.name.empty()) path += '/' + url_encode(key.name);
  return path;
}

std::string list_target(const api::Resource& resource, const ListOptions& list,
                        const std::string& next) {
  auto target = resource_path(resource, {list.namespace_, ""});
  if (!list.label_selector.empty()) add(target, "labelSelector", list.label_selector);
  if (!list.field_selector.empty()) add(target, "fieldSelector", list.field_selector);
  if (list.page_size > 0) add(target, "limit", std::to_string(list.page_size));
  if (!next.empty()) add(target, "continue", next);
  return target;
}

std::string describe(const Write& write) {
  auto name = write.key.to_string();
  if (write.key.name.empty()) name += "(new)";
  return fmt::format("{}{} {} {}", to_string(write.verb), write.status ? " status of" : "",
                     write.resource == nullptr ? "?" : write.resource->kind, name);
}

Result<HttpRequest> write_request(const Write& write) {
  const auto refuse = [&write](const char* why) {
    return Error{fmt::format("{}: {}", describe(write), why)};
  };
  if (write.resource == nullptr) return refuse("no resource is given");
  if (write.resource->namespaced && write.key.namespace_.empty())
    return refuse("no namespace is given");
  const bool create = write.verb == Verb::Create, remove = write.verb == Verb::Remove;
  if (write.key.name.empty() && !create) return refuse("no name is given");
  if (write.status && (create || remove)) return refuse("there is no such call for a status");
  if (write.dry_run && remove) return refuse("a dry run of a removal is not made here");
  if (write.verb == Verb::Apply && write.field_manager.empty()) {
    return refuse("server-side apply needs a field manager");
  }

  HttpRequest request;
  auto key = write.key;
  if (create) key.name.clear();
  request.target = resource_path(*write.resource, key);
  if (write.status) request.target += "/status";
  if (!write.field_manager.empty() && !remove)
    add(request.target, "fieldManager", write.field_manager);
  if (write.dry_run) add(request.target, "dryRun", "All");
  request.headers.emplace_back("Accept", "application/json");
  request.body = write.body;
  request.content_type = "application/json";
  switch (write.verb) {
    case Verb::Create:
      request.method = "POST";
      break;
    case Verb::Update:
      request.method = "PUT";
      break;
    case Verb::MergePatch:
      request.method = "PATCH";
      request.content_type = "application/merge-patch+json";
      break;
    case Verb::JsonPatch:
      request.method = "PATCH";
      request.content_type = "application/json-patch+json";
      break;
    case Verb::Apply:
      request.method = "PATCH";
      request.content_type = "application/apply-patch+yaml"; // JSON is YAML
      if (write.force) add(request.target, "force", "true");
      break;
    case Verb::Remove:
      request.method = "DELETE";
      request.body = delete_options(write);
      break;
  }
  return request;
}

void read_list_meta(std::string_view json, std::string& resource_version, std::string& next) {
  rapidjson::Document document;
  if (!api::parse_json(document, json) || !document.IsObject()) return;
  const auto take = [&document](const char* name, std::string& into) {
    const auto i = document.FindMember(name);
    if (i != document.MemberEnd() && i->value.IsString()) into = i->value.GetString();
  };
  take("resourceVersion", resource_version);
  take("continue", next);
}

} // namespace egw::k8s
