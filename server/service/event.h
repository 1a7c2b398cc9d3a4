// Lets coroutines wait for something that other threads bring about, without holding a thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <vector>

#include "common/base/mutex.h"

namespace coffer::service {

/// One coroutine's place in the queue of an Event. Made before the state is looked at, so that what happens between
/// the look and wait() is not missed.
class Waiter {
 public:
  explicit Waiter(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  /// Returns when the event has happened since the Waiter was made, or `deadline` has passed. On the executor only.
  boost::asio::awaitable<void> wait(std::chrono::steady_clock::time_point deadline);
  /// Ends wait(), now or when it comes. From any thread.
  static void wake(const std::shared_ptr<Waiter>& waiter);

 private:
  boost::asio::steady_timer timer_;
  bool woken_ = false;  ///< On the executor only.
};

/// Thread-safe.
class Event {
 public:
  std::shared_ptr<Waiter> enter(const boost::asio::any_io_executor& executor);
  /// Wakes everyone who has entered.
  void happened();

 private:
  Mutex mutex_;
  std::vector<std::weak_ptr<Waiter>> waiters_ GUARDED_BY(mutex_);
};

}  // namespace coffer::service
