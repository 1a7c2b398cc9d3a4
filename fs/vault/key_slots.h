// The key slots of a vault that is enrolled here: who can open it, on any machine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "fs/keys/key_slot.h"
#include "fs/vault/home.h"
#include "fs/vault/key_source.h"

namespace coffer::vault {

struct SlotFacts {
  std::uint64_t number = 0;
  std::string kind;  ///< passphrase, recovery key or key file; "unknown" for a slot of another version.
};

/// All block for the server, and the latter for scrypt: Fault::offline, Fault::refused.
Result<std::vector<SlotFacts>> list_slots(const VaultFolder& folder);
/// Opens the vault with `source` and adds a slot. The key file is made on the disk of `source`, and must not exist yet.
Result<std::uint64_t> add_key_file(const VaultFolder& folder, const KeySource& source, const std::string& new_key_file);
Result<std::uint64_t> add_passphrase(const VaultFolder& folder, const KeySource& source,
                                     const crypto::Secret& passphrase);
Result<void> remove_slot(const VaultFolder& folder, std::uint64_t number);
/// Makes a new recovery key, has `show` show its text to the person, and only then removes the old ones. Returns the
/// numbers of those that could not be removed: they still open the vault.
Result<std::vector<std::uint64_t>> renew_recovery_key(
    const VaultFolder& folder, const KeySource& source,
    const std::function<Result<void>(const crypto::Secret& text)>& show);

}  // namespace coffer::vault
