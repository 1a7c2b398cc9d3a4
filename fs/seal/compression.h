// How plain bytes are made smaller before they are encrypted: a choice of the one who seals. Who opens need not know
// it.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace coffer::seal {

struct Compression {
  enum class Codec {
    none,       ///< Frames are stored as they are.
    zstd,       ///< RFC 8878, levels -7 … 19.
    zlib,       ///< RFC 1950, levels 1 … 9.
    automatic,  ///< zstd at a level that keeps up with a fast disk.
  };
  Codec codec = Codec::automatic;
  int level = 0;  ///< 0 for none and automatic.

  friend bool operator==(const Compression&, const Compression&) = default;
};

inline constexpr int kZstdLevelMin = -7;
inline constexpr int kZstdLevelMax = 19;
inline constexpr int kZlibLevelMin = 1;
inline constexpr int kZlibLevelMax = 9;

/// Reads "none", "auto", "zstd", "zstd:3", "zlib" or "zlib:6"; without a level it is zstd:3 or zlib:6.
/// Fault::refused with EINVAL and a sentence for the user otherwise.
Result<Compression> parse_compression(std::string_view text);
/// The text that parse_compression() reads.
std::string to_text(const Compression& compression);

}  // namespace coffer::seal
