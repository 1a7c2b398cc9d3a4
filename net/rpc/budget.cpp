#include "net/rpc/budget.h"

#include <algorithm>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "common/base/mutex.h"

namespace coffer::rpc {

struct Budget::State {
  explicit State(std::uint64_t all) : bytes_max(all), bytes_max_of_holders(all - all / 4) {}

  const std::uint64_t bytes_max;
  const std::uint64_t bytes_max_of_holders;  ///< For clients that hold some already.
  mutable Mutex mutex;
  std::uint64_t taken GUARDED_BY(mutex) = 0;
  std::map<std::string, std::uint64_t> held GUARDED_BY(mutex);  ///< By clients that hold any.
  std::list<Claim*> line GUARDED_BY(mutex);                     ///< In the order in which they came.

  std::uint64_t held_by(const std::string& client) const REQUIRES(mutex) {
    const auto found = held.find(client);
    return found == held.end() ? 0 : found->second;
  }

  bool has_room(const Claim& claim) const REQUIRES(mutex) {
    const std::uint64_t bound = held_by(claim.client_) == 0 ? bytes_max : bytes_max_of_holders;
    return taken == 0 || taken + claim.bytes_ <= bound;
  }

  void take(const std::string& client, std::uint64_t bytes) REQUIRES(mutex) {
    taken += bytes;
    held[client] += bytes;
  }

  void give(const std::string& client, std::uint64_t bytes) REQUIRES(mutex) {
    taken -= bytes;
    const auto found = held.find(client);
    found->second -= bytes;
    if (found->second == 0) held.erase(found);
  }

  /// Grants what can be granted. What is returned is to be called without the lock.
  std::vector<std::function<void()>> serve() REQUIRES(mutex) {
    std::vector<std::function<void()>> woken;
    while (!line.empty()) {
      auto first = line.begin();
      for (auto other = line.begin(); other != line.end(); ++other) {
        if (held_by((*other)->client_) < held_by((*first)->client_)) first = other;
      }
      Claim& claim = **first;
      if (!has_room(claim)) break;
      take(claim.client_, claim.bytes_);
      claim.is_granted_ = true;
      if (claim.wake_) woken.push_back(std::move(claim.wake_));
      line.erase(first);
    }
    return woken;
  }
};

namespace {

void call_all(const std::vector<std::function<void()>>& woken) {
  for (const auto& wake : woken) wake();
}

}  // namespace

Budget::Claim::Claim(std::shared_ptr<State> state, std::string client, std::uint64_t bytes)
    : state_(std::move(state)), client_(std::move(client)), bytes_(bytes) {}

Budget::Claim::~Claim() {
  std::vector<std::function<void()>> woken;
  {
    const MutexLock lock(state_->mutex);
    if (is_granted_) {
      state_->give(client_, bytes_);
    } else {
      std::erase(state_->line, this);
    }
    woken = state_->serve();
  }
  call_all(woken);
}

bool Budget::Claim::is_granted() const {
  const MutexLock lock(state_->mutex);
  return is_granted_;
}

void Budget::Claim::resize(std::uint64_t bytes) {
  std::vector<std::function<void()>> woken;
  {
    const MutexLock lock(state_->mutex);
    state_->take(client_, bytes);
    state_->give(client_, bytes_);
    bytes_ = bytes;
    woken = state_->serve();
  }
  call_all(woken);
}

Budget::Budget(std::uint64_t bytes_max) : state_(std::make_shared<State>(bytes_max)) {}

std::shared_ptr<Budget::Claim> Budget::claim(const std::string& client, std::uint64_t bytes,
                                             std::function<void()> wake) {
  auto claim = std::make_shared<Claim>(state_, client, bytes);
  std::vector<std::function<void()>> woken;
  {
    const MutexLock lock(state_->mutex);
    state_->line.push_back(claim.get());
    woken = state_->serve();
    if (!claim->is_granted_) claim->wake_ = std::move(wake);
  }
  call_all(woken);
  return claim;
}

bool Budget::is_short() const {
  const MutexLock lock(state_->mutex);
  return !state_->line.empty();
}

std::uint64_t Budget::taken_bytes() const {
  const MutexLock lock(state_->mutex);
  return state_->taken;
}

}  // namespace coffer::rpc
