#include "fs/commit/committer.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>
#include <span>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/crypto/hash.h"
#include "fs/commit/background.h"
#include "fs/commit/chunk_batch.h"
#include "fs/commit/inode_locks.h"
#include "fs/commit/known_cuts.h"
#include "fs/commit/open_chunks.h"
#include "fs/commit/range_cutter.h"
#include "fs/commit/sealing_pool.h"

namespace coffer::commit {
namespace {

/// New plain bytes that one transaction of the tree records: what is being sealed and not yet forgotten stays bounded,
/// and a nearly full spool takes what it can.
constexpr std::size_t kPartBytesMax = 16u << 20;
/// Files above this are bulk: they may wait for others.
constexpr std::uint64_t kBulkFileBytes = 64u << 20;
/// Owed chunks looked for in the spool at a start; more than any spool holds.
constexpr std::size_t kOwedChunksMax = 10'000'000;
/// The least that is spared for what a kernel holds back of files that are open (Committer::State::spared_bytes()).
constexpr std::uint64_t kSparedBytesMin = 64u << 20;
/// How long a writer waits before it looks again whether the Committer stops.
constexpr auto kWaitSlice = std::chrono::milliseconds(200);

std::int64_t now_ns(os::Clock& clock) { return clock.now().time_since_epoch().count(); }

/// Sealed bytes that `plain_bytes` may become: headers and tags, and Padmé's padding.
std::uint64_t sealed_bytes_at_most(std::uint64_t plain_bytes) { return plain_bytes + plain_bytes / 8 + (1u << 20); }

/// How much of a file one commit takes out of the buffer.
enum class Amount {
  long_runs,        ///< What is as long as CommitterOptions::run_bytes, and begins at a known cut.
  all_that_is_cut,  ///< What lies between two cuts that the content chose, whatever lies around it.
  all,
  all_for_waiter,  ///< The same; its end is sealed at once.
};

Rest rest_of(Amount amount) {
  if (amount == Amount::all) return Rest::commit;
  return amount == Amount::all_for_waiter ? Rest::seal : Rest::leave;
}

struct Committed {
  Mark mark;
  std::uint64_t bytes = 0;  ///< Of the file, that the tree has recorded now.
};

}  // namespace

struct Committer::State {
  State(const Parts& its_parts, const CommitterOptions& its_options);

  // The line (STYLE.md section 3): how bytes become `spooled`.
  Result<Committed> commit(InodeId inode, Amount amount);
  Result<bool> commit_part(buffer::DirtyFile& dirty, Amount amount, Committed& done);
  std::optional<std::uint64_t> cut_from(InodeId inode, const buffer::DirtyRange& range, Amount amount);
  Priority priority_of(InodeId inode);

  Result<void> write(InodeId inode, FileOffset at, ByteView bytes, const std::stop_token& stop, WriteTimes times);
  Result<void> wait_for_room(std::size_t bytes, std::uint64_t spared, const std::stop_token& stop);
  std::uint64_t spared_bytes() const;
  std::uint64_t needed_with(std::size_t more_bytes, std::uint64_t spared) const;
  Result<void> make_room(InodeId inode);
  bool is_pressed() const { return buffer.used_bytes() > buffer.bytes_max() / 4 * 3; }
  Result<void> take_back_carried_chunks();
  Result<void> look_for_owed_chunks();
  void lose(const ChunkRow& chunk, const std::string& what);
  void tell_owed(Hurry hurry = Hurry::now) const {
    if (on_owed) on_owed(hurry);
  }

