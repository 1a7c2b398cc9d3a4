// Damaged records: found, kept aside, and out of the way of a good copy.
#include <cerrno>
#include <optional>

#include "common/base/log.h"
#include "common/crypto/hash.h"
#include "common/pack/record.h"
#include "common/pack/salvage.h"
#include "common/pack/store_state.h"
#include "common/pack/walk.h"

namespace coffer::pack {

Result<std::vector<StoredChunk>> PackStore::chunks_from(Place& from, std::size_t count_max) {
  // Rows that wait belong to chunks that are stored. Where they cannot be written a later walk meets them.
  if (Result<void> written = state_->sync(State::Rows::now); !written) {
    log::warn("pack.index_write", {{"why", written.error().what}});
  }
  std::vector<StoredChunk> chunks;
  COFFER_TRY(const std::vector<Entry> rows, state_->index->all_rows(from.pack, from.offset, count_max));
  for (const Entry& row : rows) {
    from = {.pack = row.at.pack, .offset = row.at.offset + 1};
    chunks.push_back({.id = row.id, .bytes = row.at.bytes});
  }
  return chunks;
}

Result<Soundness> PackStore::examine(const object::ChunkId& id) {
  const Result<Bytes> bytes = read(id);
  if (bytes) return Soundness::good;
  if (bytes.error().fault == Fault::answer) return state_->examine_unreadable(id);
  if (bytes.error().fault != Fault::corrupt) return bytes.error();
  // What the index forgets it must have known: the next open() reads from the last row on, and would find the record.
  COFFER_DO(state_->sync(State::Rows::now));
  {
    const MutexLock writing_lock(state_->write_mutex);
    COFFER_DO(state_->check_working());
    // Another thread may have set it aside meanwhile, and a good copy have come.
    const Result<Bytes> again = read(id);
    if (again) return Soundness::good;
    if (again.error().fault == Fault::answer) return Soundness::damaged;
    COFFER_TRY(const std::optional<Location> at, state_->locate(id));
    if (!at) return Soundness::damaged;
    COFFER_TRY(const State::Ruin ruin, state_->keep_aside(id, *at));
    if (ruin == State::Ruin::none) return Soundness::good;
    if (ruin == State::Ruin::wrong) {
      state_->leave(id, *at);
    } else {
      COFFER_DO(state_->forget(id, *at, ruin));
    }
  }
  log::error("pack.set_aside", {{"chunk", id.hex()}, {"why", bytes.error().what}});
  COFFER_DO(state_->sync(State::Rows::now));
  return Soundness::damaged;
}

Result<Soundness> PackStore::State::examine_unreadable(const object::ChunkId& id) {
  const auto where = [&]() -> std::optional<Location> {
    const MutexLock lock(table_mutex);
    const auto found = unreadable.find(id);
    return found == unreadable.end() ? std::nullopt : std::optional(found->second);
  };
  if (!where()) return Soundness::absent;
  {
    const MutexLock writing_lock(write_mutex);
    COFFER_DO(check_working());
    const std::optional<Location> at = where();
    if (!at) return Soundness::good;  // A good copy has come meanwhile.
    COFFER_TRY(const Ruin ruin, keep_aside(id, *at));
    if (ruin == Ruin::unreadable) return Soundness::damaged;
    if (ruin == Ruin::none) {
      COFFER_DO(index->set_readable({.id = id, .at = *at}));
      const MutexLock lock(table_mutex);
      unreadable.erase(id);
      chunk_count += 1;
      stored_bytes += at->bytes;
      log::info("pack.readable_again", {{"chunk", id.hex()}});
      return Soundness::good;
    }
    if (ruin == Ruin::elsewhere) COFFER_DO(index->forget_row(at->pack, at->offset));
    const MutexLock lock(table_mutex);
    if (ruin == Ruin::wrong) {
      replace_unreadable(id);
      changes += 1;
    } else {
      live[at->pack] -= 1;
      unreadable.erase(id);
    }
  }
  COFFER_DO(sync(Rows::now));
  return Soundness::damaged;
}

namespace {

/// Whether the bytes are the header of this record, with at most a third of them spoilt.
bool is_header_of(ByteView found, const object::ChunkId& id, std::uint32_t bytes) {
  const auto wanted = encode_record_header(id, bytes);
  std::size_t differing = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) differing += found[i] != wanted[i] ? 1 : 0;
  return differing <= wanted.size() / 3;
}

}  // namespace

Result<PackStore::State::Ruin> PackStore::State::keep_aside(const object::ChunkId& id, const Location& at) {
  const Result<std::shared_ptr<os::File>> file = files->get(at.pack);
  if (!file && file.error().code == ENOENT) return Ruin::wrong;  // Nothing is left of it, or could be spoilt.
  if (!file) return file.error();
  COFFER_TRY(const Salvage header, salvage(**file, at.offset, kRecordHeaderBytes));
  // Where another record lies, the index is wrong: what it names there must not be touched.
  if (header.is_whole && (header.bytes.size() < kRecordHeaderBytes || !is_header_of(header.bytes, id, at.bytes)))
    return Ruin::elsewhere;
  COFFER_TRY(const Salvage payload, salvage(**file, at.offset + kRecordHeaderBytes, at.bytes));
  if (payload.is_whole && crypto::sha256(payload.bytes) == id.array()) return Ruin::none;
  // Also where nothing could be read: the file's name tells a check() that looks at headers alone to read the payload.
  if (payload.has_some || !payload.is_whole) {
    COFFER_DO(disk.make_folder(folder + "/quarantine"));
    COFFER_DO(os::replace_file(disk, folder + "/quarantine/" + id.hex(), payload.bytes));
  }
  if (!header.is_whole || !payload.is_whole) return Ruin::unreadable;
  // A header that a flipped bit spoilt would be found as damage for ever; the index knows what it said.
  if (!decode_record_header(header.bytes)) COFFER_DO((*file)->write_at(encode_record_header(id, at.bytes), at.offset));
  return Ruin::wrong;
}

Result<void> PackStore::State::forget(const object::ChunkId& id, const Location& at, Ruin why) {
  if (why == Ruin::unreadable) {
    COFFER_DO(index->set_unreadable({.id = id, .at = at}));
  } else {
    COFFER_DO(index->forget_row(at.pack, at.offset));
  }
  const MutexLock lock(table_mutex);
  pending.erase(id);
  chunk_count -= 1;
  stored_bytes -= at.bytes;
  if (why == Ruin::unreadable) {
    unreadable.insert_or_assign(id, at);
  } else {
    live[at.pack] -= 1;
  }
  return {};
}

void PackStore::State::replace_unreadable(const object::ChunkId& id) {
  const auto found = unreadable.find(id);
  if (found == unreadable.end()) return;
  leaving.emplace(id, found->second);
  leaving_bytes += found->second.bytes;
  live[found->second.pack] -= 1;
  unreadable.erase(found);
}

}  // namespace coffer::pack
