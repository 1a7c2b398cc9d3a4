#include "server/store/health.h"

#include <algorithm>

namespace coffer::store {

void Health::want(const object::ChunkId& id) {
  const MutexLock lock(mutex_);
  if (wanted_.size() < kWantedMax) wanted_.insert(id);
}

bool Health::is_wanted(const object::ChunkId& id) const {
  const MutexLock lock(mutex_);
  return wanted_.contains(id);
}

bool Health::came(const object::ChunkId& id) {
  const MutexLock lock(mutex_);
  return wanted_.erase(id) > 0;
}

std::uint64_t Health::wanted_count() const {
  const MutexLock lock(mutex_);
  return wanted_.size();
}

std::vector<object::ChunkId> Health::next_wanted(std::size_t count_max) {
  const MutexLock lock(mutex_);
  std::vector<object::ChunkId> told;
  auto next = last_told_ ? wanted_.upper_bound(*last_told_) : wanted_.begin();
  const std::size_t count = std::min(count_max, wanted_.size());
  while (told.size() < count) {
    if (next == wanted_.end()) next = wanted_.begin();
    told.push_back(*next++);
  }
  if (!told.empty()) last_told_ = told.back();
  return told;
}

void Health::set_scrubbed(std::int64_t since_ns) {
  const MutexLock lock(mutex_);
  scrubbed_ns_ = since_ns;
}

std::optional<std::int64_t> Health::scrubbed_ns() const {
  const MutexLock lock(mutex_);
  return scrubbed_ns_;
}

}  // namespace coffer::store
