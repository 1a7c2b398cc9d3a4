// Memory of written bytes: counted against one budget while anybody holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>

#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/clock.h"

namespace coffer::buffer {

/// The largest allocation: 8 of them make one run that is chunked before its close().
inline constexpr std::size_t kBlockBytesMax = 1u << 20;

/// Thread-safe.
class Budget {
 public:
  explicit Budget(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  void take(std::size_t bytes);
  void give_back(std::size_t bytes);
  bool has_room(std::size_t bytes) const;
  /// Fault::full at `deadline`, Fault::stopped on `stop`.
  Result<void> wait_for_room(std::size_t bytes, os::SteadyTime deadline, const std::stop_token& stop);
  std::size_t used() const;
  /// Over the budget's life.
  std::uint64_t given_back() const;
  std::size_t bytes_max() const { return bytes_max_; }

 private:
  const std::size_t bytes_max_;
  mutable Mutex mutex_;
  Condition room_;
  std::size_t used_ GUARDED_BY(mutex_) = 0;
  std::uint64_t given_back_ GUARDED_BY(mutex_) = 0;
};

/// A fixed piece of memory that fills from its start; what is filled never moves.
class Storage {
 public:
  Storage(std::size_t capacity, std::shared_ptr<Budget> budget);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() { return bytes_.data(); }
  std::size_t capacity() const { return bytes_.size(); }

  std::size_t filled = 0;

 private:
  Bytes bytes_;
  std::shared_ptr<Budget> budget_;
};

/// A part of a Storage, at an offset of a file.
struct Block {
  std::shared_ptr<Storage> storage;
  std::size_t from = 0;  ///< In the storage.
  std::size_t bytes = 0;
  std::uint64_t version = 0;

  std::byte* data() const { return storage->data() + from; }
  bool can_grow() const { return from + bytes == storage->filled && storage->filled < storage->capacity(); }
};

}  // namespace coffer::buffer
