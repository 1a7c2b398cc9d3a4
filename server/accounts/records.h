// What the accounts hold: clients, vaults, and who may use which.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/crypto/hash.h"
#include "common/object/ids.h"

namespace coffer::accounts {

struct Vault {
  object::VaultId id;
  std::string name;
  std::uint64_t quota_bytes = 0;  ///< 0: none.
  std::int64_t created_ns = 0;    ///< Since 1970, UTC, as all times here.
};

struct Grant {
  Vault vault;
  bool read_only = false;
};

struct Client {
  object::ClientId id;
  std::string name;
  std::int64_t created_ns = 0;
  std::optional<std::int64_t> revoked_ns;
  std::vector<Grant> grants;  ///< By the vault's name.
};

/// A certificate that a client may show. Its fingerprint is the SHA-256 of its DER bytes.
struct Certificate {
  crypto::Digest fingerprint{};
  std::string serial;
  std::int64_t not_after_ns = 0;
};

/// What a new client gets.
struct Offer {
  std::string client_name;
  std::optional<object::VaultId> vault;  ///< None: a new vault with the client's name.
  bool read_only = false;                ///< Only where `vault` is set.
  std::uint64_t quota_bytes = 0;         ///< Of the new vault.
};

/// An invitation that can still be used.
struct OpenInvitation {
  std::string client_name;
  std::string vault_name;  ///< Empty: a new one with the client's name.
  bool read_only = false;
  std::int64_t expires_ns = 0;
};

/// What revoking a name has ended.
struct Revoked {
  bool client = false;
  bool invitation = false;
};

/// Names of clients and vaults: 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit, so that
/// they can be typed in any shell. Fault::refused says what is wrong.
Result<void> check_name(std::string_view name);

}  // namespace coffer::accounts
