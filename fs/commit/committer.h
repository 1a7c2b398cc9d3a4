// The line from written bytes to what is owed: buffer, chunk, seal, spool, meta, in this order.
//
//     write ─▶ Buffer ─▶ Chunker ─▶ pieces the vault has ────────────────────────┐
//                               └─▶ plain chunks of 1 MiB ─ Sealer ─ Spool ─▶ Tree::record ─▶ forgotten by the Buffer
//                               └─▶ the last rest, and small files: the open chunk, staged, sealed with others
//
// Reads go the other way: bytes that are buffered come from here, the rest from the tree and fs/fetch.
//
// Locks, in the order in which they are taken: the inode's, the open chunks', those inside Tree, Spool and Buffer. No
// thread waits for room while it holds one, so whoever makes room is never waited for by whoever needs it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/os/clock.h"
#include "fs/buffer/buffer.h"
#include "fs/chunk/chunker.h"
#include "fs/chunk/piece_hash.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "fs/spool/plain_chunks.h"
#include "fs/spool/spool.h"
#include "fs/spool/staging.h"
#include "fs/value/attributes.h"
#include "fs/value/chunk_row.h"
#include "fs/value/extent.h"
#include "fs/value/ids.h"

namespace coffer::commit {

/// All must outlive the Committer.
struct Parts {
  meta::Tree& tree;
  spool::Spool& spool;
  spool::Staging& staging;
  const seal::Sealer& sealer;
  const crypto::Secret& chunker_key;  ///< VaultKey::derive(kChunkerLabel)
  const chunk::PieceHasher& pieces;
  os::Clock& clock;
};

/// A while in which a link that is slow makes room, and short enough for a program that shall say what is wrong.
inline constexpr std::chrono::milliseconds kFullWait{30'000};

struct CommitterOptions {
  std::size_t buffer_bytes_max = limits::kBufferBytesMax;
  std::size_t run_bytes = limits::kBufferRunBytes;   ///< A run this long is chunked before its close().
  std::chrono::milliseconds open_chunk_delay{1000};  ///< How long an open chunk waits for more.
  std::chrono::milliseconds full_wait = kFullWait;   ///< How long write() waits for room in the spool.
  unsigned sealing_threads = 0;                      ///< 0: one for each core.
};

/// What flush() does with a last rest that fills no chunk.
enum class Last {
  batched,  ///< It waits for other small content, and is sealed with it.
  sealed,   ///< It is sealed at once where nothing waits: the caller waits for it, or makes it power-safe.
};

/// How soon what has become owed should be on its way.
enum class Hurry {
  now,
  soon,  ///< Within a second or so: it may be replaced or removed before.
};

/// What write() does with the file's mtime.
enum class WriteTimes {
  now,        ///< It becomes now.
  unchanged,  ///< Whoever writes says it by change(), as a kernel with a writeback cache does.
};

/// Thread-safe.
class Committer : public spool::PlainChunks {
 public:
  Committer(const Parts& parts, const CommitterOptions& options);
  ~Committer() override;
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  /// Called, on any thread, when a chunk or a change of the tree has become owed. Set before start(); must not block.
  /// Not for what flush() seals for its caller, who waits for it, or calls make_power_safe().
  void on_owed(std::function<void(Hurry)> hook);

  /// Takes up what the last run left: staged open chunks are sealed, owed chunks are looked for in the spool (see
  /// damage()). Then starts the threads. Fault::local_io, Fault::full.
  Result<void> start();
  /// Stops the threads; waiting writers get Fault::stopped. Buffered bytes are not flushed: call flush_all() before.
  void stop();

  // -- writing
  /// The bytes are in memory when it returns. Waits for room up to `full_wait`: then Fault::full; Fault::stopped on
  /// `stop`.
  Result<void> write(InodeId inode, FileOffset at, ByteView bytes, const std::stop_token& stop = {},
                     WriteTimes times = WriteTimes::now);
  /// Whether a write() now would wait for the spool. A kernel that takes writes into its pages is to ask before each of
  /// them from here on: what it holds back has just room.
  bool is_short_of_room();
  /// Everything written to `inode` before the call is `spooled` (perhaps in a staged open chunk). After a failure all
  /// of it is still buffered; it is tried again when there is room, and by the next flush.
  Result<Mark> flush(InodeId inode, Last last = Last::batched);
  /// flush() for every file, then seal_open_chunks(). Goes on past failures and returns the first.
  Result<void> flush_all();
  /// What is batched is sealed, spooled and owed when it returns.
  Result<void> seal_open_chunks();
  /// fsync=local: all that was flushed before, and all that the tree was told, survives a power cut when it returns.
  Result<void> make_power_safe();

  // -- attributes of files that may have buffered bytes; all calls that set size or mtime of a file come here
  /// Tree::change(), with buffered bytes cut by a new size, and a buffered mtime replaced by a new one.
  Result<Attributes> change(InodeId inode, const meta::AttributeChange& change);
  /// Tree::attributes(), with size and mtime of what is buffered.
  Result<Attributes> attributes(InodeId inode);
  /// Only what is buffered: ask before the tree, and lay it over what the tree says.
  struct Buffered {
    std::uint64_t bytes = 0;  ///< The highest buffered end, 0 where nothing is.
    std::optional<std::int64_t> mtime_ns;
  };
  Buffered buffered(InodeId inode) const;
  /// Tree::record() of extents that are recorded already elsewhere, or of holes, for calls that move or free content
  /// without writing it: what is buffered in the ranges that it replaces is dropped.
  Result<Mark> record(InodeId inode, const meta::Content& content);
  /// Forgets all that is buffered: the file was removed and nobody has it open.
  void discard(InodeId inode);

  // -- reading
  /// Buffered bytes; ask before the tree's extents. See buffer::Buffer::read().
  std::vector<Range> read_buffered(InodeId inode, FileOffset at, MutableByteView into) const;
  Result<bool> read_open(ChunkKey chunk, std::uint32_t offset, MutableByteView into) override;

  // -- the tree's events
  /// The tree no longer knows the chunk: its staged or spooled bytes go. Called inside no transaction.
  void chunk_dropped(const ChunkRow& chunk);

  // -- for status
  std::size_t buffered_bytes() const;
  std::size_t buffered_files() const;
  std::uint64_t open_chunk_bytes() const;
  /// A sentence for each chunk that is owed and whose only copy is gone; found at start().
  std::vector<std::string> damage() const;
  /// The chunks of damage(): what start() found to be owed, and not, or not whole, on this machine any more.
  std::vector<ChunkRow> lost_chunks() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::commit
