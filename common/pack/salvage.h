// Reads past what a disk cannot read (EIO).
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/os/disk.h"

namespace coffer::pack {

/// The disk cannot read what lies there; it may be able to later, and other places it can.
bool is_unreadable(const Error& error);

struct Salvage {
  Bytes bytes;            ///< Zeros where the disk could not read; shorter where the file ends before.
  bool is_whole = true;   ///< The disk could read all that the file has.
  bool has_some = false;  ///< It could read some of it.
};

/// Reads what can be read, sector by sector where it cannot be read at once. An error is any other than EIO.
Result<Salvage> salvage(os::File& file, std::uint64_t offset, std::size_t bytes);

}  // namespace coffer::pack