  const Parts parts;
  const CommitterOptions options;
  std::function<void(Hurry)> on_owed;
  std::atomic<bool> stopping = false;
  buffer::Buffer buffer;
  InodeLocks inode_locks;
  RangeCutter cutter;
  KnownCuts known_cuts;
  OpenChunks open_chunks;
  mutable Mutex damage_mutex;
  std::vector<std::string> damage GUARDED_BY(damage_mutex);
  std::vector<ChunkRow> lost GUARDED_BY(damage_mutex);
  SealingPool pool;
  Background background;
};

Committer::State::State(const Parts& its_parts, const CommitterOptions& its_options)
    : parts(its_parts),
      options(its_options),
      // What is buffered must find room in the spool, whatever its size.
      buffer(std::min<std::size_t>(its_options.buffer_bytes_max, its_parts.spool.bytes_max() / 4)),
      cutter(its_parts.chunker_key),
      open_chunks({parts.tree, parts.spool, parts.staging, parts.sealer, parts.clock}, options.open_chunk_delay,
                  [this] { background.wake(); }),
      pool(its_options.sealing_threads),
      background({.commit_run = [this](InodeId inode) -> Result<void> {
                    COFFER_DO(commit(inode, Amount::long_runs));
                    return {};
                  },
                  .find_pressing = [this] { return is_pressed() ? buffer.largest() : std::nullopt; },
                  .make_room = [this](InodeId inode) { return make_room(inode); },
                  .has_room =
                      [this] {
                        return parts.spool.free_bytes() >=
                               std::min(sealed_bytes_at_most(buffer.used_bytes()), parts.spool.bytes_max() / 4);
                      },
                  .flush = [this](InodeId inode) -> Result<void> {
                    COFFER_DO(commit(inode, Amount::all));
                    return {};
                  },
                  .seal_due =
                      [this] {
                        const Result<bool> sealed = open_chunks.seal_due();
                        tell_owed();
                        return sealed ? Result<void>() : Result<void>(sealed.error());
                      },
                  .next_due = [this] { return open_chunks.next_due(); }}) {}

// ---- the line ------------------------------------------------------------------------------------------------------

/// Makes what was written to `inode`, or some of it, spooled, and owed to the server.
Result<Committed> Committer::State::commit(InodeId inode, Amount amount) {
  const InodeLocks::Held one_at_a_time(inode_locks, inode);
  Committed done{.mark = parts.tree.mark()};
  buffer::DirtyFile dirty = buffer.snapshot(inode);
  bool has_more = !dirty.ranges.empty();
  while (has_more) {
    COFFER_TRY(has_more, commit_part(dirty, amount, done));
  }
  if (rest_of(amount) != Rest::leave) known_cuts.forget(inode);
  return done;
}

/// Where in `range` the first piece begins that is committed now; nullopt: nowhere yet.
///
/// The kernel writes back in about the order of the file, and leaves gaps that it fills later. So that the pieces
/// depend on the content alone, they begin and end where the content says so. What does not yet stays in the buffer,
/// until its neighbour has come or Amount::all takes it as it is.
std::optional<std::uint64_t> Committer::State::cut_from(InodeId inode, const buffer::DirtyRange& range, Amount amount) {
  if (rest_of(amount) != Rest::leave) return range.begin();
  if (amount == Amount::long_runs && range.bytes() < options.run_bytes) return std::nullopt;
  // A page that was written again reaches back over the cut before it.
  const std::uint64_t near_end = std::min(range.end(), range.begin() + limits::kPieceBytesMax);
  const auto known = known_cuts.first_in(inode, {range.begin(), near_end});
  return known || amount == Amount::long_runs ? known : cutter.first_certain_cut(range);
}

/// Commits up to kPartBytesMax new bytes and takes them out of `dirty`. False when nothing is left to do.
Result<bool> Committer::State::commit_part(buffer::DirtyFile& dirty, Amount amount, Committed& done) {
  const Rest rest = rest_of(amount);
  ChunkBatch batch({parts.tree, parts.spool, parts.sealer, parts.pieces, pool, open_chunks});
  const auto take = [&](std::span<const Piece> pieces) -> Result<bool> {
    COFFER_DO(batch.add(pieces));
    return batch.new_bytes() < kPartBytesMax;
  };
  bool has_more = false;
  for (const buffer::DirtyRange& range : dirty.ranges) {
    const auto from = cut_from(dirty.inode, range, amount);
    if (!from) continue;
    has_more = batch.new_bytes() >= kPartBytesMax;
    if (has_more) break;
    COFFER_TRY(has_more, cutter.cut(range, *from, rest != Rest::leave, take));
    if (has_more) break;
  }
  meta::Content content{.extents = {}, .replaced = {}, .bytes = 0, .mtime_ns = dirty.mtime_ns};
  const Priority priority = batch.new_bytes() >= kRestBytesMin ? priority_of(dirty.inode) : Priority::small;
  COFFER_TRY(content.extents, batch.finish(has_more ? Rest::leave : rest, priority));
  if (content.extents.empty()) return false;
  for (const Extent& extent : content.extents) {
    if (content.replaced.empty() || content.replaced.back().end != extent.at.value()) {
      content.replaced.push_back({extent.at.value(), extent.at.value()});
    }
    content.replaced.back().end = content.bytes = extent.end().value();
    done.bytes += extent.bytes;
  }

  auto recorded = parts.tree.record(dirty.inode, content);
  if (!recorded && recorded.error().fault == Fault::answer && recorded.error().code == ENOENT) {
    buffer.discard(dirty.inode);  // The file was removed, and nobody has it open.
    return false;
  }
  COFFER_TRY(done.mark, std::move(recorded));
  batch.recorded();
  for (const Range& range : content.replaced) {
    // Only now: after a failure above, the next flush finds the bytes here.
    buffer.forget(dirty.inode, dirty.version, range);
    known_cuts.add(dirty.inode, range);
  }
  dirty.drop_before(content.bytes);
  // What is only batched is owed once its chunk is sealed. Of a little that is sealed for a waiter he tells.
  if (batch.has_chunks() && (rest != Rest::seal || batch.new_bytes() >= kRestBytesMin)) tell_owed();
  return has_more;
}

Priority Committer::State::priority_of(InodeId inode) {
  if (const auto chosen = parts.tree.xattr(inode, "user.coffer.priority")) {
    if (*chosen == "high") return Priority::high;
    if (*chosen == "low") return Priority::low;
    return Priority::normal;
  }
  const auto attributes = parts.tree.attributes(inode);
  const std::uint64_t recorded_bytes = attributes ? attributes->bytes : 0;
  return std::max(recorded_bytes, buffer.summary(inode).end) > kBulkFileBytes ? Priority::bulk : Priority::normal;
}

// ---- room ----------------------------------------------------------------------------------------------------------

Result<void> Committer::State::write(InodeId inode, FileOffset at, ByteView bytes, const std::stop_token& stop,
                                     WriteTimes times) {
  // The last of the room is for what a kernel has taken already. An empty write asks whether another would be taken.
  const std::uint64_t spared = times == WriteTimes::now ? spared_bytes() : 0;
  if (bytes.empty()) return wait_for_room(1, spared, stop);
  while (!bytes.empty()) {
    // A write that alone is larger than the buffer goes in parts.
    const ByteView part = bytes.first(std::min(bytes.size(), buffer.bytes_max() / 4));
    COFFER_DO(wait_for_room(part.size(), spared, stop));
    const auto mtime_ns = times == WriteTimes::now ? std::optional(now_ns(parts.clock)) : std::nullopt;
    const buffer::Written written = buffer.write(inode, at, part, mtime_ns);
    if (!written.accepted) continue;
    if (written.run_bytes >= options.run_bytes) background.commit_soon(inode);
    if (is_pressed()) background.wake();
    at = FileOffset(at.value() + part.size());
    bytes = bytes.subspan(part.size());
  }
  return {};
}

/// A kernel throttles those who write into its pages of a FUSE mount at 1 % (max_ratio of its backing device) of the
/// fifth of memory (vm.dirty_ratio) that may be dirty.
std::uint64_t Committer::State::spared_bytes() const {
  static const auto kPages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  static const auto kPageBytes = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
  const std::uint64_t held_back = sealed_bytes_at_most(kPages * kPageBytes / 500);
  return std::min(std::max(kSparedBytesMin, held_back), parts.spool.bytes_max() / 4);
}

/// Of the spool, for `more_bytes` that are written and for all that is on its way to it.
std::uint64_t Committer::State::needed_with(std::size_t more_bytes, std::uint64_t spared) const {
  const std::size_t plain_bytes = buffer.used_bytes() + open_chunks.open_bytes() + more_bytes;
  return std::min(sealed_bytes_at_most(plain_bytes) + spared, parts.spool.bytes_max());
}

/// In the buffer, and in the spool for all that is buffered: what is accepted can be kept. Slow is not full: while the
/// buffer's bytes go on into the spool, the wait goes on.
Result<void> Committer::State::wait_for_room(std::size_t bytes, std::uint64_t spared, const std::stop_token& stop) {
  using std::chrono::steady_clock;
  os::SteadyTime deadline = steady_clock::now() + options.full_wait;
  std::uint64_t freed_bytes = buffer.freed_bytes();
  for (;;) {
    if (stopping) return Error{Fault::stopped, 0, "the vault is being closed"};
    const os::SteadyTime slice_end = std::min(deadline, steady_clock::now() + kWaitSlice);
    Result<void> room = parts.spool.wait_for_room(needed_with(bytes, spared), slice_end, stop);
    const bool is_kept = room.has_value();
    if (is_kept) room = buffer.wait_for_room(bytes, slice_end, stop);
    if (room || room.error().fault != Fault::full) return room;
    if (is_kept && std::exchange(freed_bytes, buffer.freed_bytes()) != freed_bytes) {
      deadline = steady_clock::now() + options.full_wait;
    } else if (slice_end == deadline) {
      return room;
    }
    background.wake();
  }
}

/// Takes as much of the file out of the buffer as is cut by its content, or else all of it.
Result<void> Committer::State::make_room(InodeId inode) {
  COFFER_TRY(const Committed cut, commit(inode, Amount::all_that_is_cut));
  if (cut.bytes > 0) return {};  // Its buffered bytes may have grown meanwhile.
  COFFER_DO(commit(inode, Amount::all));
  return {};
}

/// The spool need not have had them on the disk: the pending commit kept their bytes.
Result<void> Committer::State::take_back_carried_chunks() {
  COFFER_TRY(const std::vector<meta::CarriedChunk> carried, parts.tree.carried());
  for (const meta::CarriedChunk& chunk : carried) {
    if (parts.spool.contains(chunk.row.id)) continue;
    if (crypto::sha256(*chunk.sealed) != chunk.row.id.array()) continue;
    Result<void> kept = parts.spool.put_fetched(chunk.row.id, *chunk.sealed);
    if (!kept && kept.error().fault != Fault::full) return kept;
    parts.spool.owe(chunk.row.id);
  }
  return {};
}

/// A chunk that is owed and is not in the spool is lost: a power cut, or damage to the local disk.
Result<void> Committer::State::look_for_owed_chunks() {
  COFFER_TRY(const std::vector<ChunkRow> owed, parts.tree.owed_chunks(kOwedChunksMax, [](ChunkKey) { return false; }));
  std::vector<ChunkKey> keys;
  for (const ChunkRow& chunk : owed) {
    if (parts.spool.contains(chunk.id)) continue;
    log::error("owed chunk lost", {{"chunk", chunk.id.hex()}});
    keys.push_back(chunk.key);
    lose(chunk, "chunk " + chunk.id.hex() + ": owed to the server and lost from the spool");
  }
  return keys.empty() ? Result<void>() : parts.tree.forget_pieces(keys);
}

void Committer::State::lose(const ChunkRow& chunk, const std::string& what) {
  const MutexLock lock(damage_mutex);
  damage.push_back(what);
  lost.push_back(chunk);
}

// ---- the Committer -------------------------------------------------------------------------------------------------

Committer::Committer(const Parts& parts, const CommitterOptions& options)
    : state_(std::make_unique<State>(parts, options)) {}

Committer::~Committer() { stop(); }

void Committer::on_owed(std::function<void(Hurry)> hook) { state_->on_owed = std::move(hook); }

Result<void> Committer::start() {
  COFFER_TRY(const std::vector<ChunkRow> damaged, state_->open_chunks.recover());
  for (const ChunkRow& chunk : damaged) {
    state_->lose(chunk, "open chunk " + std::to_string(chunk.key.value()) + ": its staging file is lost or damaged");
  }
  COFFER_DO(state_->take_back_carried_chunks());
  COFFER_DO(state_->look_for_owed_chunks());
  state_->background.start(std::max(2u, std::thread::hardware_concurrency()));
  return {};
}

void Committer::stop() {
  state_->stopping = true;
  state_->background.stop();
}

Result<void> Committer::write(InodeId inode, FileOffset at, ByteView bytes, const std::stop_token& stop,
                              WriteTimes times) {
  return state_->write(inode, at, bytes, stop, times);
}

bool Committer::is_short_of_room() {
  const std::uint64_t needed = state_->needed_with(1, state_->spared_bytes());
  return state_->parts.spool.free_bytes(needed) < needed;
}

Result<Mark> Committer::flush(InodeId inode, Last last) {
  Result<Committed> flushed = state_->commit(inode, last == Last::sealed ? Amount::all_for_waiter : Amount::all);
  if (flushed) return flushed->mark;
  state_->background.flush_later(inode);
  return std::move(flushed).error();
}

Result<void> Committer::flush_all() {
  Result<void> first_failure;
  for (const InodeId inode : state_->buffer.inodes()) {
    auto flushed = flush(inode);
    if (!flushed && first_failure) first_failure = std::move(flushed).error();
  }
  auto sealed = seal_open_chunks();
  return first_failure ? std::move(sealed) : std::move(first_failure);
}

Result<void> Committer::seal_open_chunks() {
  const Result<bool> sealed = state_->open_chunks.seal_all();
  if (!sealed || *sealed) state_->tell_owed();
  return sealed ? Result<void>() : Result<void>(sealed.error());
}

Result<void> Committer::make_power_safe() {
  COFFER_DO(state_->open_chunks.seal_all());  // Staging files are never synced.
  Result<void> settled = state_->parts.spool.settle();
  state_->tell_owed(Hurry::soon);
  return settled;
}

Result<Attributes> Committer::change(InodeId inode, const meta::AttributeChange& change) {
  if (change.bytes || change.mtime_ns) {
    const InodeLocks::Held one_at_a_time(state_->inode_locks, inode);
    COFFER_DO(state_->parts.tree.change(inode, change));
    if (change.bytes) state_->buffer.truncate(inode, *change.bytes);
    state_->buffer.forget_mtime(inode);
  } else {
    COFFER_DO(state_->parts.tree.change(inode, change));
  }
  return attributes(inode);
}

Result<Attributes> Committer::attributes(InodeId inode) {
  const buffer::Summary buffered = state_->buffer.summary(inode);
  COFFER_TRY(Attributes attributes, state_->parts.tree.attributes(inode));
  attributes.bytes = std::max(attributes.bytes, buffered.end);
  attributes.allocated_bytes = std::min(attributes.allocated_bytes + buffered.bytes, attributes.bytes);
  if (buffered.mtime_ns) attributes.mtime_ns = *buffered.mtime_ns;
  if (buffered.mtime_ns) attributes.ctime_ns = std::max(attributes.ctime_ns, *buffered.mtime_ns);
  return attributes;
}

Result<Mark> Committer::record(InodeId inode, const meta::Content& content) {
  const InodeLocks::Held one_at_a_time(state_->inode_locks, inode);
  COFFER_TRY(const Mark mark, state_->parts.tree.record(inode, content));
  for (const Range& range : content.replaced) state_->buffer.punch(inode, range);
  for (const Extent& extent : content.extents) {
    state_->buffer.punch(inode, {extent.at.value(), extent.end().value()});
  }
  state_->tell_owed();
  return mark;
}

Committer::Buffered Committer::buffered(InodeId inode) const {
  const buffer::Summary summary = state_->buffer.summary(inode);
  return {.bytes = summary.end, .mtime_ns = summary.mtime_ns};
}

void Committer::discard(InodeId inode) {
  state_->buffer.discard(inode);
  state_->known_cuts.forget(inode);
}

std::vector<Range> Committer::read_buffered(InodeId inode, FileOffset at, MutableByteView into) const {
  return state_->buffer.read(inode, at, into);
}

Result<bool> Committer::read_open(ChunkKey chunk, std::uint32_t offset, MutableByteView into) {
  return state_->open_chunks.read(chunk, offset, into);
}

void Committer::chunk_dropped(const ChunkRow& chunk) {
  if (chunk.state == ChunkState::open) return;  // OpenChunks let it go, and removes its staging file itself.
  if (auto dropped = state_->parts.spool.drop_unnamed(chunk.id); !dropped) {
    log::warn("spool drop failed", {{"error", dropped.error().what}});
  }
}

std::size_t Committer::buffered_bytes() const { return state_->buffer.used_bytes(); }
std::size_t Committer::buffered_files() const { return state_->buffer.inodes().size(); }
std::uint64_t Committer::open_chunk_bytes() const { return state_->open_chunks.open_bytes(); }

std::vector<ChunkRow> Committer::lost_chunks() const {
  const MutexLock lock(state_->damage_mutex);
  return state_->lost;
}

std::vector<std::string> Committer::damage() const {
  const MutexLock lock(state_->damage_mutex);
  return state_->damage;
}

}  // namespace coffer::commit
