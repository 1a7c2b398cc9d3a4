#include "fs/keys/vault_key.h"

#include <string>

#include "common/crypto/kdf.h"

namespace coffer::keys {

VaultKey VaultKey::generate(os::Random& random) {
  crypto::Secret secret(kVaultKeyBytes);
  random.fill(secret.bytes());
  return VaultKey(std::move(secret));
}

Result<VaultKey> VaultKey::from_bytes(ByteView bytes) {
  if (bytes.size() != kVaultKeyBytes) return Error{Fault::corrupt, 0, "vault key of a wrong length"};
  return VaultKey(crypto::Secret::copy_of(bytes));
}

crypto::Secret VaultKey::derive(std::string_view label, const object::VaultId& vault) const {
  crypto::Secret derived(kVaultKeyBytes);
  crypto::hkdf_sha256(secret_.bytes(), vault.bytes(), as_bytes("coffer 1 " + std::string(label)), derived.bytes());
  return derived;
}

}  // namespace coffer::keys
