// The server's receipt key: the one that this machine holds to, and another in its place when its user says so.
#pragma once

#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/crypto/sign.h"
#include "fs/vault/home.h"

namespace coffer::vault {

struct ReceiptKeys {
  std::optional<crypto::PublicKey> held_to;  ///< As first seen; none where this machine has seen no server yet.
  crypto::PublicKey shown{};                 ///< By the server, today.

  bool differ() const { return held_to && *held_to != shown; }
};

/// Blocks for the server: Fault::offline.
Result<ReceiptKeys> ask_receipt_keys(const VaultFolder& folder);

/// From now on this machine holds to the key with this fingerprint (crypto::fingerprint_of()), which its user has from
/// whoever runs the server: the server's word alone changes nothing. Fault::refused where the server shows another, and
/// with EBUSY while the vault is in use.
Result<void> accept_receipt_key(const VaultFolder& folder, const std::string& fingerprint);

}  // namespace coffer::vault
