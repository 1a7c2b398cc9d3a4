#include "common/pack/pack_store.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/crypto/hash.h"
#include "common/pack/record.h"
#include "common/pack/recovery.h"
#include "common/pack/salvage.h"
#include "common/pack/store_state.h"
#include "common/pack/walk.h"

namespace coffer::pack {
namespace {

/// A damaged index is this machine's failure; Fault::corrupt would say that a chunk is.
Error index_error(Error error) {
  if (error.fault == Fault::corrupt) error = {Fault::local_io, EIO, std::move(error.what)};
  return std::move(error).in("pack index");
}

/// One process at a time has a folder of packs open.
Result<std::unique_ptr<os::DiskLock>> lock_folder(os::Disk& disk, const std::string& folder) {
  Result<std::unique_ptr<os::DiskLock>> lock = disk.lock(folder + "/lock");
  if (!lock) return std::move(lock).error().in("the folder of packs");
  return lock;
}

/// A payload in an unreadable sector is that one chunk's loss, and another copy helps; the disk goes on.
Result<Bytes> read_stored(os::File& file, std::uint64_t record_offset, std::uint32_t bytes) {
  Result<Bytes> payload = read_payload(file, record_offset, bytes);
  if (!payload && is_unreadable(payload.error())) {
    return Error{Fault::corrupt, EIO, std::move(payload.error().what)};
  }
  return payload;
}

/// False also where the header cannot be read: it is no part of the chunk.
bool is_record_of(os::File& file, const Location& at, const object::ChunkId& id) {
  Bytes bytes(kRecordHeaderBytes);
  const Result<std::size_t> got = file.read_at(bytes, at.offset);
  if (!got || *got < bytes.size()) return false;
  const std::optional<RecordHeader> header = decode_record_header(bytes);
  return header && header->id == id && header->bytes == at.bytes;
}

/// A pack that is gone took its chunks with it, and no others.
Error pack_error(Error error) {
  if (error.code == ENOENT) error = {Fault::corrupt, EIO, std::move(error.what)};
  return std::move(error).in("the chunk's pack");
}

}  // namespace

PackStore::PackStore(std::unique_ptr<State> state) : state_(std::move(state)) {}

PackStore::~PackStore() {
  // Nobody waits for it, but the next open() has less to read.
  if (Result<void> synced = state_->sync(State::Rows::now); !synced)
    log::warn("pack.close", {{"why", synced.error().what}});
}

Result<std::unique_ptr<PackStore>> PackStore::open(os::Disk& disk, std::string folder, const PackOptions& options) {
  COFFER_DO(disk.make_folder(folder));
  COFFER_TRY(std::unique_ptr<os::DiskLock> lock, lock_folder(disk, folder));
  auto state = std::make_unique<State>(disk, folder, options, std::move(lock));
  state->files = std::make_unique<PackFiles>(disk, folder);
  ScanReport report;
  COFFER_TRY(state->index, open_index(disk, folder, *state->files, report));
  COFFER_DO(state->begin());
  return std::unique_ptr<PackStore>(new PackStore(std::move(state)));
}

Result<ScanReport> PackStore::rebuild_index(os::Disk& disk, const std::string& folder) {
  COFFER_TRY(const std::unique_ptr<os::DiskLock> lock, lock_folder(disk, folder));
  PackFiles files(disk, folder);
  ScanReport report;
  COFFER_DO(pack::rebuild_index(disk, folder, files, report));
  return report;
}

/// Counts what the index has, and goes on with the last pack.
Result<void> PackStore::State::begin() {
  COFFER_TRY(const auto totals, index->totals());
  COFFER_TRY(const std::vector<std::uint64_t> packs, files->list());
  const MutexLock writing_lock(write_mutex);
  const MutexLock lock(table_mutex);
  for (const auto& [pack, total] : totals) {
    live[pack] = total.chunks;
    chunk_count += total.chunks;
    stored_bytes += total.bytes;
  }
  COFFER_DO(take_up_unreadable());
  if (packs.empty()) return {};
  writing.number = packs.back();
  COFFER_TRY(writing.file, files->get(writing.number));
  COFFER_TRY(writing.end, writing.file->size());
  written = writing;
  synced_end = writing.end;
  indexed_end = writing.end;
  return {};
}

/// A copy may have come since, in the last moment of the process before this one.
Result<void> PackStore::State::take_up_unreadable() {
  COFFER_TRY(const std::vector<Entry> entries, index->unreadable());
  for (const Entry& entry : entries) {
    live[entry.at.pack] += 1;
    unreadable.insert_or_assign(entry.id, entry.at);
    COFFER_TRY(const std::optional<Location> copy, index->find(entry.id));
    if (!copy) continue;
    const Result<std::shared_ptr<os::File>> file = files->get(copy->pack);
    if (!file) continue;
    const Result<bool> is_good = payload_matches(**file, copy->offset, {.id = entry.id, .bytes = copy->bytes});
    if (!is_good || !*is_good) continue;
    replace_unreadable(entry.id);
    changes += 1;
  }
  return {};
}

Result<void> PackStore::State::check_working() {
  const MutexLock lock(table_mutex);
  if (broken) return Error(*broken).in("a pack could not be synced earlier");
  return {};
}

Result<std::optional<Location>> PackStore::State::locate(const object::ChunkId& id) {
  std::vector<Location> going;
  {
    const MutexLock lock(table_mutex);
    if (const auto found = pending.find(id); found != pending.end()) return std::optional<Location>(found->second);
    const auto [first, last] = leaving.equal_range(id);
    for (auto it = first; it != last; ++it) going.push_back(it->second);
  }
  Result<std::optional<Location>> found = index->find(id);
  if (!found) return index_error(std::move(found).error());
  // By its place: a copy that came after it may be in the index already.
  if (*found && std::ranges::find(going, **found) != going.end()) return std::optional<Location>();
  return found;
}

Result<bool> PackStore::State::make_room(std::uint64_t record_bytes) {
  const bool has_room = writing.end + record_bytes <= options.pack_bytes_max || writing.end == kPackHeaderBytes;
  if (writing.file != nullptr && has_room) return false;
  const bool closes = writing.file != nullptr;
  if (closes) {
    // Recovery relies on it: only the last pack may hold what is not on stable storage.
    if (Result<void> synced = writing.file->sync(); !synced) {
      const MutexLock lock(table_mutex);
      broken = synced.error();
      return std::move(synced).error();
    }
  }
  CurrentPack next{.number = writing.number + 1, .file = nullptr, .end = kPackHeaderBytes};
  COFFER_TRY(next.file, files->create(next.number));
  IndexChange born;
  born.scanned[next.number] = kPackHeaderBytes;
  if (Result<void> indexed = index->apply(born); !indexed) {
    log::warn("pack.index_write", {{"why", indexed.error().what}});  // A torn tail would then be kept, no more.
  }
  writing = next;
  const MutexLock lock(table_mutex);
  written = next;
  synced_end = 0;
  indexed_end = kPackHeaderBytes;
  folder_is_synced = false;
  return closes;
}

Result<void> PackStore::State::write_record(const object::ChunkId& id, ByteView bytes) {
  const Location at{.pack = writing.number, .offset = writing.end, .bytes = static_cast<std::uint32_t>(bytes.size())};
  Result<void> done = writing.file->write_at(encode_record_header(id, at.bytes), at.offset);
  if (done) done = writing.file->write_at(bytes, at.offset + kRecordHeaderBytes);
  if (!done) {
    (void)writing.file->truncate(at.offset);  // If that fails too, the next record or the next open() covers it.
    return done;
  }
  writing.end += kRecordHeaderBytes + bytes.size();
  const MutexLock lock(table_mutex);
  written.end = writing.end;
  pending.insert_or_assign(id, at);
  replace_unreadable(id);
  live[at.pack] += 1;
  chunk_count += 1;
  stored_bytes += at.bytes;
  changes += 1;
  return {};
}

Result<void> PackStore::append(const object::ChunkId& id, ByteView bytes) {
  COFFER_CHECK(bytes.size() <= std::numeric_limits<std::uint32_t>::max());
  bool closed_pack = false;
  {
    const MutexLock lock(state_->write_mutex);
    COFFER_DO(state_->check_working());
    COFFER_TRY(const std::optional<Location> present, state_->locate(id));
    if (present) return {};
    COFFER_TRY(closed_pack, state_->make_room(kRecordHeaderBytes + bytes.size()));
    COFFER_DO(state_->write_record(id, bytes));
  }
  return state_->sync_if_much_waits(closed_pack);
}

Result<void> PackStore::sync() { return state_->sync(State::Rows::may_wait); }

Result<std::optional<std::uint32_t>> PackStore::find(const object::ChunkId& id) {
  COFFER_TRY(const std::optional<Location> at, state_->locate(id));
  if (!at) return std::optional<std::uint32_t>();
  return std::optional<std::uint32_t>(at->bytes);
}

Result<Bytes> PackStore::State::read_at(const object::ChunkId& id, const ReadPart& part) {
  for (;;) {
    const std::uint64_t round = removal_round.load();
    COFFER_TRY(const std::optional<Location> at, locate(id));
    if (!at) return answer(ENOENT);
    Result<Bytes> bytes = part(*this, *at);
    if (round == removal_round.load()) return bytes;  // Else it may have gone away while it was read.
  }
}

Result<Bytes> PackStore::read(const object::ChunkId& id) {
  return state_->read_at(id, [&](State& state, const Location& at) -> Result<Bytes> {
    const Result<std::shared_ptr<os::File>> file = state.files->get(at.pack);
    if (!file) return pack_error(file.error());
    COFFER_TRY(Bytes bytes, read_stored(**file, at.offset, at.bytes));
    if (crypto::sha256(bytes) != id.array()) return Error{Fault::corrupt, EIO, "chunk does not match its id"};
    return bytes;
  });
}

Result<Bytes> PackStore::read_range(const object::ChunkId& id, std::uint32_t offset, std::uint32_t bytes) {
  return state_->read_at(id, [&](State& state, const Location& at) -> Result<Bytes> {
    if (offset > at.bytes || bytes > at.bytes - offset) return Error{Fault::corrupt, EIO, "range is not in the chunk"};
    const Result<std::shared_ptr<os::File>> file = state.files->get(at.pack);
    if (!file) return pack_error(file.error());
    // A part has no hash of its own: that it is this chunk's, the record's header must say, or the whole.
    if (is_record_of(**file, at, id)) return read_stored(**file, at.offset + offset, bytes);
    COFFER_TRY(const Bytes whole, read_stored(**file, at.offset, at.bytes));
    if (crypto::sha256(whole) != id.array()) return Error{Fault::corrupt, EIO, "chunk does not match its id"};
    return copy_of(ByteView(whole).subspan(offset, bytes));
  });
}

Result<void> PackStore::remove(const object::ChunkId& id) {
  {
    const MutexLock writing_lock(state_->write_mutex);
    COFFER_DO(state_->check_working());
    COFFER_TRY(const std::optional<Location> at, state_->locate(id));
    if (at) {
      state_->leave(id, *at);
    } else {
      const MutexLock lock(state_->table_mutex);
      if (!state_->unreadable.contains(id)) return {};
      state_->replace_unreadable(id);
      state_->changes += 1;
    }
  }
  return state_->sync_if_much_waits(false);
}

void PackStore::State::leave(const object::ChunkId& id, const Location& at) {
  const MutexLock lock(table_mutex);
  pending.erase(id);
  leaving.emplace(id, at);
  leaving_bytes += at.bytes;
  live[at.pack] -= 1;
  chunk_count -= 1;
  stored_bytes -= at.bytes;
  changes += 1;
}

bool PackStore::is_broken() const { return !state_->check_working(); }

std::uint64_t PackStore::chunk_count() const {
  const MutexLock lock(state_->table_mutex);
  return state_->chunk_count;
}

std::uint64_t PackStore::stored_bytes() const {
  const MutexLock lock(state_->table_mutex);
  return state_->stored_bytes;
}

}  // namespace coffer::pack
