#include "server/scrub/scrubber.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"

namespace coffer::scrub {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t kIdsAtOnce = 512;
constexpr std::size_t kChunksAtOnce = 64;
/// How much a killed server reads again.
constexpr auto kRecordInterval = 30s;
/// How soon a new vault, or one that has become due, is noticed.
constexpr auto kLookInterval = 60s;

}  // namespace

Scrubber::Scrubber(Targets targets, os::Disk& disk, os::Clock& clock, const ScrubOptions& options)
    : targets_(std::move(targets)), disk_(disk), clock_(clock), options_(options) {}

Scrubber::~Scrubber() { stop(); }

void Scrubber::start() {
  thread_ = std::thread([this] { run(); });
}

void Scrubber::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool Scrubber::is_stopping() const {
  const MutexLock lock(mutex_);
  return stopping_;
}

/// False once it is stopping.
bool Scrubber::wait(std::chrono::nanoseconds time) {
  const auto until = steady_clock::now() + time;
  const MutexLock lock(mutex_);
  while (!stopping_ && steady_clock::now() < until) wake_.wait_until(mutex_, until);
  return !stopping_;
}

void Scrubber::run() {
  do {
    run_once();
  } while (wait(kLookInterval));
}

void Scrubber::run_once() {
  for (const Target& target : targets_()) {
    if (is_stopping()) return;
    const ScrubRecord record = read_scrub_record(disk_, target.folder);
    if (record.scrubbed_ns > 0) target.health.set_scrubbed(record.scrubbed_ns);
    look_for_missing(target);
    if (options_.bytes_per_second > 0 && is_due(record)) scrub(target, record);
  }
}

bool Scrubber::is_due(const ScrubRecord& record) const {
  if (record.is_under_way) return true;
  const auto now = clock_.now().time_since_epoch().count();
  const auto every = std::chrono::duration_cast<std::chrono::nanoseconds>(options_.every).count();
  // A round that lies in the future was dated by a clock that was wrong.
  return record.began_ns == 0 || record.began_ns > now || now - record.began_ns >= every;
}

/// Of what the log names, all that the store does not have.
void Scrubber::look_for_missing(const Target& target) {
  std::optional<object::ChunkId> after;
  while (!is_stopping()) {
    const auto ids = target.log.present_after(after, kIdsAtOnce);
    if (!ids) return log::error("scrub.log", {{"vault", target.name}, {"why", ids.error().what}});
    if (ids->empty()) return;
    for (const object::ChunkId& id : *ids) {
      const Result<store::Held> held = target.chunks.find(id);
      if (!held) return log::error("scrub.store", {{"vault", target.name}, {"why", held.error().what}});
      if (held->stored || target.health.is_wanted(id)) continue;
      log::error("chunk wanted", {{"vault", target.name}, {"chunk", id.hex()}, {"why", "missing"}});
      target.health.want(id);
    }
    after = ids->back();
  }
}

void Scrubber::scrub(const Target& target, ScrubRecord record) {
  if (!record.is_under_way) {
    record = {.scrubbed_ns = record.scrubbed_ns,
              .began_ns = clock_.now().time_since_epoch().count(),
              .is_under_way = true,
              .place = {}};
  }
  const auto save = [&] {
    record.wanted_chunks = target.health.wanted_count();
    const Result<void> saved = write_scrub_record(disk_, target.folder, record);
    if (!saved) log::warn("scrub.record", {{"vault", target.name}, {"why", saved.error().what}});
  };
  auto saved_at = steady_clock::now();
  for (;;) {
    const auto chunks = target.chunks.chunks_from(record.place, kChunksAtOnce);
    if (!chunks) return log::error("scrub.index", {{"vault", target.name}, {"why", chunks.error().what}});
    if (chunks->empty()) break;
    for (const pack::StoredChunk& chunk : *chunks) {
      const Result<pack::Soundness> found = target.examine(chunk.id);
      if (!found) return log::error("scrub.read", {{"vault", target.name}, {"why", found.error().what}});
      ++record.chunks;
      record.bytes += chunk.bytes;
      if (*found == pack::Soundness::damaged) ++record.damaged;
      if (!wait(std::chrono::nanoseconds(1s) * chunk.bytes / options_.bytes_per_second)) return save();
    }
    if (steady_clock::now() < saved_at + kRecordInterval) continue;
    save();
    saved_at = steady_clock::now();
  }
  record.is_under_way = false;
  record.scrubbed_ns = record.began_ns;
  save();
  target.health.set_scrubbed(record.scrubbed_ns);
  log::info("scrubbed", {{"vault", target.name},
                         {"chunks", record.chunks},
                         {"bytes", record.bytes},
                         {"damaged", record.damaged},
                         {"wanted", record.wanted_chunks}});
}

}  // namespace coffer::scrub
