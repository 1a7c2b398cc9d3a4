#include "fs/chunk/chunker.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/crypto/kdf.h"

namespace coffer::chunk {
namespace {

using limits::kPieceBytesMax;
using limits::kPieceBytesMin;

// A cut is wanted once in 128 KiB beyond the minimum of 128 KiB: the hash proposes one position in 2^8, AES takes one
// of 2^9 of these. So AES, which costs as much as some ten bytes of hashing, runs once in 256 bytes.
constexpr unsigned kProposedBits = 8;
constexpr unsigned kDecidedBits = 9;

// The highest bits: all of the window has a say in them, and only its newest byte in the lowest.
constexpr std::uint64_t kProposedBelow = std::uint64_t{1} << (64 - kProposedBits);
constexpr std::uint64_t kDecidedMask = (std::uint64_t{1} << kDecidedBits) - 1;

constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

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

/// Places in the order in which they were proposed. AES is asked of all at once: one by one, most of its time would go
/// into the calls. What is hashed in vain behind a cut is 2 KiB.
struct Chunker::Proposals {
  std::array<crypto::AesBlock, 16> blocks;
  std::array<std::size_t, 16> places;
  std::size_t count = 0;
};

/// A place that AES has accepted, this one or one before it, or kNowhere: not yet.
std::size_t Chunker::propose(Proposals& proposals, std::uint64_t hash, const std::byte* bytes, std::size_t at) {
  crypto::AesBlock& block = proposals.blocks[proposals.count];
  std::memcpy(block.data(), &hash, 8);
  std::memcpy(block.data() + 8, bytes + at - 8, 8);  // The newest bytes as they are: two windows with one hash differ.
  proposals.places[proposals.count++] = at;
  return proposals.count == proposals.places.size() ? first_decided(proposals) : kNowhere;
}

/// The first place of `proposals` where AES says to cut, or kNowhere; they are used up.
std::size_t Chunker::first_decided(Proposals& proposals) {
  const std::span<crypto::AesBlock> blocks(proposals.blocks.data(), std::exchange(proposals.count, 0));
  if (!blocks.empty()) aes_.encrypt(blocks);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    std::uint64_t decision;
    std::memcpy(&decision, blocks[i].data(), 8);
    if ((decision & kDecidedMask) == 0) return proposals.places[i];
  }
  return kNowhere;
}

std::size_t Chunker::wanted_cut(ByteView data, std::size_t from) {
  const std::byte* const bytes = data.data();
  if (from > data.size()) return kNowhere;
  std::uint64_t hash = 0;
  // Shifted out after 64 steps, so what stands before the window leaves nothing in the hash.
  for (std::size_t at = from - kWindowBytes; at < from; ++at) {
    hash = (hash << 1) + gear_[std::to_integer<unsigned>(bytes[at])];
  }
  Proposals proposals;
  std::size_t cut = kNowhere;
  const auto is_cut = [&](std::uint64_t here, std::size_t place) {
    if (here >= kProposedBelow) [[likely]]
      return false;
    cut = propose(proposals, here, bytes, place);
    return cut != kNowhere;
  };
  // Four steps at a time: what their bytes add does not wait for the hash before them, for which only a shift and an
  // addition are left. It is half again as fast as step by step.
  std::size_t at = from;
  for (const std::size_t end = from + (data.size() - from) / 4 * 4; at != end; at += 4) {
    const std::uint64_t one = gear_[std::to_integer<unsigned>(bytes[at])];
    const std::uint64_t two = (one << 1) + gear_[std::to_integer<unsigned>(bytes[at + 1])];
    const std::uint64_t three = (two << 1) + gear_[std::to_integer<unsigned>(bytes[at + 2])];
    const std::uint64_t four = (three << 1) + gear_[std::to_integer<unsigned>(bytes[at + 3])];
    if (is_cut(hash, at) || is_cut((hash << 1) + one, at + 1) || is_cut((hash << 2) + two, at + 2) ||
        is_cut((hash << 3) + three, at + 3)) {
      return cut;
    }
    hash = (hash << 4) + four;
  }
  for (; !is_cut(hash, at); ++at) {
    if (at == data.size()) return first_decided(proposals);
    hash = (hash << 1) + gear_[std::to_integer<unsigned>(bytes[at])];
  }
  return cut;
}

std::size_t Chunker::cut(ByteView data, bool last) {
  const std::size_t end = std::min(data.size(), kPieceBytesMax);
  if (end > kPieceBytesMin) {
    const std::size_t wanted = wanted_cut(data.first(end), kPieceBytesMin);
    if (wanted != kNowhere) return wanted;
  }
  return last || end == kPieceBytesMax ? end : 0;
}

std::size_t Chunker::synchronize(ByteView data) {
  // The first cut in `data` is the first wanted one that is kPieceBytesMin behind the cut before it, wherever before
  // `data` that was. So it is one of these, and each of them leads to a row of cuts.
  std::set<std::size_t> possible;
  for (std::size_t at = kWindowBytes; at < kPieceBytesMin; ++at) {
    at = wanted_cut(data.first(std::min(data.size(), kPieceBytesMax)), at);
    if (at == kNowhere) return 0;
    possible.insert(at);
  }
  // Rows that have met once go on together.
  while (possible.size() > 1) {
    const std::size_t first = *possible.begin();
    const std::size_t piece_bytes = cut(data.subspan(first), false);
    if (piece_bytes == 0) return 0;
    possible.erase(possible.begin());
    possible.insert(first + piece_bytes);
  }
  return *possible.begin();
}

}  // namespace coffer::chunk
