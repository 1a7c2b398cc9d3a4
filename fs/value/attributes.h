// What stat(2) tells of an inode.
#pragma once

#include <cstdint>

#include "fs/value/ids.h"

namespace coffer {

struct Attributes {
  InodeId inode;
  std::uint32_t mode = 0;  ///< With the type: S_IFMT.
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;
  std::uint64_t bytes = 0;            ///< Length of the content; of a symbolic link, of its target.
  std::uint64_t allocated_bytes = 0;  ///< Without holes.
  std::uint32_t links = 0;            ///< Of a folder: 2 and one for each folder in it. 0: unlinked, still open.
  std::int64_t atime_ns = 0;          ///< Times are nanoseconds since 1970, UTC; they may be negative.
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::int64_t btime_ns = 0;

  friend bool operator==(const Attributes&, const Attributes&) = default;
};

}  // namespace coffer
