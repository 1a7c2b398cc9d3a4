// A wake-up between coroutines of one executor.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace coffer::rpc {

/// Errors come back as values: `const auto [code, bytes] = co_await socket.async_read_some(buffer, kTuple);`
inline constexpr auto kTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

/// Wake-ups are not kept and may be spurious: wait in a loop over a condition that is checked on the same executor.
class Event {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Event(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  /// Until notify() or `deadline`. Other waiters of the same Event wake up too.
  boost::asio::awaitable<void> wait(Time deadline = Time::max()) {
    timer_.expires_at(deadline);
    co_await timer_.async_wait(kTuple);
  }
  void notify() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace coffer::rpc
