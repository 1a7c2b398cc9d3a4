#include "fs/chunk/piece_hash.h"

#include "common/crypto/hash.h"
#include "common/crypto/hash_each.h"

namespace coffer::chunk {

PieceHash PieceHasher::hash(ByteView piece) const { return PieceHash(crypto::hmac_sha256(key_.bytes(), piece)); }

std::vector<PieceHash> PieceHasher::hash_each(std::span<const ByteView> pieces) const {
  std::vector<PieceHash> names;
  names.reserve(pieces.size());
  for (const crypto::Digest& digest : crypto::hmac_sha256_each(key_.bytes(), pieces)) names.emplace_back(digest);
  return names;
}

}  // namespace coffer::chunk
