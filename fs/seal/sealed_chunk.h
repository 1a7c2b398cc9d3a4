// What a Sealer makes of a plain chunk, and what the head of one says.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/object/ids.h"

namespace coffer::seal {

/// A chunk that nobody without the vault key can read. Only a Sealer makes one. Cheap to copy: copies share the bytes.
class SealedChunk {
 public:
  const object::ChunkId& id() const { return id_; }
  ByteView bytes() const { return *bytes_; }
  std::shared_ptr<const Bytes> shared() const { return bytes_; }
  /// How many bytes seal() was given.
  std::uint32_t plain_bytes() const { return plain_bytes_; }

 private:
  friend class Sealer;
  SealedChunk(const object::ChunkId& id, std::shared_ptr<const Bytes> bytes, std::uint32_t plain_bytes)
      : id_(id), bytes_(std::move(bytes)), plain_bytes_(plain_bytes) {}

  object::ChunkId id_;
  std::shared_ptr<const Bytes> bytes_;
  std::uint32_t plain_bytes_;
};

/// A sealed chunk whose id is not known yet: Sealer::name() makes those of many at once.
class UnnamedChunk {
 private:
  friend class Sealer;
  UnnamedChunk(std::shared_ptr<const Bytes> bytes, std::uint32_t plain_bytes)
      : bytes_(std::move(bytes)), plain_bytes_(plain_bytes) {}

  std::shared_ptr<const Bytes> bytes_;
  std::uint32_t plain_bytes_;
};

/// Where one frame lies, in bytes.
struct SealedFrame {
  std::uint32_t sealed_offset;  ///< In the sealed chunk.
  std::uint32_t sealed_bytes;   ///< With its tag; with the chunk's padding if it is the last frame.
  std::uint32_t plain_offset;   ///< In the plain chunk: a multiple of kFramePlainBytesMax.
  std::uint32_t plain_bytes;    ///< kFramePlainBytesMax, or less in the last frame.
  std::uint32_t packed_bytes;   ///< After compression.
  std::uint8_t codec;           ///< FORMAT.md has the numbers.
};

/// The authenticated head of a sealed chunk: enough to read any frame without the others.
struct SealedHeader {
  std::uint32_t plain_bytes = 0;
  std::uint32_t sealed_bytes = 0;  ///< Of the whole chunk.
  std::vector<SealedFrame> frames;
  std::array<std::byte, 32> salt{};

  /// The frame that holds the plain byte at `plain_offset`, which is less than `plain_bytes`.
  std::size_t frame_index_at(std::uint32_t plain_offset) const { return plain_offset / frames.front().plain_bytes; }
};

}  // namespace coffer::seal
