// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/types.h>

#include "base/error.hpp"
#include "k8s/config.hpp"

namespace egw::k8s {

// Puts a Config's authorities, client certificate and the name or address that the server's
// certificate must bear (RFC 6125, RFC 2818 for addresses) into a context. OpenSSL then verifies
// all of it during the handshake; SSL_get_verify_result tells.
[[nodiscard]] Result<void> configure_tls(SSL_CTX* context, const Config& config);

// The same on a context that is thrown away: are the credentials usable?
[[nodiscard]] Result<void> check_tls(const Config& config);

} // namespace egw::k8s
