#include "fs/chunk/piece_hash.h"

#include "common/crypto/hash.h"

namespace coffer::chunk {

PieceHash PieceHasher::hash(ByteView piece) const { return PieceHash(crypto::hmac_sha256(key_.bytes(), piece)); }

}  // namespace coffer::chunk
