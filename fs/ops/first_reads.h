// Reads that the kernel asks for twice.
//
// A buffered read(2) makes the kernel (6.18) ask in the background first, for the pages that it needs and for some
// beyond them. Whoever waits for those can be killed, but no signal handler runs. Where that fails the kernel asks once
// more, for one page, and this time tells us of signals (FUSE_INTERRUPT). So the first question gets kFirstTime, and
// the second one all the time that there is: a signal is answered within a second, and the whole takes no longer than
// read_timeout and a second. What the first one has asked the server for goes on and is there for the second.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/base/mutex.h"
#include "fs/value/extent.h"
#include "fs/value/ids.h"

namespace coffer::ops {

/// Thread-safe. Has a thread from the first Limit on.
class FirstReads {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Key = std::pair<Time, std::uint64_t>;  ///< When, and a number of its own.

  explicit FirstReads(std::chrono::milliseconds first_time = std::chrono::seconds(1)) : first_time_(first_time) {}
  ~FirstReads();
  FirstReads(const FirstReads&) = delete;
  FirstReads& operator=(const FirstReads&) = delete;

  /// Requests `stop` when the first question's time is over, unless it is destroyed before.
  class Limit {
   public:
    Limit(FirstReads& reads, std::stop_source stop) : reads_(reads), key_(reads.limit(std::move(stop))) {}
    ~Limit() { reads_.unlimit(key_); }
    Limit(const Limit&) = delete;
    Limit& operator=(const Limit&) = delete;

   private:
    FirstReads& reads_;
    const Key key_;
  };

  /// A first question ran out of its time.
  void failed(InodeId inode, Range range);
  /// Whether this is the second question after such a one.
  bool is_second(InodeId inode, std::uint64_t at);

 private:
  struct Failed {
    Time at;
    InodeId inode;
    Range range;
  };

  Key limit(std::stop_source stop);
  void unlimit(const Key& key);
  void run();

  const std::chrono::milliseconds first_time_;
  Mutex mutex_;
  Condition changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::map<Key, std::stop_source> limits_ GUARDED_BY(mutex_);
  std::uint64_t last_number_ GUARDED_BY(mutex_) = 0;
  std::list<Failed> failed_ GUARDED_BY(mutex_);  // Oldest first.
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace coffer::ops
