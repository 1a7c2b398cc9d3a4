#include "common/pack/salvage.h"

#include <algorithm>
#include <cerrno>

namespace coffer::pack {
namespace {

/// As much as a disk or the page cache fails to read at once, and no more is given up.
constexpr std::uint64_t kSectorBytes = 4096;

}  // namespace

bool is_unreadable(const Error& error) { return error.code == EIO && error.fault == Fault::local_io; }

Result<Salvage> salvage(os::File& file, std::uint64_t offset, std::size_t bytes) {
  Salvage got{.bytes = Bytes(bytes)};
  Result<std::size_t> read = file.read_at(got.bytes, offset);
  if (!read && !is_unreadable(read.error())) return std::move(read).error();
  if (read) {
    got.bytes.resize(*read);
    got.has_some = *read > 0;
    return got;
  }
  std::uint64_t end = 0;
  for (std::uint64_t at = offset; at < offset + bytes;) {
    const std::uint64_t next = std::min(at / kSectorBytes * kSectorBytes + kSectorBytes, offset + bytes);
    read = file.read_at(MutableByteView(got.bytes).subspan(at - offset, next - at), at);
    if (!read && !is_unreadable(read.error())) return std::move(read).error();
    if (read) end = at - offset + *read;
    got.has_some |= read && *read > 0;
    got.is_whole &= read.has_value();
    at = next;
  }
  if (got.is_whole) got.bytes.resize(end);
  return got;
}

}  // namespace coffer::pack
