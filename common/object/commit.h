// One record of a vault's log, and the server's receipt for it.
//
// The bytes of a commit, little-endian; its hash is the SHA-256 of all of them, and the hash chain begins with zeros:
//
//     at     bytes  field
//     0      8      "CFRCMT01"
//     8      16     vault
//     24     8      seq            1, 2, 3 …
//     32     32     previous       hash of commit seq - 1; zeros where seq is 1
//     64     8      epoch          of the lease under which it was made
//     72     4      added_count    then released_count (4), payload_bytes (4), zero (4)
//     88     32*n   added          chunk ids, ascending, without repetition
//            32*m   released       chunk ids, ascending, without repetition
//            k      payload        tree operations, sealed by the client; the server cannot read them. The seal covers
//                                  every field above too (fs/seal/FORMAT.md), so only clients can make a commit
//
// A commit is read by anyone from anyone: decode() checks every length, order and bound. OPLOG.md says what the
// server checks before it appends one.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/sign.h"
#include "common/object/ids.h"

namespace coffer::object {

struct Commit {
  VaultId vault;
  std::uint64_t seq = 0;
  CommitHash previous;
  std::uint64_t epoch = 0;
  std::vector<ChunkId> added;
  std::vector<ChunkId> released;
  Bytes payload;
};

/// Sorts nothing: `added` and `released` must be ascending already.
Bytes encode(const Commit& commit);
/// Fault::corrupt if `bytes` are not exactly one well-formed commit.
Result<Commit> decode_commit(ByteView bytes);
CommitHash hash_of(ByteView commit_bytes);

/// The server's word that it has a commit and every chunk that it added.
struct Receipt {
  VaultId vault;
  std::uint64_t seq = 0;
  CommitHash hash;
  std::uint64_t server_time_ns = 0;  ///< Since 1970, UTC.
  std::uint64_t chunk_count = 0;     ///< Chunks that the vault's log names as present after this commit.
  crypto::Signature signature{};     ///< Ed25519 over "CFRRCP01" and the fields above, little-endian, in this order.
};

void sign(Receipt& receipt, const crypto::SigningKey& key);
bool holds(const Receipt& receipt, const crypto::PublicKey& key);
/// 8 + 16 + 8 + 32 + 8 + 8 + 64 bytes: the signed bytes and the signature.
Bytes encode(const Receipt& receipt);
Result<Receipt> decode_receipt(ByteView bytes);

}  // namespace coffer::object
