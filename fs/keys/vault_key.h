// The one secret of a vault, and the keys that are derived from it. KEYS.md has the bytes.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "common/object/ids.h"
#include "common/os/random.h"

namespace coffer::keys {

inline constexpr std::size_t kVaultKeyBytes = 32;

/// One label for each use: no two uses share a key, and none gives the vault key away.
inline constexpr std::string_view kChunkLabel = "chunks";
inline constexpr std::string_view kCommitLabel = "commits";
inline constexpr std::string_view kChunkerLabel = "chunker";
inline constexpr std::string_view kStagingLabel = "staging";
inline constexpr std::string_view kPieceLabel = "pieces";

/// 256 random bits on the locked heap. Moves, never copies. Thread-safe once made.
class VaultKey {
 public:
  static VaultKey generate(os::Random& random);
  /// Fault::corrupt unless `bytes` are kVaultKeyBytes long.
  static Result<VaultKey> from_bytes(ByteView bytes);

  /// 32 bytes: HKDF-SHA-256 (RFC 5869) of the vault key with the vault's id as salt and "coffer 1 " + `label` as info.
  crypto::Secret derive(std::string_view label, const object::VaultId& vault) const;

  /// For wrapping into a key slot, and for nothing else.
  ByteView bytes() const { return secret_.bytes(); }

 private:
  explicit VaultKey(crypto::Secret secret) : secret_(std::move(secret)) {}

  crypto::Secret secret_;
};

}  // namespace coffer::keys
