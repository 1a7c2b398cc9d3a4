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
  /// Shows the recovery key of a new vault to the person, whole, before it returns; it is shown nowhere else. After a
  /// failure, or a kill, the same command makes another.
  std::function<Result<void>(const crypto::Secret& text)> show_recovery_key;
};

struct Enrollment {
  VaultSettings settings;
  VaultFolder folder;
  bool is_new_vault = false;
  crypto::Secret recovery_key;  ///< Text, as it was shown; empty unless the vault is new.
};

/// Blocks for network and scrypt. Leaves either the whole vault folder or none. What the server may have taken in is in
/// HOME/enrolling before it is sent: the private key before the token, a slot before the server has it. So wherever
/// this fails, or is killed, the same command goes on from there.
Result<Enrollment> enroll(const Home& home, const EnrollmentRequest& request);

}  // namespace coffer::vault
