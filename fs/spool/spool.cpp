#include "fs/spool/spool.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <limits>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/os/long_wait.h"
#include "common/pack/pack_store.h"
#include "fs/spool/disk_room.h"

namespace coffer::spool {
namespace {

constexpr std::uint64_t kDefaultBytesMin = 256u << 20;
/// How often a full disk is looked at while somebody waits: nobody tells when others free it.
constexpr auto kDiskPoll = std::chrono::milliseconds(100);
/// What the tree no longer names, and what takes room until settle().
constexpr std::uint64_t kUnnamedBytesMax = 64u << 20;
constexpr std::size_t kUnnamedCountMax = 4096;
/// Of chunks that were put and not asked for yet. Beyond, the next to be sent are read back from the disk.
constexpr std::uint64_t kFreshBytesMax = 48u << 20;

}  // namespace

Result<std::uint64_t> default_bytes_max(os::Disk& disk, const std::string& folder) {
  COFFER_TRY(const std::uint64_t free_bytes, disk.free_bytes(folder));
  return std::max(kDefaultBytesMin, std::min(kSpoolBytesMaxDefault, free_bytes / 5));
}

/// What lies in the packs, and in what order it was last used.
///
///     arriving ─▶ here ─▶ evicted, unnamed ─ settled ─▶ removing ─▶ gone
///                  ▲         │
///                  └─ owe() ─┘ of an evicted one
///
/// A chunk is `arriving` while it is appended and `removing` while it is removed, both without the lock. In every stage
/// but `here` others act as if it were absent, but do not append or remove it themselves: packs must not see the two
/// out of order.
struct Spool::State {
  enum class Stage { arriving, here, evicted, unnamed, removing };
  using Order = std::list<object::ChunkId>;
  struct Entry {
    std::uint32_t bytes;
    bool is_owed;
    Stage stage;
    Order::iterator place;
    std::shared_ptr<const Bytes> fresh;  // Of those that were put last, until they are asked for: to be sent next.
    std::uint64_t ticket = 0;            // Of the last Leaving.

    bool is_leaving() const { return stage != Stage::arriving && stage != Stage::here; }
  };
  /// A chunk that was marked to go. Void where it was brought back since, even if it was marked again: what that waits
  /// for is another settle().
  struct Leaving {
    object::ChunkId id;
    std::uint64_t ticket;
  };

  State(os::Disk& its_disk, std::string its_folder, const SpoolOptions& its_options,
        std::unique_ptr<pack::PackStore> its_packs)
      : disk_room(its_disk, std::move(its_folder)), options(its_options), packs(std::move(its_packs)) {}

  DiskRoom disk_room;
  const SpoolOptions options;
  const std::unique_ptr<pack::PackStore> packs;

  mutable Mutex mutex;
  Condition room;
  std::uint64_t room_changes GUARDED_BY(mutex) = 0;  // How often `room` was told.
  std::unordered_map<object::ChunkId, Entry> entries GUARDED_BY(mutex);
  Order last_used GUARDED_BY(mutex);         // Latest first.
  std::uint64_t used GUARDED_BY(mutex) = 0;  // Of all entries but those that leave.
  std::uint64_t owed GUARDED_BY(mutex) = 0;  // Of those that are owed.
  std::uint64_t owed_count GUARDED_BY(mutex) = 0;
  std::vector<Leaving> unnamed GUARDED_BY(mutex);  // They leave with the next settle().
  std::uint64_t unnamed_bytes GUARDED_BY(mutex) = 0;
  std::uint64_t tickets GUARDED_BY(mutex) = 0;
  std::deque<object::ChunkId> fresh GUARDED_BY(mutex);  // In the order they were put; some are sent already.
  std::uint64_t fresh_bytes GUARDED_BY(mutex) = 0;
  /// Owed chunks that a power cut may take, to a number that is another each time.
  std::unordered_map<object::ChunkId, std::uint64_t> unsynced GUARDED_BY(mutex);

