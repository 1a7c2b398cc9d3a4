// Makes this machine a client of a vault: identity, key, and a folder in the home.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "fs/vault/home.h"
#include "fs/vault/key_source.h"

namespace coffer::vault {

/// Certificates that were made by hand, instead of a token.
struct HandmadeIdentity {
  std::string certificate, certificate_key, ca;  ///< PEM files; copied.
  rpc::Endpoint server;
};

struct EnrollmentRequest {
  std::string token;  ///< Or:
  std::optional<HandmadeIdentity> handmade;
  std::string vault_name;  ///< Which of the granted vaults, where the identity has several; may be empty.
  KeySource key;
  /// For a new vault without key file and passphrase file: asks twice and compares.
  std::function<Result<crypto::Secret>()> ask_new_passphrase;
};

struct Enrollment {
  VaultSettings settings;
  VaultFolder folder;
  bool is_new_vault = false;
  crypto::Secret recovery_key;  ///< Text, to be printed once; empty unless the vault is new.
};

/// Blocks for network and scrypt. Leaves either the whole vault folder or none. After a failure that came when the
/// token was already used up, the issued identity is kept in HOME/enrolling, and the same command goes on from there.
Result<Enrollment> enroll(const Home& home, const EnrollmentRequest& request);

}  // namespace coffer::vault
