// Cuts a buffered range into pieces through a window, so that a long range is never in one stretch of memory twice.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/crypto/wipe.h"
#include "fs/buffer/buffer.h"
#include "fs/chunk/chunker.h"
#include "fs/value/extent.h"
#include "fs/value/ids.h"

namespace coffer::commit {

/// As a rule a cut is found within a quarter of it.
inline constexpr std::size_t kSeekBytesMax = 4 * limits::kPieceBytesMax;

struct Piece {
  FileOffset at;
  ByteView bytes;
};

/// Thread-safe: each call has a Chunker of its own.
class RangeCutter {
 public:
  /// Takes some pieces that lie one behind another; false to stop behind them. The views are valid during the call.
  using Take = std::function<Result<bool>(std::span<const Piece> pieces)>;

  /// `chunker_key` must outlive it.
  explicit RangeCutter(const crypto::Secret& chunker_key) : chunker_key_(chunker_key) {}

  /// Gives `take` the pieces of `range` from `from` on in order, as many at once as end in one window: the same pieces
  /// as one cut over all of it. With `to_the_end` false, bytes behind the last certain cut are left. True if `take`
  /// stopped it before the end.
  Result<bool> cut(const buffer::DirtyRange& range, std::uint64_t from, bool to_the_end, const Take& take);

  /// The first place in `range` that is a cut whatever the file holds before it (chunk::Chunker::synchronize()). Where
  /// content as long as kSeekBytesMax does not say, `range`'s begin; nullopt where more of it may yet do.
  std::optional<std::uint64_t> first_certain_cut(const buffer::DirtyRange& range);

 private:
  std::unique_ptr<chunk::Chunker> borrow();
  void give_back(std::unique_ptr<chunk::Chunker> chunker);

  const crypto::Secret& chunker_key_;
  Mutex mutex_;
  std::vector<std::unique_ptr<chunk::Chunker>> idle_ GUARDED_BY(mutex_);
};

}  // namespace coffer::commit
