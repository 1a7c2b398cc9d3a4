#include "fs/fetch/flights.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/os/long_wait.h"

namespace coffer::fetch {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

/// What is asked ahead should not keep a reader waiting who needs something else: about this long at the link's speed.
constexpr auto kSlowAnswer = 2s;
constexpr std::size_t kAheadBytesMin = 2u << 20;
/// Landed chunks that wait for the spool: while there are more, whoever needs another chunk waits for the disk, too.
constexpr std::uint64_t kLandedBytesMax = 32u << 20;

}  // namespace

Flights::Flights(ChunkSource& source, std::size_t ahead_bytes_max)
    : source_(source), ahead_bytes_max_(ahead_bytes_max), ahead_bytes_(ahead_bytes_max) {}

Flights::Sealed Flights::landed(const object::ChunkId& id) const {
  const MutexLock lock(mutex_);
  const auto found = flights_.find(id);
  if (found == flights_.end() || !found->second->outcome) return nullptr;
  return **found->second->outcome;  // A failed flight is not in the map.
}

bool Flights::has(const object::ChunkId& id) const {
  const MutexLock lock(mutex_);
  return flights_.contains(id);
}

/// The chunk's flight; begins it where there is none.
Flights::Joined Flights::join(const object::ChunkId& id, std::uint32_t sealed_bytes, os::SteadyTime deadline,
                              bool is_ahead) {
  FlightPointer flight;
  {
    const MutexLock lock(mutex_);
    if (stopped_) return {};
    if (const auto found = flights_.find(id); found != flights_.end()) return {found->second, false};
    if (is_ahead && flying_bytes_ + sealed_bytes > ahead_bytes_) return {};
    flight = std::make_shared<Flight>();
    flight->bytes = sealed_bytes;
    flight->asked_at = std::chrono::steady_clock::now();
    flights_.emplace(id, flight);
    flying_bytes_ += sealed_bytes;
  }
  source_.get_chunk(id, deadline, [self = shared_from_this(), id, flight](Result<Bytes> answer) {
    self->answered(id, flight, std::move(answer));
  });
  return {flight, true};
}

void Flights::answered(const object::ChunkId& id, const FlightPointer& flight, Result<Bytes> answer) {
  {
    const MutexLock lock(mutex_);
    if (answer) {
      adapt(flight->asked_at, flight->bytes);
      ++fetched_chunks_;
      fetched_bytes_ += answer->size();
      Sealed sealed = std::make_shared<const Bytes>(*std::move(answer));
      landed_bytes_ += flight->bytes;
      landed_.emplace_back(id, sealed);
      flight->outcome.emplace(std::move(sealed));
    } else {
      flight->outcome.emplace(std::move(answer).error());
      flights_.erase(id);
      flying_bytes_ -= flight->bytes;
    }
  }
  changed_.notify_all();
}

/// A slow link gets less to carry ahead, a quick one more.
void Flights::adapt(os::SteadyTime asked_at, std::uint32_t bytes) {
  if (std::chrono::steady_clock::now() - asked_at > kSlowAnswer) {
    ahead_bytes_ =
        std::min(ahead_bytes_max_, std::max(kAheadBytesMin, ahead_bytes_ - std::min<std::size_t>(ahead_bytes_, bytes)));
  } else {
    ahead_bytes_ = std::min(ahead_bytes_max_, ahead_bytes_ + bytes);
  }
}

Result<Flights::Sealed> Flights::fetch(const object::ChunkId& id, std::uint32_t sealed_bytes, os::SteadyTime deadline,
                                       const std::stop_token& stop, const std::function<void()>& on_asked) {
  // The lock is taken, so that a stop between the check and the wait is not missed.
  const std::stop_callback wake(stop, [this] {
    { const MutexLock lock(mutex_); }
    changed_.notify_all();
  });
  for (bool is_asked = false;; is_asked = true) {
    COFFER_DO(wait_for_room(id, deadline, stop));
    const auto [flight, is_new] = join(id, sealed_bytes, deadline, false);
    if (flight == nullptr) return Error{Fault::stopped, 0, "the vault is being closed"};
    if (!is_asked) on_asked();
    const MutexLock lock(mutex_);
    bool in_time = true;
    while (!flight->outcome && !stopped_ && !stop.stop_requested() && in_time) {
      os::begin_long_wait();
      in_time = changed_.wait_until(mutex_, deadline);
    }
    if (flight->outcome && *flight->outcome) return **flight->outcome;
    if (stopped_ || stop.stop_requested()) return Error{Fault::stopped, 0, "waiting for a chunk"};
    if (!flight->outcome) return Error{Fault::offline, ETIMEDOUT, "the server did not send a chunk in time"};
    const Error& error = flight->outcome->error();
    // Whoever asked first may have had less time than this reader has.
    if (error.fault != Fault::offline || is_new) return Error(error);
  }
}

Result<void> Flights::wait_for_room(const object::ChunkId& id, os::SteadyTime deadline, const std::stop_token& stop) {
  const MutexLock lock(mutex_);
  while (landed_bytes_ > kLandedBytesMax && !flights_.contains(id) && !stopped_ && !stop.stop_requested()) {
    os::begin_long_wait();
    if (changed_.wait_until(mutex_, deadline)) continue;
    return Error{Fault::offline, ETIMEDOUT, "the spool did not take what was fetched in time"};
  }
  return {};
}

bool Flights::ask_ahead(const object::ChunkId& id, std::uint32_t sealed_bytes, os::SteadyTime deadline) {
  return join(id, sealed_bytes, deadline, true).flight != nullptr;
}

bool Flights::land_next(const std::function<void(const object::ChunkId&, const Sealed&)>& keep) {
  std::pair<object::ChunkId, Sealed> next;
  {
    const MutexLock lock(mutex_);
    while (landed_.empty() && !stopped_) changed_.wait(mutex_);
    if (stopped_) return false;
    next = std::move(landed_.front());
    landed_.pop_front();
  }
  keep(next.first, next.second);
  {
    const MutexLock lock(mutex_);
    const auto flight = flights_.find(next.first);
    if (flight != flights_.end()) {
      flying_bytes_ -= flight->second->bytes;
      landed_bytes_ -= flight->second->bytes;
      flights_.erase(flight);
    }
  }
  changed_.notify_all();
  return true;
}

void Flights::stop() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

std::uint64_t Flights::fetched_chunks() const {
  const MutexLock lock(mutex_);
  return fetched_chunks_;
}

std::uint64_t Flights::fetched_bytes() const {
  const MutexLock lock(mutex_);
  return fetched_bytes_;
}

std::uint64_t Flights::flying_bytes() const {
  const MutexLock lock(mutex_);
  return flying_bytes_;
}

std::uint64_t Flights::asked_count() const {
  const MutexLock lock(mutex_);
  return flights_.size() - landed_.size();
}

}  // namespace coffer::fetch
