// Which of libfuse's threads read the next request, and how they wait for it.
//
// libfuse lets every idle thread wait in read(2), and the kernel wakes the one that has waited longest: requests that
// come one after the other go round all of them, and each finds cold caches. So two wait there, one of which is left
// while the other answers, and the rest wait here until nobody is left.
//
// A program that makes many files asks for one thing after the other, each as soon as it has the last answer. To wake a
// thread for each costs more than most answers do (25 µs on a virtual machine). So in such a series only one thread,
// the lead, reads and answers, and looks for the next request for a moment before it sleeps. A stand-in sees to it that
// a lead that does not come back soon is replaced; a lead that is about to wait leaves the reading to the stand-in at
// once; and while requests pile up there is no lead.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/fd.h"

namespace coffer::ops {

/// Thread-safe.
class Readers {
 public:
  struct Options {
    /// With one processor a lead that looks would only keep the program from asking.
    bool knows_series = std::thread::hardware_concurrency() > 1;
    /// What comes this soon after the last answer makes a series.
    std::chrono::microseconds series_gap{100};
    /// A lead that has not come back after one to two of these is replaced.
    std::chrono::milliseconds watch_interval{2};
    /// How long there is no lead after requests have piled up: once several threads answer, nothing is seen to wait.
    std::chrono::milliseconds crowd_time{100};
  };

  explicit Readers(const Options& options) : options_(options) {}

  /// To be called before all else.
  Result<void> open();

  /// read(2), when it is the caller's turn. A cancellation point (pthreads(7)), as read(2) is; a thread that is
  /// cancelled here is not replaced: the session ends then.
  ssize_t read(int device, void* into, std::size_t size);

  /// The calling thread has a request whose answer will take long: another one reads meanwhile.
  void about_to_wait();
  /// To be called by the thread that read a request, before it answers.
  void about_to_answer(int device);

 private:
  class StandIn;

  bool enter();
  bool is_next_expected() const REQUIRES(mutex_);
  bool may_read() REQUIRES(mutex_);
  void wait_for_turn();
  void leave(bool has_request);
  void pass_turn() REQUIRES(mutex_);
  bool is_wanting(int quiet_intervals) REQUIRES(mutex_);

  const Options options_;
  os::Fd turns_;  // An eventfd(2) that counts how many of those that wait may go on.
  Mutex mutex_;
  int reading_ GUARDED_BY(mutex_) = 0;  // Also those that may go on and have not yet, and the lead.
  int waiting_ GUARDED_BY(mutex_) = 0;
  bool in_series_ GUARDED_BY(mutex_) = false;
  int outside_series_ GUARDED_BY(mutex_) = 0;  // Requests in a row.
  int crowd_ GUARDED_BY(mutex_) = 0;           // How many requests wait behind others, see kCrowdStep.
  std::chrono::steady_clock::time_point crowded_until_ GUARDED_BY(mutex_);
  std::uint64_t taken_ GUARDED_BY(mutex_) = 0;  // Requests.
  std::chrono::steady_clock::time_point answered_at_ GUARDED_BY(mutex_);
  std::optional<std::thread::id> lead_ GUARDED_BY(mutex_);  // While it answers.
  StandIn* stand_in_ GUARDED_BY(mutex_) = nullptr;
};

}  // namespace coffer::ops
