// Takes work that waits for a disk off the threads that serve the network.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "common/base/result.h"
#include "server/service/disk_threads.h"

namespace coffer::service {

template <class T>
using Done = std::function<void(Result<T>)>;

/// Calls `start` on a disk thread when it is its client's turn, and goes on with what it gives to its Done, at once or
/// later, from any thread; it calls the Done exactly once and does not throw afterwards. What `start` throws is
/// Fault::local_io.
template <class T>
boost::asio::awaitable<Result<T>> off_io(DiskTurn turn, std::function<void(Done<T>)> start) {
  namespace asio = boost::asio;
  auto initiate = [turn](auto handler, std::function<void(Done<T>)> work) {
    auto executor = asio::get_associated_executor(handler);
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    Done<T> done = [executor, shared](Result<T> result) {
      auto resume = [shared, result = std::move(result)]() mutable { std::move (*shared)(std::move(result)); };
      asio::post(executor, std::move(resume));
    };
    turn.threads.run(turn.who, [work = std::move(work), done = std::move(done)] {
      try {
        work(done);
      } catch (const std::exception& e) {
        done(Error{Fault::local_io, 0, e.what()});
      }
    });
  };
  constexpr asio::use_awaitable_t<> kToken;
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(Result<T>)>(std::move(initiate), kToken,
                                                                                           std::move(start));
}

/// Runs `work`, which returns a Result, on a disk thread.
template <class Work>
auto on_disk(DiskTurn turn, Work work)
    -> boost::asio::awaitable<Result<typename std::invoke_result_t<Work>::value_type>> {
  using T = typename std::invoke_result_t<Work>::value_type;
  auto shared = std::make_shared<Work>(std::move(work));
  std::function<void(Done<T>)> start = [shared](const Done<T>& done) { done((*shared)()); };
  return off_io<T>(turn, std::move(start));
}

}  // namespace coffer::service
