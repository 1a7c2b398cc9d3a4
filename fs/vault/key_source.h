// The ways in which a user opens a vault: a key file, a passphrase, or the recovery key.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "common/object/ids.h"
#include "common/object/key_slots.h"
#include "common/os/disk.h"
#include "fs/keys/vault_key.h"

namespace coffer::vault {

struct KeySource {
  std::string key_file;               ///< Absolute path, or empty.
  os::Disk* disk = &os::real_disk();  ///< Of the key file.
  std::string passphrase_file;        ///< Path, or empty; its first line is the passphrase.
  std::string recovery_key_file;
  std::optional<crypto::Secret> recovery_key;  ///< Text, as it was printed.
  /// Asks the person at the terminal; empty where there is none. `again`: the last answer did not fit.
  std::function<Result<crypto::Secret>(bool again)> ask_passphrase;

  bool names_any() const {
    return !key_file.empty() || !passphrase_file.empty() || !recovery_key_file.empty() || recovery_key.has_value();
  }
};

/// The first line of the file, without its line end. Fault::refused if it is empty; `-` reads standard input. `what`
/// it should hold, for the sentence of a failure.
Result<crypto::Secret> read_secret_line(const std::string& path, const std::string& what);
Result<crypto::Secret> read_passphrase_file(const std::string& path);

/// `known`, then what the server has beside it, without what is no key slot: a server's list adds to what this machine
/// knows, and takes nothing away. At most kKnownSlotsMax, so that a server cannot make it longer and longer.
std::vector<Bytes> joined_slots(const std::vector<Bytes>& known, std::span<const Bytes> from_server);
inline constexpr std::size_t kKnownSlotsMax = 2 * object::kKeySlotsMax;

/// What a removal that was cut off left behind, once the server has told which slots it has: of `removing`, those that
/// it has no more go from `known` too, and the rest was not removed. No other slot goes, whatever the server shows.
/// True where there was anything to settle.
bool settle_removals(std::vector<Bytes>& known, std::vector<Bytes>& removing, std::span<const Bytes> from_server);

/// Opens the first of `slots` that the source fits. Fault::refused with a sentence that says what to give instead.
/// Takes about half a second for each passphrase slot.
Result<keys::VaultKey> open_slots(std::span<const Bytes> slots, const object::VaultId& vault, const KeySource& source);

}  // namespace coffer::vault
