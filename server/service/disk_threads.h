// The threads on which requests wait for a disk.
//
// Clients take turns, one piece of work each, and none has all threads at once: whoever asks for much is served as fast
// as ever while nobody else asks, and delays others by the work that is under way and no more.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/object/ids.h"

namespace coffer::service {

/// Thread-safe. The destructor runs what was given, and joins.
class DiskThreads {
 public:
  /// At least 2, so that one is left for others.
  explicit DiskThreads(unsigned thread_count);
  ~DiskThreads();
  DiskThreads(const DiskThreads&) = delete;
  DiskThreads& operator=(const DiskThreads&) = delete;

  /// Runs `work`, which does not throw, once. How much one client may have waiting here is its window's to bound.
  void run(const object::ClientId& who, std::function<void()> work);

 private:
  struct Queue {
    std::deque<std::function<void()>> work;
    unsigned running = 0;
    bool has_turn = false;  ///< It is in turns_.
  };

  void loop();
  void give_turn(const object::ClientId& who, Queue& queue) REQUIRES(mutex_);

  const unsigned running_max_;  ///< Of one client.
  Mutex mutex_;
  Condition wake_;
  std::map<object::ClientId, Queue> queues_ GUARDED_BY(mutex_);  ///< Of clients with work waiting or running.
  std::deque<object::ClientId> turns_ GUARDED_BY(mutex_);        ///< Who may have a piece of work begun, in this order.
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

/// Whose work it is, and where it is done.
struct DiskTurn {
  DiskThreads& threads;
  object::ClientId who;
};

}  // namespace coffer::service
