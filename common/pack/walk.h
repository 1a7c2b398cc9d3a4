// Reads a pack from record to record, and finds the next one behind damage.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "common/base/result.h"
#include "common/os/disk.h"
#include "common/pack/record.h"

namespace coffer::pack {

struct Gap {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

struct WalkEnd {
  std::uint64_t offset = 0;  ///< Behind the last record.
  bool torn = false;         ///< What lies between `offset` and the end of the range is no record and hides none.
  std::vector<Gap> gaps;     ///< Bytes within that are no record, although one follows, or may follow.
};

/// Calls `visit` for each record whose header and payload lie whole in [`from`, `to`); stops at its first Error.
///
/// Behind a header that cannot be read it searches for the next record that is stored and whose payload matches its
/// id: only such a one is believed, because a payload may hold anything, the bytes of a header included. What the disk
/// cannot read there is no record.
Result<WalkEnd> walk(os::File& file, std::uint64_t from, std::uint64_t to,
                     const std::function<Result<void>(std::uint64_t offset, const RecordHeader&)>& visit);

/// Fault::corrupt if the file ends before the payload does.
Result<Bytes> read_payload(os::File& file, std::uint64_t record_offset, std::uint32_t bytes);
/// Whether the payload is whole and its SHA-256 the id. An error with EIO: the disk cannot read it.
Result<bool> payload_matches(os::File& file, std::uint64_t record_offset, const RecordHeader& header);

}  // namespace coffer::pack
