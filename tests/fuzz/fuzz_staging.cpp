// LINK: fs_spool
// A staging file may have been changed by anyone: reading it neither crashes nor gives more than it holds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "fs/spool/staging.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const coffer::crypto::Secret key(32);
  const coffer::ByteView file = std::as_bytes(std::span(data, size));
  const auto staged = coffer::spool::decode_staging(file, coffer::ChunkKey(1), key);
  if (staged && staged->plain.size() > size) std::abort();
  return 0;
}
