// One vault's sealer, and plain bytes of each sort.
#pragma once

#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "fs/seal/sealer.h"
#include "tests/testing/seeded_random.h"

namespace coffer::seal::example {

inline object::VaultId vault(unsigned number) {
  return object::VaultId({std::byte{0xc0}, static_cast<std::byte>(number)});
}

inline keys::VaultKey key(unsigned seed) {
  testing::SeededRandom random(seed);
  return keys::VaultKey::generate(random);
}

/// Lines that compress to about a quarter.
inline Bytes text(std::size_t bytes, unsigned seed) {
  testing::SeededRandom random(seed);
  Bytes lines;
  while (lines.size() < bytes) {
    append(lines, as_bytes("INSERT INTO visits VALUES (" + std::to_string(random.below(1'000'000)) + ", 'page " +
                           std::to_string(random.below(50)) + "');\n"));
  }
  lines.resize(bytes);
  return lines;
}

inline Bytes noise(std::size_t bytes, unsigned seed) { return testing::SeededRandom(seed).bytes(bytes); }

inline const std::vector<Compression>& all_compressions() {
  using Codec = Compression::Codec;
  static const std::vector<Compression> all = {{Codec::none, 0},  {Codec::automatic, 0}, {Codec::zstd, 3},
                                               {Codec::zstd, -7}, {Codec::zstd, 19},     {Codec::zlib, 1},
                                               {Codec::zlib, 6},  {Codec::zlib, 9}};
  return all;
}

}  // namespace coffer::seal::example
