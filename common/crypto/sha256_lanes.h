// The compression function of SHA-256 (FIPS 180-4, section 6.2.2) on many messages side by side: in lane i of each
// register stands a word of message i.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"

namespace coffer::crypto {

inline constexpr std::size_t kSha256BlockBytes = 64;
inline constexpr std::size_t kSha256LanesMax = 16;

/// Eight words of state for each lane: word w of lane l is words[w][l].
struct Sha256Lanes {
  alignas(64) std::array<std::array<std::uint32_t, kSha256LanesMax>, 8> words;
  std::array<const std::byte*, kSha256LanesMax> data;  ///< Where each lane's next block lies.
};

/// Whether this processor can do it at all: AVX-512 F, BW and VL.
bool has_sha256_lanes();

/// Compresses `block_count` blocks of each of the first `lane_count` (8 or 16) lanes, and moves `data` behind them.
void compress(Sha256Lanes& lanes, std::size_t lane_count, std::size_t block_count);

}  // namespace coffer::crypto
