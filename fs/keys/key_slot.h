// A key slot: the vault key, wrapped under a passphrase, a recovery key or a key file.
//
// A slot is an opaque string of kKeySlotBytes that the server keeps; it says of itself how to open it. Little-endian:
//
//     at     bytes  field
//     0      6      "CFRKEY"
//     6      1      version   1
//     7      1      kind      1 passphrase, 2 recovery key, 3 key file
//     8      8      n         scrypt's cost (RFC 7914); these three are zero unless kind is 1
//     16     4      r
//     20     4      p
//     24     32     salt      fresh random bytes for every slot
//     56     32     wrapped   AES-256-GCM over the vault key
//     88     16     tag       covers the bytes above and the vault's id
//
// The wrapping key comes from the secret and the salt, so every slot has a key of its own; KEYS.md says how.
// All functions here are thread-safe.
#pragma once

#include <cstddef>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/kdf.h"
#include "common/object/ids.h"
#include "common/os/random.h"
#include "fs/keys/key_file.h"
#include "fs/keys/recovery_key.h"
#include "fs/keys/vault_key.h"

namespace coffer::keys {

inline constexpr std::size_t kKeySlotBytes = 104;

enum class SlotKind { passphrase, recovery, key_file };

/// Takes as long as scrypt does (half a second at the default cost). The passphrase is used byte by byte as it is.
/// Fault::refused if it is empty or if `cost` is beyond what unwrap() accepts.
Result<Bytes> wrap_with_passphrase(const VaultKey& key, ByteView passphrase, const object::VaultId& vault,
                                   os::Random& random, const crypto::ScryptCost& cost = {});
Bytes wrap_with_recovery_key(const VaultKey& key, const RecoveryKey& recovery, const object::VaultId& vault,
                             os::Random& random);
Bytes wrap_with_key_file(const VaultKey& key, const KeyFile& file, const object::VaultId& vault, os::Random& random);

/// Fault::corrupt if `slot` is no key slot, or one of a version that this program does not know.
Result<SlotKind> kind_of(ByteView slot);

/// Opens a slot of any kind: `secret` is the passphrase, RecoveryKey::bytes() or KeyFile::bytes().
///
/// Fault::refused with EACCES if the secret is wrong, or if the slot was damaged, or made for another vault: the three
/// cannot be told apart. Fault::corrupt if it is no slot, or asks for a scrypt cost over 1 GiB of memory or sixteen
/// times the default work: a slot comes from the server, which must not be able to stall a client with it.
Result<VaultKey> unwrap(ByteView slot, ByteView secret, const object::VaultId& vault);

}  // namespace coffer::keys
