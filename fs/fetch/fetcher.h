// Finds the plain bytes that extents name: an open chunk, decoded frames in memory, the spool, the server, in this
// order; and asks for what will be read next before it is read.
//
// A chunk is asked from the server once, however many wait for it. What comes is decoded for those who wait and put
// into the spool by a thread of the Fetcher's own. Read-ahead:
//
//   - A file that is read on from where the last read ended: the chunks that follow in it, twice as far each time, up
//     to kReadAheadBytesMax.
//   - Chunks that are walked in the order in which they were made, as when a folder of small files is read: the
//     next ones, whatever file they belong to.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/os/clock.h"
#include "fs/fetch/chunk_source.h"
#include "fs/meta/tree.h"
#include "fs/seal/sealer.h"
#include "fs/spool/plain_chunks.h"
#include "fs/spool/spool.h"
#include "fs/value/ids.h"

namespace coffer::fetch {

/// Enough to fill 1 Gbit/s at 130 ms.
inline constexpr std::size_t kReadAheadBytesMax = 16u << 20;

/// All must outlive the Fetcher.
struct Parts {
  meta::Tree& tree;
  spool::Spool& spool;
  spool::PlainChunks& open_chunks;
  const seal::Sealer& sealer;
  ChunkSource& source;
};

struct FetcherOptions {
  std::size_t decoded_bytes_max = limits::kDecodedBytesMax;
  std::size_t read_ahead_bytes_max = kReadAheadBytesMax;  ///< 0: none.
};

struct FetchProgress {
  std::uint64_t chunks_fetched = 0;  ///< From the server, since start.
  std::uint64_t bytes_fetched = 0;
  std::uint64_t requests_in_flight = 0;
  std::uint64_t bytes_in_flight = 0;  ///< Sealed bytes that were asked for and are not kept yet.
};

/// Thread-safe. Readers block until the bytes are there.
///
/// A read fails with Fault::offline (ETIMEDOUT) at its deadline, Fault::stopped as soon as its `stop` is requested or
/// the Fetcher stopped, Fault::corrupt where no good copy can be had; the chunk's id is logged then.
class Fetcher {
 public:
  Fetcher(const Parts& parts, const FetcherOptions& options);
  ~Fetcher();
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  void start();
  /// Waiting readers get Fault::stopped; answers that come later are ignored.
  void stop();

  /// Fills `into` with what the tree says of the file from `at` on: extents, and zeros where there are none. The caller
  /// keeps it within the file, and lays over it what Committer::read_buffered() found *before*. Extents that are
  /// replaced while it reads are asked for again.
  Result<void> read(InodeId inode, FileOffset at, MutableByteView into, os::SteadyTime deadline,
                    const std::stop_token& stop = {});
  /// Fills `into` with plain bytes of one chunk, from `offset` on. answer(ESTALE) where the tree no longer knows it.
  Result<void> read_chunk(ChunkKey chunk, std::uint32_t offset, MutableByteView into, os::SteadyTime deadline,
                          const std::stop_token& stop = {});

  /// Asks for chunks that are neither here nor on their way, as far as the read-ahead budget goes. Does not block on
  /// the network.
  void prefetch(std::span<const ChunkKey> chunks);
  /// What was decoded is dropped, as `coffer spool clear` wants it.
  void forget_decoded();

  FetchProgress progress() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::fetch
