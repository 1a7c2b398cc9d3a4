// Turns one plain chunk into one sealed chunk, and back; and seals the payloads of commits.
//
// A sealed chunk is the only form in which file content leaves this process: the spool, the network and the server
// never see another. FORMAT.md has every byte; in short, little-endian:
//
//     at     bytes  field
//     0      6      "CFRCHK"
//     6      1      version   1
//     7      1      zero
//     8      32     salt      fresh random bytes for every chunk; the chunk's own key comes from it
//     40     152    table     plain_bytes, sealed_bytes, codec and packed bytes of 32 frames; encrypted, with its tag
//     192    …      frames    at most 128 KiB of plain bytes each; compressed, then encrypted, each with its tag
//
// The whole is a Padmé length; the padding is inside the encryption of the last frame, so that its length is hidden
// and every bit of a sealed chunk is under a tag. Nonces count the frames and mark the last one (STREAM: Hoang,
// Reyhanitabar, Rogaway and Vizár 2015), so frames cannot be swapped, left out or cut off.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "common/object/commit.h"
#include "common/object/ids.h"
#include "common/os/random.h"
#include "fs/keys/vault_key.h"
#include "fs/seal/compression.h"
#include "fs/seal/sealed_chunk.h"

namespace coffer::seal {

/// So many first bytes of a sealed chunk are all that read_header() needs; no sealed chunk is shorter.
inline constexpr std::size_t kHeaderBytesMax = 192;

/// Seals and opens the chunks and commit payloads of one vault.
///
/// Thread-safe: any number of threads may call it at once. Keeps a reference to `random`, which must outlive it;
/// `key` is not needed after construction.
///
/// All bytes given to the functions that read may come from anyone. They fail with Fault::corrupt if a single bit
/// differs from what was sealed, or if it was sealed for another vault or with another key: the three cannot be told
/// apart. Nothing is decompressed before its tag holds.
class Sealer {
 public:
  Sealer(const keys::VaultKey& key, const object::VaultId& vault, os::Random& random, Compression compression);

  /// Compresses and encrypts `plain`, which holds 1 … kChunkPlainBytesMax bytes.
  ///
  /// The result is at most kChunkSealedBytesMax long. Sealing the same bytes twice gives different results, because
  /// each call draws a new salt: seal once, spool the outcome, and send that as often as needed.
  SealedChunk seal(ByteView plain) const;
  /// seal() in two steps, the second for many chunks: eight ids at once cost little more than half of eight one by one.
  UnnamedChunk seal_unnamed(ByteView plain) const;
  static std::vector<SealedChunk> name(std::span<const UnnamedChunk> chunks);

  /// Returns the bytes once given to seal(). `sealed` is the whole chunk.
  Result<Bytes> open(ByteView sealed) const;

  /// `first_bytes` are the first kHeaderBytesMax bytes of a sealed chunk, or more.
  Result<SealedHeader> read_header(ByteView first_bytes) const;
  /// The plain bytes of one frame. `header` is from read_header(), `frame_index` less than header.frames.size(), and
  /// `frame_bytes` are the frame's sealed_bytes at its sealed_offset.
  Result<Bytes> open_frame(const SealedHeader& header, std::size_t frame_index, ByteView frame_bytes) const;

  /// Compresses and encrypts the payload of `commit`: any bytes, at most kPayloadPlainBytesMax.
  ///
  /// `commit` has everything but its payload, for the tag covers all of it: whoever has no key cannot change what a
  /// commit adds, releases or follows, nor put one commit's payload into another.
  Bytes seal_payload(ByteView plain, const object::Commit& commit) const;
  /// Returns the bytes once given to seal_payload() with the same commit; Fault::corrupt also if they are more than
  /// `plain_bytes_max`.
  Result<Bytes> open_payload(const object::Commit& commit, std::size_t plain_bytes_max) const;

  const Compression& compression() const { return compression_; }

 private:
  object::VaultId vault_;
  os::Random& random_;
  Compression compression_;
  crypto::Secret chunk_key_;
  crypto::Secret commit_key_;
};

/// Plain bytes of one commit's payload.
inline constexpr std::size_t kPayloadPlainBytesMax = 64u << 20;

}  // namespace coffer::seal
