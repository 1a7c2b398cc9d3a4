#include "fs/upload/healer.h"

#include <utility>

#include "common/base/log.h"

namespace coffer::upload {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr unsigned kTriesMax = 3;
constexpr std::size_t kQueueMax = 1024;
constexpr auto kPutDeadline = 60s;

}  // namespace

void Healer::start() {
  thread_ = std::thread([this] { run(); });
}

void Healer::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Healer::forbid() {
  const MutexLock lock(mutex_);
  is_forbidden_ = true;
  queue_.clear();
  queued_.clear();
}

std::uint64_t Healer::healed_count() const {
  const MutexLock lock(mutex_);
  return healed_count_;
}

void Healer::asked_for(std::span<const object::ChunkId> wanted) {
  for (const object::ChunkId& id : wanted) {
    if (!spool_.contains(id)) continue;
    const MutexLock lock(mutex_);
    if (is_forbidden_ || queue_.size() >= kQueueMax) return;
    if (queued_.contains(id) || tries_[id] >= kTriesMax) continue;
    ++tries_[id];
    queued_.insert(id);
    queue_.push_back(id);
    changed_.notify_all();
  }
}

void Healer::run() {
  for (;;) {
    object::ChunkId next;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && queue_.empty()) changed_.wait(mutex_);
      if (stopping_) return;
      next = queue_.front();
      queue_.pop_front();
    }
    send(next);
    const MutexLock lock(mutex_);
    queued_.erase(next);
  }
}

void Healer::send(const object::ChunkId& id) {
  const Result<std::shared_ptr<const Bytes>> sealed = spool_.get(id);
  if (!sealed) return log::warn("chunk_not_healed", {{"chunk", id.hex()}, {"why", sealed.error().what}});
  const Result<rpc::PutChunkDone> done = rpc::wait<rpc::PutChunkDone>([&](auto answered) {
    remote_.put_chunk(id, *sealed, 0, steady_clock::now() + kPutDeadline, std::move(answered));
  });
  if (!done) return log::warn("chunk_not_healed", {{"chunk", id.hex()}, {"why", done.error().what}});
  log::info("chunk_healed", {{"chunk", id.hex()}});
  const MutexLock lock(mutex_);
  ++healed_count_;
}

}  // namespace coffer::upload
