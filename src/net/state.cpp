// SPDX-License-Identifier: Apache-2.0
#include "net/state.hpp"

namespace egw::net {

std::strong_ordering ElementKey::operator<=>(const ElementKey& other) const {
  const auto by_first = first <=> other.first;
  return by_first != 0 ? by_first : last <=> other.last;
}

} // namespace egw::net

template class egw::SharedMap<egw::net::ElementKey, egw::net::ElementData>;
template class egw::SharedMap<std::string, egw::net::Set>;
template class egw::SharedMap<std::string, egw::net::Chain>;
