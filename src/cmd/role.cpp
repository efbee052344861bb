// SPDX-License-Identifier: Apache-2.0
#include "cmd/role.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "version.hpp"

namespace egw::cmd {

k8s::Config begin_role(const char* name, log::Level level,
                       const std::optional<std::string>& kubeconfig) {
  log::set_component(name);
  log::set_level(level);
  auto config = k8s::load(kubeconfig);
  if (!config) throw std::invalid_argument(config.error().message);
  return *std::move(config);
}

k8s::ClientOptions client_options(const char* name) {
  k8s::ClientOptions options;
  options.user_agent = fmt::format("egw-{}/{}", name, version());
  return options;
}

} // namespace egw::cmd
