#include "fs/ops/readers.h"

#include <poll.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/os/long_wait.h"

namespace coffer::ops {
namespace {

using std::chrono::steady_clock;

/// How long a lead looks for the next request before it sleeps.
constexpr std::chrono::microseconds kLookTime{60};
constexpr int kReadersMax = 2;
/// An answer at which another request waits already counts so much, one at which none does takes one away, and from
/// kCrowdMin on there are several programs, or a large file. One program alone has one in nine: after a RELEASE, which
/// it does not wait for.
constexpr int kCrowdStep = 3;
constexpr int kCrowdMin = 6;
/// So many requests in a row that do not come soon after an answer are no pauses in a series any more.
constexpr int kOutsideMax = 8;
/// How many intervals without a request end the time of a lead.
constexpr int kQuietIntervalsMax = 10;

timespec in(std::chrono::nanoseconds time) {
  time += steady_clock::now().time_since_epoch();
  return {.tv_sec = time.count() / std::nano::den, .tv_nsec = time.count() % std::nano::den};
}

bool is_readable(int device) {
  pollfd about{.fd = device, .events = POLLIN, .revents = 0};
  return ::poll(&about, 1, 0) > 0;
}

void look_for_request(int device) {
  const steady_clock::time_point end = steady_clock::now() + kLookTime;
  while (!is_readable(device) && steady_clock::now() < end) {
  }
}

}  // namespace

/// A thread that waits beside the lead until it is called, or sees that it is needed.
class Readers::StandIn {
 public:
  explicit StandIn(Readers& readers) : readers_(readers) { ::sem_init(&called_, 0, 0); }
  /// Also of a thread that is cancelled.
  ~StandIn() {
    {
      const MutexLock lock(readers_.mutex_);
      if (readers_.stand_in_ == this) readers_.stand_in_ = nullptr;
    }
    ::sem_destroy(&called_);
  }
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  /// Under the mutex of the readers, as is has_turn().
  void call() {
    is_called_ = true;
    ::sem_post(&called_);
  }

  /// Returns when it is one of those that read.
  void wait() {
    bool has_turn = false;
    while (!has_turn) {
      const timespec end = in(readers_.options_.watch_interval);
      ::sem_clockwait(&called_, CLOCK_MONOTONIC, &end);
      const MutexLock lock(readers_.mutex_);
      quiet_intervals_ = std::exchange(seen_, readers_.taken_) == readers_.taken_ ? quiet_intervals_ + 1 : 0;
      has_turn = is_called_ || readers_.is_wanting(quiet_intervals_);
    }
  }

 private:
  Readers& readers_;
  sem_t called_{};
  std::uint64_t seen_ = 0;  // Of the requests that were taken: the first look finds some.
  int quiet_intervals_ = 0;
  bool is_called_ = false;
};

Result<void> Readers::open() {
  turns_ = os::Fd(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
  return turns_.is_open() ? Result<void>() : os_error(errno, "FUSE");
}

ssize_t Readers::read(int device, void* into, std::size_t size) {
  os::on_long_wait([](void* readers) { static_cast<Readers*>(readers)->about_to_wait(); }, this);
  const bool looks = enter();
  if (looks) look_for_request(device);
  const ssize_t got = ::read(device, into, size);
  const int error = errno;
  leave(got > 0);
  errno = error;
  return got;
}

/// Returns when it is the caller's turn: whether the next request is to be looked for before sleeping.
bool Readers::enter() {
  {
    const MutexLock lock(mutex_);
    answered_at_ = steady_clock::now();
    const bool was_lead = lead_ == std::this_thread::get_id();
    if (was_lead) lead_.reset();  // It is one of those that read still.
    if (was_lead || may_read()) return is_next_expected();
  }
  wait_for_turn();
  const MutexLock lock(mutex_);
  return is_next_expected();
}

bool Readers::is_next_expected() const { return in_series_ && reading_ == 1; }

/// Whether the caller is one of those that read, from now on.
bool Readers::may_read() {
  const bool may = reading_ < (in_series_ || stand_in_ != nullptr ? 1 : kReadersMax);
  if (may) ++reading_;
  return may;
}

void Readers::wait_for_turn() {
  StandIn stand_in(*this);
  bool is_stand_in = false;
  {
    const MutexLock lock(mutex_);
    if (may_read()) return;  // Someone has left since.
    is_stand_in = in_series_ && stand_in_ == nullptr;
    if (is_stand_in) {
      stand_in_ = &stand_in;
    } else {
      ++waiting_;
    }
  }
  if (is_stand_in) return stand_in.wait();
  eventfd_t turn = 0;
  while (::eventfd_read(turns_.get(), &turn) < 0 && errno == EINTR) {
  }
}

/// The stand-in's question after so many intervals in which no request was taken. If so, it is one of those that read.
bool Readers::is_wanting(int quiet_intervals) {
  if (quiet_intervals < (lead_ ? 1 : kQuietIntervalsMax)) return false;
  if (lead_) {
    lead_.reset();  // It does not come back: its place is given away.
  } else {
    ++reading_;  // Besides the lead, which sleeps.
    in_series_ = false;
  }
  stand_in_ = nullptr;
  return true;
}

/// Whoever asked for this still waits: what can be read now is another one's.
void Readers::about_to_answer(int device) {
  {
    const MutexLock lock(mutex_);
    if (lead_ != std::this_thread::get_id()) return;
  }
  const bool is_one_waiting = is_readable(device);
  const MutexLock lock(mutex_);
  crowd_ = std::max(0, is_one_waiting ? crowd_ + kCrowdStep : crowd_ - 1);
  if (crowd_ < kCrowdMin) return;
  crowd_ = 0;
  crowded_until_ = steady_clock::now() + options_.crowd_time;
}

void Readers::leave(bool has_request) {
  const MutexLock lock(mutex_);
  const steady_clock::time_point now = steady_clock::now();
  const bool is_crowded = now < crowded_until_;
  in_series_ = options_.knows_series && has_request && !is_crowded && now - answered_at_ <= options_.series_gap;
  outside_series_ = in_series_ ? 0 : outside_series_ + 1;
  if (has_request) ++taken_;
  const bool may_lead = has_request && !is_crowded && outside_series_ < kOutsideMax;
  if (may_lead && reading_ == 1 && stand_in_ != nullptr) {
    lead_ = std::this_thread::get_id();
  } else {
    pass_turn();
  }
}

void Readers::about_to_wait() {
  const MutexLock lock(mutex_);
  if (lead_ != std::this_thread::get_id()) return;
  lead_.reset();
  pass_turn();
}

/// One of those that read does not any more: if nobody is left, somebody who waits is.
void Readers::pass_turn() {
  if (--reading_ > 0) return;
  if (stand_in_ != nullptr) {
    ++reading_;
    std::exchange(stand_in_, nullptr)->call();
  } else if (waiting_ > 0) {
    ++reading_;
    --waiting_;
    ::eventfd_write(turns_.get(), 1);
  }
}

}  // namespace coffer::ops
