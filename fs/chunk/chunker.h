// Cuts content into pieces where the content itself says, so that what was inserted moves the cuts but little.
//
// A rolling hash over the last kWindowBytes bytes proposes a cut; AES over that hash decides. Both are keyed: whoever
// sees the lengths of pieces cannot compare them with those of a file that he knows, nor find the key by choosing
// content (the weakness of a keyed rolling hash alone: "Chunking Attacks on File Backup Services using Content-Defined
// Chunking", 2025, IACR eprint 2025/558). KEYS.md has the exact function.
//
// No cut can lie before kPieceBytesMin, so these bytes are skipped, not hashed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/crypto/aes_block.h"
#include "common/crypto/wipe.h"

namespace coffer::chunk {

/// What lies further back than this has no say in a cut.
inline constexpr std::size_t kWindowBytes = 64;

/// Not thread-safe: each thread has its own. Cuts depend on nothing but the key and the bytes since the last cut.
class Chunker {
 public:
  /// `chunker_key` is VaultKey::derive(kChunkerLabel); it is not needed afterwards.
  explicit Chunker(const crypto::Secret& chunker_key);
  ~Chunker();
  Chunker(Chunker&&) noexcept;
  Chunker& operator=(Chunker&&) noexcept;

  /// Length of the first piece of `data`, kPieceBytesMin … kPieceBytesMax bytes, 256 KiB on average over content
  /// without long repetitions. The last piece of a file may be shorter.
  ///
  /// With `last` false, more bytes may follow: returns 0 when `data` ends before a cut is certain. At kPieceBytesMax
  /// bytes it is always certain. Each call looks at `data` from its start, so come back with much more, not with a
  /// byte. 0 for no data.
  std::size_t cut(ByteView data, bool last);

  /// For `data` from the middle of a content: its first place that is a cut whatever stands before it. (But for content
  /// before it that never says where to cut, whose cuts lie at kPieceBytesMax: less than one in a thousand.) As a rule
  /// within kPieceBytesMax; 0 where there is none in `data`.
  std::size_t synchronize(ByteView data);

 private:
  /// The first place at or behind `from`, at least kWindowBytes, where content says to cut; kNowhere.
  std::size_t wanted_cut(ByteView data, std::size_t from);
  struct Proposals;
  std::size_t propose(Proposals& proposals, std::uint64_t hash, const std::byte* bytes, std::size_t at);
  std::size_t first_decided(Proposals& proposals);

  std::array<std::uint64_t, 256> gear_;
  crypto::Aes256Block aes_;
};

}  // namespace coffer::chunk
