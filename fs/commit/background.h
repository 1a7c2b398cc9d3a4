// What the Committer does without being asked: chunks long runs while they are still being written, makes room when the
// buffer fills up, and seals open chunks that have waited long enough.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/clock.h"
#include "fs/value/ids.h"

namespace coffer::commit {

/// Thread-safe.
class Background {
 public:
  struct Work {
    std::function<Result<void>(InodeId)> commit_run;        ///< What can be cut of its long runs.
    std::function<std::optional<InodeId>()> find_pressing;  ///< A file whose bytes must go; none: no pressure. Quick.
    std::function<Result<void>(InodeId)> make_room;         ///< Gets them out of the buffer.
    std::function<bool()> has_room;                         ///< For all that is buffered, in the spool.
    std::function<Result<void>(InodeId)> flush;             ///< All that is buffered of the file.
    std::function<Result<void>()> seal_due;                 ///< Open chunks.
    std::function<std::optional<os::SteadyTime>()> next_due;
  };

  explicit Background(Work work) : work_(std::move(work)) {}
  ~Background() { stop(); }

  void start(unsigned thread_count);
  void stop();

  /// The file has a long run.
  void commit_soon(InodeId inode);
  /// A flush of the file failed: it is tried again when there is room, until it goes well.
  void flush_later(InodeId inode);
  /// The buffer is filling up, or an open chunk is due sooner.
  void wake();

 private:
  void commit_loop();
  void seal_loop();
  std::optional<InodeId> idle_run() const REQUIRES(mutex_);
  std::optional<Result<void>> commit_next();
  std::optional<Result<void>> flush_next();

  const Work work_;
  Mutex mutex_;
  Condition changed_;
  bool stopping_ GUARDED_BY(mutex_) = true;
  std::uint64_t wake_count_ GUARDED_BY(mutex_) = 0;
  std::set<InodeId> runs_ GUARDED_BY(mutex_);  // Files with long runs that nobody works on yet.
  std::set<InodeId> busy_ GUARDED_BY(mutex_);
  std::set<InodeId> unflushed_ GUARDED_BY(mutex_);  // Their flush failed.
  std::vector<std::thread> threads_;
};

}  // namespace coffer::commit
