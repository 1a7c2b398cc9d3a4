#include "fs/vault/lease.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"

namespace coffer::vault {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kTry = 10s;
constexpr auto kRetry = 1s;

}  // namespace

Result<void> Lease::acquire(bool force, rpc::Deadline deadline) {
  COFFER_TRY(const rpc::LeaseGrant grant,
             rpc::wait<rpc::LeaseGrant>([&](auto done) { client_.acquire_lease(force, deadline, std::move(done)); }));
  if (!grant.granted) {
    bool was_held = false;
    {
      const MutexLock lock(mutex_);
      was_held = was_held_;
      holder_ = grant.holder;
      state_ = LeaseState::denied;
    }
    if (was_held) lose("client " + grant.holder + " has taken over the right to write");
    return {};
  }
  const Result<void> read_up = hooks_.granted(grant.epoch);
  if (!read_up) {
    if (read_up.error().fault == Fault::refused || read_up.error().fault == Fault::corrupt) {
      lose(read_up.error().what);
      give_back(grant.epoch, deadline);  // Whoever can write should not have to wait for its end.
    }
    return read_up;
  }
  const MutexLock lock(mutex_);
  if (state_ == LeaseState::lost) return {};
  state_ = LeaseState::held;
  was_held_ = true;
  epoch_ = grant.epoch;
  next_ = steady_clock::now() + grant.ttl / 3;
  changed_.notify_all();
  return {};
}

void Lease::start() {
  thread_ = std::thread([this] { run(); });
}

void Lease::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Lease::release(rpc::Deadline deadline) {
  std::uint64_t epoch = 0;
  {
    const MutexLock lock(mutex_);
    if (state_ != LeaseState::held) return;
    state_ = LeaseState::none;
    epoch = epoch_;
  }
  give_back(epoch, deadline);
}

void Lease::give_back(std::uint64_t epoch, rpc::Deadline deadline) {
  if (client_.link() != rpc::Link::online) return;  // It runs out by itself.
  const Result<void> released =
      rpc::wait<void>([&](auto done) { client_.release_lease(epoch, deadline, std::move(done)); });
  if (!released) log::warn("lease_not_released", {{"why", released.error().what}});
}

void Lease::lose(const std::string& why) {
  {
    const MutexLock lock(mutex_);
    if (state_ == LeaseState::lost || std::exchange(is_losing_, true)) return;
    problem_ = why;
  }
  log::error("lease_lost", {{"why", why}});
  hooks_.gone(why);  // Whoever sees the state finds what follows from it.
  const MutexLock lock(mutex_);
  state_ = LeaseState::lost;
  changed_.notify_all();
}

void Lease::link_changed() {
  const MutexLock lock(mutex_);
  if (state_ == LeaseState::none) next_ = {};
  changed_.notify_all();
}

LeaseState Lease::state() const {
  const MutexLock lock(mutex_);
  return state_;
}
std::string Lease::holder() const {
  const MutexLock lock(mutex_);
  return holder_;
}
std::string Lease::problem() const {
  const MutexLock lock(mutex_);
  return problem_;
}

void Lease::run() {
  for (;;) {
    LeaseState state = LeaseState::none;
    std::uint64_t epoch = 0;
    bool is_refused = false;
    {
      const MutexLock lock(mutex_);
      for (;;) {
        if (stopping_ || state_ == LeaseState::denied || state_ == LeaseState::lost) return;
        const rpc::Link link = client_.link();
        if (link == rpc::Link::online) is_refused_ = false;
        if (link == rpc::Link::refused && !std::exchange(is_refused_, true)) break;
        if (link != rpc::Link::online) {
          changed_.wait(mutex_);
        } else if (steady_clock::now() < next_) {
          changed_.wait_until(mutex_, next_);
        } else {
          break;
        }
      }
      if (client_.link() == rpc::Link::refused) state_ = LeaseState::none;
      is_refused = is_refused_;
      state = state_;
      epoch = epoch_;
      next_ = steady_clock::now() + kRetry;
    }
    if (is_refused) {
      hooks_.refused();
    } else if (state == LeaseState::held) {
      renew(epoch);
    } else if (const Result<void> acquired = acquire(false, steady_clock::now() + kTry); !acquired) {
      log::warn("lease_not_acquired", {{"why", acquired.error().what}});
    } else if (this->state() == LeaseState::denied) {
      lose("client " + holder() + " has the right to write");  // What was written offline cannot be sent.
    }
  }
}

void Lease::renew(std::uint64_t epoch) {
  const Result<std::chrono::milliseconds> ttl = rpc::wait<std::chrono::milliseconds>(
      [&](auto done) { client_.renew_lease(epoch, steady_clock::now() + kTry, std::move(done)); });
  if (ttl) {
    {
      const MutexLock lock(mutex_);
      next_ = steady_clock::now() + *ttl / 3;
    }
    hooks_.renewed();
    return;
  }
  if (ttl.error().fault == Fault::offline || ttl.error().fault == Fault::stopped) return;
  log::warn("lease_not_renewed", {{"why", ttl.error().what}});
  doubt();
}

// It ran out, perhaps unnoticed by anyone.
void Lease::doubt() {
  {
    const MutexLock lock(mutex_);
    if (state_ != LeaseState::held) return;
    state_ = LeaseState::none;
    next_ = steady_clock::now() + kRetry;
    changed_.notify_all();
  }
  hooks_.gone(std::nullopt);
}

}  // namespace coffer::vault
