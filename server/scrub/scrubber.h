// Reads everything back in time, and compares: the scrub of a running server.
//
//     each vault: what the log names and the store lacks is wanted
//     each vault that is due: every chunk, in the order of the disk, at a limited rate ─▶ damaged ones are set aside,
//                                                                                          and wanted
//
// What is wanted is asked back from clients (server/store/health.h). Where a round is interrupted it goes on where it
// was.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "server/oplog/oplog.h"
#include "server/scrub/scrub_record.h"
#include "server/store/chunk_store.h"
#include "server/store/health.h"

namespace coffer::scrub {

struct ScrubOptions {
  std::uint64_t bytes_per_second = 8u << 20;        ///< Of all vaults together; 0: nothing is read.
  std::chrono::hours every = std::chrono::days(7);  ///< From the beginning of a round to that of the next.
};

/// One vault, as long as `keep` lives.
struct Target {
  std::shared_ptr<void> keep;
  std::string name;    ///< For the log.
  std::string folder;  ///< Of the vault.
  store::ChunkStore& chunks;
  oplog::OpLog& log;
  store::Health& health;
  /// Reads one chunk back; what is not good, and needed, is wanted from then on.
  std::function<Result<pack::Soundness>(const object::ChunkId&)> examine;
};

/// Asks for all vaults; one that cannot be opened is left out, and logged by whoever is asked.
using Targets = std::function<std::vector<Target>()>;

/// Thread-safe; one thread of its own between start() and stop().
class Scrubber {
 public:
  Scrubber(Targets targets, os::Disk& disk, os::Clock& clock, const ScrubOptions& options);
  ~Scrubber();
  void start();
  void stop();

  /// One look at every vault: the dates become known, what is missing wanted, and those that are due are read. Returns
  /// when nothing is due, or after stop(). Called by the thread; by a test instead of start().
  void run_once();

 private:
  void run();
  void look_for_missing(const Target& target);
  void scrub(const Target& target, ScrubRecord record);
  bool is_due(const ScrubRecord& record) const;
  bool wait(std::chrono::nanoseconds time);
  bool is_stopping() const;

  const Targets targets_;
  os::Disk& disk_;
  os::Clock& clock_;
  const ScrubOptions options_;
  mutable Mutex mutex_;
  Condition wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace coffer::scrub
