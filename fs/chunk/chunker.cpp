#include "fs/chunk/chunker.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/crypto/kdf.h"

namespace coffer::chunk {
namespace {

using limits::kPieceBytesMax;
using limits::kPieceBytesMin;

// A cut is wanted once in 128 KiB beyond the minimum of 128 KiB: the hash proposes one position in 2^8, AES takes one
// of 2^9 of these. So AES, which costs as much as a hundred bytes of hashing, runs once in 256 bytes.
constexpr unsigned kProposedBits = 8;
constexpr unsigned kDecidedBits = 9;

// The highest bits: all of the window has a say in them, and only its newest byte in the lowest.
constexpr std::uint64_t kProposedMask = ((std::uint64_t{1} << kProposedBits) - 1) << (64 - kProposedBits);
constexpr std::uint64_t kDecidedMask = (std::uint64_t{1} << kDecidedBits) - 1;

static_assert(kPieceBytesMin > kWindowBytes);

crypto::Aes256Block aes_from(const crypto::Secret& chunker_key) {
  crypto::Secret key(32);
  crypto::hkdf_sha256(chunker_key.bytes(), {}, as_bytes("coffer 1 chunker aes"), key.bytes());
  return crypto::Aes256Block(std::as_const(key).bytes());
}

}  // namespace

Chunker::Chunker(const crypto::Secret& chunker_key) : aes_(aes_from(chunker_key)) {
  crypto::hkdf_sha256(chunker_key.bytes(), {}, as_bytes("coffer 1 chunker gear"),
                      std::as_writable_bytes(std::span(gear_)));
}

Chunker::~Chunker() { crypto::wipe(std::as_writable_bytes(std::span(gear_))); }
Chunker::Chunker(Chunker&&) noexcept = default;
Chunker& Chunker::operator=(Chunker&&) noexcept = default;

bool Chunker::decides_to_cut(std::uint64_t hash, const std::byte* end) {
  crypto::AesBlock block;
  std::memcpy(block.data(), &hash, 8);
  std::memcpy(block.data() + 8, end - 8, 8);  // The newest bytes as they are: two windows with one hash still differ.
  block = aes_.encrypt(block);
  std::uint64_t decision;
  std::memcpy(&decision, block.data(), 8);
  return (decision & kDecidedMask) == 0;
}

std::size_t Chunker::cut(ByteView data, bool last) {
  const std::size_t end = std::min(data.size(), kPieceBytesMax);
  const std::byte* const bytes = data.data();
  if (end > kPieceBytesMin) {
    std::uint64_t hash = 0;
    // Shifted out after 64 steps, so what stands before the window leaves nothing in the hash.
    for (std::size_t at = kPieceBytesMin - kWindowBytes; at < kPieceBytesMin; ++at) {
      hash = (hash << 1) + gear_[std::to_integer<unsigned>(bytes[at])];
    }
    for (std::size_t at = kPieceBytesMin;; ++at) {
      if ((hash & kProposedMask) == 0 && decides_to_cut(hash, bytes + at)) [[unlikely]]
        return at;
      if (at == end) break;
      hash = (hash << 1) + gear_[std::to_integer<unsigned>(bytes[at])];
    }
  }
  return last || end == kPieceBytesMax ? end : 0;
}

}  // namespace coffer::chunk
