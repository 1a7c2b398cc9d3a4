// Renews this client's certificate at two thirds of its life, with the key it has.
#pragma once

#include "common/base/result.h"
#include "common/os/clock.h"
#include "fs/vault/home.h"
#include "net/rpc/client.h"

namespace coffer::vault {

/// True if two thirds of the life of the vault's certificate are over. False for one that cannot be read.
bool is_certificate_due(const VaultFolder& folder, os::Clock& clock);

/// Blocks for the server. The new certificate replaces the old one whole, then the client dials with it.
Result<void> renew_certificate(const VaultFolder& folder, const VaultSettings& settings, rpc::Client& client);

/// When the certificate ends.
Result<os::WallTime> certificate_end(const VaultFolder& folder);

}  // namespace coffer::vault
