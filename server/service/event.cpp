#include "server/service/event.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace coffer::service {

namespace asio = boost::asio;

asio::awaitable<void> Waiter::wait(std::chrono::steady_clock::time_point deadline) {
  if (woken_) co_return;
  timer_.expires_at(deadline);
  constexpr auto kQuietly = asio::as_tuple(asio::use_awaitable);  // That it was cancelled is no failure.
  co_await timer_.async_wait(kQuietly);
}

void Waiter::wake(const std::shared_ptr<Waiter>& waiter) {
  asio::post(waiter->timer_.get_executor(), [waiter] {
    waiter->woken_ = true;
    waiter->timer_.cancel();
  });
}

std::shared_ptr<Waiter> Event::enter(const asio::any_io_executor& executor) {
  auto waiter = std::make_shared<Waiter>(executor);
  const MutexLock lock(mutex_);
  std::erase_if(waiters_, [](const std::weak_ptr<Waiter>& old) { return old.expired(); });
  waiters_.push_back(waiter);
  return waiter;
}

void Event::happened() {
  std::vector<std::weak_ptr<Waiter>> waiters;
  {
    const MutexLock lock(mutex_);
    waiters = std::exchange(waiters_, {});
  }
  for (const auto& weak : waiters) {
    if (const auto waiter = weak.lock()) Waiter::wake(waiter);
  }
}

}  // namespace coffer::service
