// Keeps what was used last, up to a budget of bytes.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>

#include "common/base/mutex.h"

namespace coffer::fetch {

/// Thread-safe. Values are shared: one that is evicted lives on with whoever reads it.
template <class Key, class Value, class Hash = std::hash<Key>>
class LruCache {
 public:
  explicit LruCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  std::shared_ptr<const Value> find(const Key& key) {
    const MutexLock lock(mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->value;
  }

  void put(const Key& key, std::shared_ptr<const Value> value, std::size_t bytes) {
    const MutexLock lock(mutex_);
    if (index_.contains(key)) return;
    entries_.push_front({key, std::move(value), bytes});
    index_.emplace(key, entries_.begin());
    bytes_ += bytes;
    while (bytes_ > bytes_max_ && !entries_.empty()) {
      bytes_ -= entries_.back().bytes;
      index_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }

  void clear() {
    const MutexLock lock(mutex_);
    index_.clear();
    entries_.clear();
    bytes_ = 0;
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Value> value;
    std::size_t bytes;
  };

  const std::size_t bytes_max_;
  Mutex mutex_;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // Latest first.
  std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> index_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace coffer::fetch
