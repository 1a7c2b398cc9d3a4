// Written bytes of open files, in memory, until they are spooled and recorded.
//
// Each file has blocks that do not overlap, in order of their offsets. A write that goes on where a block ends is
// appended to it while its memory has room; blocks grow from the size of a write to kBlockBytesMax, so no run is ever
// copied a second time. A newer write trims what it covers. snapshot() closes the blocks that are there: later
// writes go into new blocks with a higher version, so forget() of the snapshot takes nothing that came after it.
//
// Who reads looks here first and asks the tree for the rest only afterwards: between the two, bytes may move from
// here to there, never back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/clock.h"
#include "fs/buffer/block.h"
#include "fs/value/extent.h"
#include "fs/value/ids.h"

namespace coffer::buffer {

/// Neighbouring blocks of one file without a gap. Shares their memory.
class DirtyRange {
 public:
  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return end_; }
  std::uint64_t bytes() const { return end_ - begin_; }
  /// Copies what lies at `offset`, an offset in the file; all of `into` is inside the range.
  void copy_to(std::uint64_t offset, MutableByteView into) const;
  /// Lets go of the memory below `offset`.
  void drop_before(std::uint64_t offset);

 private:
  friend class Buffer;
  std::uint64_t begin_ = 0, end_ = 0;
  std::map<std::uint64_t, Block> blocks_;
};

/// What was written to one file up to a moment. The bytes stay readable in the Buffer until forget().
struct DirtyFile {
  InodeId inode;
  std::uint64_t version = 0;
  std::vector<DirtyRange> ranges;        ///< Ascending, with gaps between them.
  std::optional<std::int64_t> mtime_ns;  ///< Of the last write, unless mtime was set explicitly since.
  std::uint64_t bytes() const;
  /// Lets go of the memory below `offset`.
  void drop_before(std::uint64_t offset);
};

struct Summary {
  std::uint64_t end = 0;                 ///< The highest buffered end.
  std::uint64_t bytes = 0;               ///< Buffered bytes.
  std::optional<std::int64_t> mtime_ns;  ///< As in DirtyFile.
};

/// What a write found and left.
struct Written {
  bool accepted;            ///< False: no room; nothing was taken.
  std::uint64_t run_bytes;  ///< Contiguous buffered bytes around the write.
};

/// Thread-safe. Nothing blocks but wait_for_room(). A snapshot counts against the budget until it is destroyed.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes_max = limits::kBufferBytesMax);

  /// Takes a copy of `bytes` (1 … bytes_max of them) at `at`. `mtime_ns`, where given, becomes the file's buffered
  /// mtime.
  Written write(InodeId inode, FileOffset at, ByteView bytes, std::optional<std::int64_t> mtime_ns);
  /// Blocks until `bytes` more are likely to be taken: Fault::full at `deadline`, Fault::stopped on `stop`.
  Result<void> wait_for_room(std::size_t bytes, os::SteadyTime deadline, const std::stop_token& stop);

  /// Copies what is buffered of the range that begins at `at` into `into`, leaves the rest of `into` as it is, and says
  /// which parts (ascending, offsets in the file) it filled.
  std::vector<Range> read(InodeId inode, FileOffset at, MutableByteView into) const;

  /// All that is buffered of the file; no ranges where it is nothing.
  DirtyFile snapshot(InodeId inode);
  /// Drops what `range`'s blocks of that snapshot still hold inside begin … end - 1; what was written later stays.
  void forget(InodeId inode, std::uint64_t version, Range range);

  /// Drops what lies at or beyond `bytes`.
  void truncate(InodeId inode, std::uint64_t bytes);
  /// Drops what lies inside; a write may come again.
  void punch(InodeId inode, Range range);
  /// Drops the file.
  void discard(InodeId inode);

  /// Zeros where nothing is buffered. The tree's size and mtime may lag behind.
  Summary summary(InodeId inode) const;
  /// mtime was set explicitly: the writes so far no longer say it.
  void forget_mtime(InodeId inode);
  std::vector<InodeId> inodes() const;                        ///< Files with buffered bytes.
  std::optional<InodeId> largest() const;                     ///< The one with most.
  std::size_t used_bytes() const { return budget_->used(); }  ///< Memory, that of living snapshots included.
  std::size_t bytes_max() const { return budget_->bytes_max(); }
  std::uint64_t freed_bytes() const { return budget_->given_back(); }  ///< Memory, since the start: it never falls.

 private:
  struct File {
    std::map<std::uint64_t, Block> blocks;  // By offset; they do not overlap.
    std::uint64_t version = 0;              // Of blocks made now; blocks of older versions are in a snapshot.
    std::uint64_t bytes = 0;
    std::optional<std::int64_t> mtime_ns;
  };

  static void cut_out(File& file, Range range, std::uint64_t version_max);
  static void put(File& file, std::uint64_t at, ByteView bytes, const std::shared_ptr<Budget>& budget);
  void drop_if_empty(InodeId inode) REQUIRES(mutex_);

  std::shared_ptr<Budget> budget_;
  mutable Mutex mutex_;
  std::unordered_map<InodeId, File> files_ GUARDED_BY(mutex_);  // Those with blocks.
  // Over all files, and never used twice: a snapshot of a file that was emptied since must not match a later block.
  std::uint64_t last_version_ GUARDED_BY(mutex_) = 0;
};

}  // namespace coffer::buffer
