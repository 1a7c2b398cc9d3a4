// The coroutines that one object has started, and their end.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <cstddef>
#include <exception>
#include <utility>

#include "net/rpc/event.h"

namespace coffer::rpc {

/// An exception that leaves a task is logged: it comes from a library, and the task's connection ends with it.
void log_exception(std::exception_ptr exception) noexcept;

/// Used on one executor. The owner makes its tasks end, and joins them before the group goes.
class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor) : executor_(std::move(executor)), ended_(executor_) {}

  void start(boost::asio::awaitable<void> task) {
    ++count_;
    boost::asio::co_spawn(executor_, std::move(task), [this](std::exception_ptr exception) {
      if (exception) log_exception(std::move(exception));
      if (--count_ == 0) ended_.notify();
    });
  }
  /// Returns when no task is left.
  boost::asio::awaitable<void> join() {
    while (count_ > 0) co_await ended_.wait();
  }

 private:
  boost::asio::any_io_executor executor_;
  Event ended_;
  std::size_t count_ = 0;
};

}  // namespace coffer::rpc
