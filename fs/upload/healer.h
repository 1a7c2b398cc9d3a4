// Sends chunks again that the server has lost and asks for, as far as the spool still has them.
//
// The server names them in its answers to ping. It is not trusted: what it gets are sealed chunks that it had before,
// each at most three times, one at a time, and only while nothing else speaks against the server (forbid()).
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "common/base/mutex.h"
#include "common/object/ids.h"
#include "fs/spool/spool.h"
#include "fs/upload/remote.h"

namespace coffer::upload {

/// Thread-safe. Keeps references to both; stop() before destruction, after rpc::Client::stop().
class Healer {
 public:
  Healer(spool::Spool& spool, Remote& remote) : spool_(spool), remote_(remote) {}
  ~Healer() { stop(); }

  void start();
  void stop();
  /// Never blocks for disk or network. What the spool does not have is passed over.
  void asked_for(std::span<const object::ChunkId> wanted);
  /// Nothing is sent any more: the server's log is not the one that this client knows.
  void forbid();
  /// Chunks that the server has taken back since start().
  std::uint64_t healed_count() const;

 private:
  void run();
  void send(const object::ChunkId& id);

  spool::Spool& spool_;
  Remote& remote_;
  mutable Mutex mutex_;
  Condition changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool is_forbidden_ GUARDED_BY(mutex_) = false;
  std::deque<object::ChunkId> queue_ GUARDED_BY(mutex_);
  std::unordered_set<object::ChunkId> queued_ GUARDED_BY(mutex_);
  std::unordered_map<object::ChunkId, unsigned> tries_ GUARDED_BY(mutex_);  ///< Of chunks that the spool had.
  std::uint64_t healed_count_ GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace coffer::upload
