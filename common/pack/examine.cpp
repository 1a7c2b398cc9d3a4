// Damaged records: found, kept aside, and out of the way of a good copy.
#include <cerrno>

#include "common/base/log.h"
#include "common/crypto/hash.h"
#include "common/pack/record.h"
#include "common/pack/store_state.h"
#include "common/pack/walk.h"

namespace coffer::pack {

Result<std::vector<StoredChunk>> PackStore::chunks_from(Place& from, std::size_t count_max) {
  std::vector<StoredChunk> chunks;
  COFFER_TRY(const std::vector<Entry> rows, state_->index->rows(from.pack, from.offset, count_max));
  for (const Entry& row : rows) {
    from = {.pack = row.at.pack, .offset = row.at.offset + 1};
    chunks.push_back({.id = row.id, .bytes = row.at.bytes});
  }
  return chunks;
}

Result<Soundness> PackStore::examine(const object::ChunkId& id) {
  const Result<Bytes> bytes = read(id);
  if (bytes) return Soundness::good;
  if (bytes.error().fault == Fault::answer) return Soundness::absent;
  if (bytes.error().fault != Fault::corrupt) return bytes.error();
  {
    const MutexLock writing_lock(state_->write_mutex);
    COFFER_DO(state_->check_working());
    // Another thread may have set it aside meanwhile, and a good copy have come.
    const Result<Bytes> again = read(id);
    if (again) return Soundness::good;
    if (again.error().fault == Fault::answer) return Soundness::damaged;
    COFFER_TRY(const std::optional<Location> at, state_->locate(id));
    if (!at) return Soundness::damaged;
    COFFER_TRY(const bool is_its_record, state_->keep_aside(id, *at));
    if (is_its_record) {
      state_->leave(id, *at);
    } else {
      COFFER_DO(state_->forget(id, *at));
    }
  }
  log::error("pack.set_aside", {{"chunk", id.hex()}, {"why", bytes.error().what}});
  COFFER_DO(state_->sync());
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

Result<bool> PackStore::State::keep_aside(const object::ChunkId& id, const Location& at) {
  const Result<std::shared_ptr<os::File>> file = files->get(at.pack);
  if (!file && file.error().code == ENOENT) return true;  // Nothing is left of it, and nothing that could be spoilt.
  if (!file) return file.error();
  Bytes header(kRecordHeaderBytes);
  const Result<std::size_t> got = (*file)->read_at(header, at.offset);
  // Where another record lies, the index is wrong: what it names there must not be touched.
  if (!got || *got < header.size() || !is_header_of(header, id, at.bytes)) return false;
  Bytes left(at.bytes);
  const Result<std::size_t> readable = (*file)->read_at(left, at.offset + kRecordHeaderBytes);
  left.resize(readable ? *readable : 0);
  if (!left.empty()) {
    COFFER_DO(disk.make_folder(folder + "/quarantine"));
    COFFER_DO(os::replace_file(disk, folder + "/quarantine/" + id.hex(), left));
  }
  // A header that a flipped bit spoilt would be found as damage for ever; the index knows what it said.
  if (!decode_record_header(header)) COFFER_DO((*file)->write_at(encode_record_header(id, at.bytes), at.offset));
  return true;
}

Result<void> PackStore::State::forget(const object::ChunkId& id, const Location& at) {
  COFFER_DO(index->forget_row(at.pack, at.offset));
  const MutexLock lock(table_mutex);
  pending.erase(id);
  live[at.pack] -= 1;
  chunk_count -= 1;
  stored_bytes -= at.bytes;
  return {};
}

}  // namespace coffer::pack