  void add(const object::ChunkId& id, std::uint32_t bytes, bool is_owed, Stage stage) REQUIRES(mutex);
  void erase(const object::ChunkId& id) REQUIRES(mutex);
  Leaving mark_leaving(const object::ChunkId& id, Entry& entry, Stage stage) REQUIRES(mutex);
  /// Of what is not leaving.
  void set_owed(Entry& entry, bool is_owed) REQUIRES(mutex);
  void made_room() REQUIRES(mutex) {
    ++room_changes;
    room.notify_all();
  }
  void remember(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed) REQUIRES(mutex);
  void forget(Entry& entry) REQUIRES(mutex);
  std::vector<Leaving> choose_leaving(std::uint64_t used_max) REQUIRES(mutex);
  bool begin_removal(const Leaving& leaving) EXCLUDES(mutex);
  Result<void> remove(const std::vector<Leaving>& leaving) EXCLUDES(mutex);
  Result<void> make_safe(std::span<const object::ChunkId> kept_elsewhere = {}) EXCLUDES(mutex);
  Result<void> settle() EXCLUDES(mutex);
  Result<void> remove_settled(const std::vector<Leaving>& leaving) EXCLUDES(mutex);
  void tell_if_failed(const Result<void>& result) const EXCLUDES(mutex) {
    if (!result && options.on_failure) options.on_failure(result.error());
  }
  Result<void> evict_down_to(std::uint64_t used_max) EXCLUDES(mutex);
  Result<bool> reserve(const object::ChunkId& id, std::uint32_t bytes, bool is_owed) EXCLUDES(mutex);
  Result<void> append(const object::ChunkId& id, ByteView sealed) EXCLUDES(mutex);
  Result<void> keep(const object::ChunkId& id, ByteView sealed, bool is_owed) EXCLUDES(mutex);
  /// The length of a chunk that is here, moved to the front.
  Result<std::uint32_t> use(const object::ChunkId& id) EXCLUDES(mutex);
  /// Right where it says that `needed` are there or are not; what lies far beyond may be of a moment ago.
  std::uint64_t free_bytes(std::uint64_t needed) EXCLUDES(mutex);
};

void Spool::State::add(const object::ChunkId& id, std::uint32_t bytes, bool is_owed, Stage stage) {
  last_used.push_front(id);
  Entry& entry = entries.insert_or_assign(id, Entry{bytes, false, stage, last_used.begin(), nullptr, 0}).first->second;
  used += bytes;
  set_owed(entry, is_owed);
}

void Spool::State::set_owed(Entry& entry, bool is_owed) {
  if (std::exchange(entry.is_owed, is_owed) == is_owed) return;
  if (is_owed) {
    owed += entry.bytes;
    ++owed_count;
  } else {
    owed -= entry.bytes;
    --owed_count;
  }
}

void Spool::State::erase(const object::ChunkId& id) {
  const auto found = entries.find(id);
  if (found == entries.end()) return;
  if (!found->second.is_leaving()) mark_leaving(id, found->second, Stage::removing);
  last_used.erase(found->second.place);
  entries.erase(found);
  unsynced.erase(id);
}

Spool::State::Leaving Spool::State::mark_leaving(const object::ChunkId& id, Entry& entry, Stage stage) {
  entry.stage = stage;
  entry.ticket = ++tickets;
  forget(entry);
  used -= entry.bytes;
  if (entry.is_owed) {
    owed -= entry.bytes;
    --owed_count;
  }
  made_room();
  return {id, entry.ticket};
}

void Spool::State::remember(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed) {
  fresh_bytes += sealed->size();
  entries.at(id).fresh = std::move(sealed);
  fresh.push_back(id);
  while (!fresh.empty()) {
    const auto oldest = entries.find(fresh.front());
    if (oldest != entries.end() && oldest->second.fresh && fresh_bytes <= kFreshBytesMax) return;
    if (oldest != entries.end()) forget(oldest->second);
    fresh.pop_front();
  }
}

void Spool::State::forget(Entry& entry) {
  if (!entry.fresh) return;
  fresh_bytes -= entry.fresh->size();
  entry.fresh.reset();
}

/// Marks cached chunks, the longest unused first, until at most `used_max` bytes are used.
std::vector<Spool::State::Leaving> Spool::State::choose_leaving(std::uint64_t used_max) {
  std::vector<Leaving> leaving;
  for (auto id = last_used.rbegin(); id != last_used.rend() && used > used_max; ++id) {
    Entry& entry = entries.at(*id);
    if (entry.is_owed || entry.stage != Stage::here) continue;
    leaving.push_back(mark_leaving(*id, entry, Stage::evicted));
  }
  return leaving;
}

/// False where it was brought back.
bool Spool::State::begin_removal(const Leaving& leaving) {
  const MutexLock lock(mutex);
  const auto found = entries.find(leaving.id);
  if (found == entries.end() || !found->second.is_leaving() || found->second.ticket != leaving.ticket) return false;
  found->second.stage = Stage::removing;
  return true;
}

Result<void> Spool::State::remove(const std::vector<Leaving>& leaving) {
  Result<void> first_failure;
  for (const Leaving& one : leaving) {
    if (!begin_removal(one)) continue;
    auto removed = packs->remove(one.id);
    tell_if_failed(removed);
    if (!removed && first_failure) first_failure = std::move(removed);
    const MutexLock lock(mutex);
    erase(one.id);
  }
  return first_failure;
}

/// Chunks before the tree that names them; but what the server has need not be here.
Result<void> Spool::State::make_safe(std::span<const object::ChunkId> kept_elsewhere) {
  std::unordered_map<object::ChunkId, std::uint64_t> appended;
  bool must_sync = false;
  {
    const MutexLock lock(mutex);
    appended = unsynced;  // They stay there: who comes meanwhile waits for the same sync.
    must_sync = std::ranges::any_of(appended, [&](const auto& one) {
      return std::ranges::find(kept_elsewhere, one.first) == kept_elsewhere.end();
    });
  }
  if (must_sync) {
    const Result<void> synced = packs->sync();
    tell_if_failed(synced);
    COFFER_DO(synced);
    const MutexLock lock(mutex);
    std::erase_if(unsynced, [&](const auto& one) {
      const auto found = appended.find(one.first);
      return found != appended.end() && found->second == one.second;
    });
  }
  return options.settle_tree ? options.settle_tree() : Result<void>();
}

/// make_safe(), and what the tree no longer names goes only after it.
Result<void> Spool::State::settle() {
  std::vector<Leaving> leaving;
  {
    const MutexLock lock(mutex);
    leaving.swap(unnamed);
    unnamed_bytes = 0;
  }
  return remove_settled(leaving);
}

/// settle(), which takes these along.
Result<void> Spool::State::remove_settled(const std::vector<Leaving>& leaving) {
  const Result<void> settled = make_safe();
  if (settled) return remove(leaving);
  const MutexLock lock(mutex);
  for (const Leaving& one : leaving) {
    const auto found = entries.find(one.id);
    if (found == entries.end() || !found->second.is_leaving() || found->second.ticket != one.ticket) continue;
    unnamed.push_back(one);
    unnamed_bytes += found->second.bytes;
  }
  return settled;
}

Result<void> Spool::State::evict_down_to(std::uint64_t used_max) {
  std::vector<Leaving> leaving;
  {
    const MutexLock lock(mutex);
    leaving = choose_leaving(used_max);
  }
  return leaving.empty() ? Result<void>() : remove_settled(leaving);
}

/// Makes an entry that is arriving, and room for it. False where there is nothing to append.
Result<bool> Spool::State::reserve(const object::ChunkId& id, std::uint32_t bytes, bool is_owed) {
  std::vector<Leaving> leaving;
  {
    const MutexLock lock(mutex);
    if (const auto found = entries.find(id); found != entries.end()) {
      if (found->second.is_leaving()) return Error{Fault::full, 0, "the chunk is just being evicted"};
      return false;
    }
    if (owed + bytes > options.bytes_max) return Error{Fault::full, 0, "the spool is full of what is owed"};
    add(id, bytes, is_owed, Stage::arriving);
    if (used > options.bytes_max) leaving = choose_leaving(options.bytes_max / 10 * 9);
    if (used > options.bytes_max && !is_owed) {  // Others arrive at the same time.
      erase(id);
      return Error{Fault::full, 0, "the spool is full"};
    }
  }
  if (leaving.empty()) return true;
  if (auto removed = remove_settled(leaving); !removed) {
    log::warn("spool eviction failed", {{"error", removed.error().what}});
  }
  return true;
}

Result<void> Spool::State::append(const object::ChunkId& id, ByteView sealed) {
  auto appended = packs->append(id, sealed);
  if (appended || appended.error().fault != Fault::full) return appended;
  std::uint64_t less = 0;  // The disk is full: what is only cached gives way.
  {
    const MutexLock lock(mutex);
    less = used - std::min(used, std::max<std::uint64_t>(options.pack_bytes_max, sealed.size()));
  }
  COFFER_DO(settle());
  COFFER_DO(evict_down_to(less));
  COFFER_DO(packs->sync());  // The disk space of what was removed comes back with it.
  return packs->append(id, sealed);
}

Result<void> Spool::State::keep(const object::ChunkId& id, ByteView sealed, bool is_owed) {
  const auto bytes = static_cast<std::uint32_t>(sealed.size());
  COFFER_TRY(const bool is_new, reserve(id, bytes, is_owed));
  if (!is_new) return {};
  auto appended = append(id, sealed);
  tell_if_failed(appended);
  if (appended) disk_room.put(bytes);
  const MutexLock lock(mutex);
  if (appended) {
    entries.at(id).stage = Stage::here;
    if (is_owed) unsynced.insert_or_assign(id, ++tickets);
  } else {
    erase(id);
  }
  return appended;
}

Result<std::uint32_t> Spool::State::use(const object::ChunkId& id) {
  const MutexLock lock(mutex);
  const auto found = entries.find(id);
  if (found == entries.end() || found->second.stage != Stage::here) return answer(ENOENT);
  last_used.splice(last_used.begin(), last_used, found->second.place);
  return found->second.bytes;
}

std::uint64_t Spool::State::free_bytes(std::uint64_t needed) {
  std::uint64_t budget = 0;
  std::uint64_t cached = 0;
  {
    const MutexLock lock(mutex);
    budget = options.bytes_max - std::min(options.bytes_max, owed);
    cached = used - owed;
  }
  const std::uint64_t needed_in_all = needed + options.disk_bytes_spared;
  const auto disk_free = disk_room.free_bytes(needed_in_all - std::min(needed_in_all, cached));
  if (!disk_free) return budget;
  const std::uint64_t with_cache = *disk_free + cached;
  return std::min(budget, with_cache - std::min(with_cache, options.disk_bytes_spared));
}

Spool::Spool(std::unique_ptr<State> state) : state_(std::move(state)) {}
Spool::~Spool() = default;

Result<std::unique_ptr<Spool>> Spool::open(os::Disk& disk, const std::string& folder, const SpoolOptions& options,
                                           const StandingOf& standing_of) {
  COFFER_DO(disk.make_folder(folder));
  COFFER_TRY(std::unique_ptr<pack::PackStore> packs,
             pack::PackStore::open(disk, folder + "/packs", {.pack_bytes_max = options.pack_bytes_max}));
  auto state = std::make_unique<State>(disk, folder, options, std::move(packs));
  std::vector<pack::StoredChunk> found;
  COFFER_DO(state->packs->for_each([&](const pack::StoredChunk& chunk) -> Result<void> {
    found.push_back(chunk);
    return {};
  }));
  bool is_any_unnamed = false;
  for (const pack::StoredChunk& chunk : found) {
    COFFER_TRY(const Standing standing, standing_of(chunk.id));
    const MutexLock lock(state->mutex);
    state->add(chunk.id, chunk.bytes, standing == Standing::owed, State::Stage::here);
    if (standing != Standing::unknown) continue;
    state->unnamed.push_back(state->mark_leaving(chunk.id, state->entries.at(chunk.id), State::Stage::unnamed));
    is_any_unnamed = true;
  }
  // What a killed process told the tree may not be on the disk either.
  if (is_any_unnamed) COFFER_DO(state->settle());
  COFFER_DO(state->evict_down_to(options.bytes_max));
  return std::unique_ptr<Spool>(new Spool(std::move(state)));
}

Result<SpooledChunk> Spool::put(const seal::SealedChunk& chunk) {
  COFFER_DO(state_->keep(chunk.id(), chunk.bytes(), true));
  {
    const MutexLock lock(state_->mutex);
    const auto found = state_->entries.find(chunk.id());
    if (found != state_->entries.end() && found->second.stage == State::Stage::here && !found->second.fresh) {
      state_->remember(chunk.id(), chunk.shared());
    }
  }
  return SpooledChunk(chunk.id(), static_cast<std::uint32_t>(chunk.bytes().size()), chunk.plain_bytes());
}

Result<void> Spool::put_fetched(const object::ChunkId& id, ByteView sealed) { return state_->keep(id, sealed, false); }

Result<std::shared_ptr<const Bytes>> Spool::get(const object::ChunkId& id) {
  COFFER_DO(state_->use(id));
  {
    const MutexLock lock(state_->mutex);
    const auto found = state_->entries.find(id);
    if (found != state_->entries.end() && found->second.fresh) {
      const std::shared_ptr<const Bytes> sealed = found->second.fresh;
      state_->forget(found->second);  // Whoever sends it has it now.
      return sealed;
    }
  }
  COFFER_TRY(Bytes sealed, state_->packs->read(id));
  return std::make_shared<const Bytes>(std::move(sealed));
}

Result<Bytes> Spool::get_range(const object::ChunkId& id, std::uint32_t offset, std::uint32_t bytes) {
  COFFER_TRY(const std::uint32_t chunk_bytes, state_->use(id));
  if (offset > chunk_bytes || bytes > chunk_bytes - offset) {
    return Error{Fault::corrupt, 0, "range outside the sealed chunk"};
  }
  return state_->packs->read_range(id, offset, bytes);
}

bool Spool::contains(const object::ChunkId& id) const {
  const MutexLock lock(state_->mutex);
  const auto found = state_->entries.find(id);
  return found != state_->entries.end() && found->second.stage == State::Stage::here;
}

void Spool::owe(const object::ChunkId& id) {
  const MutexLock lock(state_->mutex);
  const auto found = state_->entries.find(id);
  if (found == state_->entries.end()) return;
  State::Entry& entry = found->second;
  if (entry.stage == State::Stage::evicted) {  // Its bytes are still there, and may be the last ones.
    entry.stage = State::Stage::here;
    state_->used += entry.bytes;
  }
  if (entry.is_leaving() || entry.is_owed) return;
  state_->set_owed(entry, true);
  state_->unsynced.insert_or_assign(id, ++state_->tickets);
}

void Spool::release(const object::ChunkId& id) {
  const MutexLock lock(state_->mutex);
  const auto found = state_->entries.find(id);
  if (found == state_->entries.end() || !found->second.is_owed) return;
  state_->unsynced.erase(id);
  state_->forget(found->second);
  if (found->second.is_leaving()) {
    found->second.is_owed = false;
  } else {
    state_->set_owed(found->second, false);
  }
  state_->made_room();
}

Result<void> Spool::drop(const object::ChunkId& id) {
  std::vector<State::Leaving> leaving;
  {
    const MutexLock lock(state_->mutex);
    const auto found = state_->entries.find(id);
    if (found == state_->entries.end() || found->second.stage != State::Stage::here) return {};
    leaving.push_back(state_->mark_leaving(id, found->second, State::Stage::removing));
  }
  return state_->remove(leaving);
}

Result<void> Spool::drop_unnamed(const object::ChunkId& id) {
  {
    const MutexLock lock(state_->mutex);
    const auto found = state_->entries.find(id);
    if (found == state_->entries.end() || found->second.stage != State::Stage::here) return {};
    state_->unnamed.push_back(state_->mark_leaving(id, found->second, State::Stage::unnamed));
    state_->unnamed_bytes += found->second.bytes;
    if (state_->unnamed_bytes < kUnnamedBytesMax && state_->unnamed.size() < kUnnamedCountMax) return {};
  }
  return state_->settle();
}

Result<void> Spool::clear() {
  COFFER_DO(state_->settle());
  COFFER_DO(state_->evict_down_to(0));
  return state_->packs->sync();  // The disk space comes back with it.
}

Result<void> Spool::settle(std::span<const object::ChunkId> kept_elsewhere) {
  return state_->make_safe(kept_elsewhere);
}

std::uint64_t Spool::used_bytes() const {
  const MutexLock lock(state_->mutex);
  return state_->used;
}

std::uint64_t Spool::owed_bytes() const {
  const MutexLock lock(state_->mutex);
  return state_->owed;
}

std::uint64_t Spool::owed_chunks() const {
  const MutexLock lock(state_->mutex);
  return state_->owed_count;
}

std::uint64_t Spool::bytes_max() const { return state_->options.bytes_max; }

std::uint64_t Spool::free_bytes(std::uint64_t needed) const { return state_->free_bytes(needed); }

Result<void> Spool::wait_for_room(std::uint64_t bytes, os::SteadyTime deadline, const std::stop_token& stop) {
  if (state_->free_bytes(bytes) >= bytes) return {};
  os::begin_long_wait();
  // The lock is taken, so that a stop between the check and the wait is not missed.
  const std::stop_callback wake(stop, [this] {
    { const MutexLock lock(state_->mutex); }
    state_->room.notify_all();
  });
  bool helps_to_settle = false;
  {
    const MutexLock lock(state_->mutex);
    helps_to_settle = !state_->unnamed.empty();
  }
  if (helps_to_settle) COFFER_DO(state_->settle());
  for (;;) {
    std::uint64_t seen = 0;
    {
      const MutexLock lock(state_->mutex);
      seen = state_->room_changes;
    }
    if (state_->free_bytes(bytes) >= bytes) return {};
    const auto now = std::chrono::steady_clock::now();
    const MutexLock lock(state_->mutex);
    if (stop.stop_requested()) return Error{Fault::stopped, 0, "waiting for room in the spool"};
    if (now >= deadline) return Error{Fault::full, 0, "the spool stays full"};
    if (state_->room_changes == seen) state_->room.wait_until(state_->mutex, std::min(deadline, now + kDiskPoll));
  }
}

}  // namespace coffer::spool
