// The name of a piece's content, by which the vault's own piece table finds equal content.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/crypto/wipe.h"
#include "common/object/ids.h"

namespace coffer::chunk {

/// HMAC-SHA-256 of a piece under the vault's "pieces" key.
using PieceHash = object::Id<32, struct PieceHashTag>;

/// Thread-safe.
///
/// Keyed, because the piece table lies in the client's local database: with plain hashes there, a thief of the disk
/// could test whether the vault holds a file that he knows, although all content on it is sealed.
class PieceHasher {
 public:
  /// `pieces_key` is VaultKey::derive(kPieceLabel).
  explicit PieceHasher(crypto::Secret pieces_key) : key_(std::move(pieces_key)) {}

  PieceHash hash(ByteView piece) const;
  /// Of each, in their order. From a dozen on, at half of what they cost one by one (common/crypto/hash_each.h).
  std::vector<PieceHash> hash_each(std::span<const ByteView> pieces) const;

 private:
  crypto::Secret key_;
};

}  // namespace coffer::chunk
