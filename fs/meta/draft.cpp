// Deletions, what is released, and the draft as a whole.
#include "fs/meta/draft.h"

#include <algorithm>

#include "common/base/limits.h"
#include "fs/meta/read.h"

namespace coffer::meta {
namespace {

/// Deletions that were owed before, and wait for nothing that is owed now.
constexpr std::size_t kDeletionsExaminedMax = 4000;
constexpr std::size_t kReleasedMax = 8000;

}  // namespace

Result<void> Drafting::pick() {
  COFFER_DO(pick_inodes());
  COFFER_DO(pick_names());
  return pick_deletions();
}

bool Drafting::is_empty() const {
  const auto is_picked = [](const Unit& unit) { return unit.is_picked; };
  return inodes_.empty() && deletions_.empty() && std::none_of(units_.begin(), units_.end(), is_picked);
}

Result<bool> Drafting::all_picked(Rows rows) const {
  for (;;) {
    COFFER_TRY(const bool found, rows.step());
    if (!found) return true;
    if (!is_picked(NameKey(rows.u64(0), rows.text(1)))) return false;
  }
}

Result<void> Drafting::pick_deletions() {
  for (const auto& [key, candidate] : candidates_) {
    if (candidate.base != InodeId() && is_picked(key)) COFFER_DO(consider_deletion(candidate.base));
  }
  std::vector<std::pair<InodeId, std::uint64_t>> others;
  COFFER_DO(for_each(connection_.query("SELECT ino, first FROM owed_inode WHERE (unstored > 0) + 2 * deleted = 2 AND "
                                       "first > ? ORDER BY first LIMIT ?",
                                       std::exchange(store_.deletions_cursor_, 0), kDeletionsExaminedMax),
                     [&](const Rows& row) { others.emplace_back(InodeId(row.u64(0)), row.u64(1)); }));
  if (others.size() == kDeletionsExaminedMax) store_.deletions_cursor_ = others.back().second;
  for (const auto& [inode, first] : others) COFFER_DO(consider_deletion(inode));
  return {};
}

// No committed name leads to the inode any more. From a folder, none does either: R3.
Result<void> Drafting::consider_deletion(InodeId inode) {
  if (deletions_.contains(inode)) return {};
  COFFER_TRY(const bool is_deleted, connection_.any("SELECT 1 FROM owed_inode WHERE ino = ? AND deleted = 1", inode));
  if (!is_deleted) return {};
  COFFER_TRY(const bool nameless,
             all_picked(connection_.query("SELECT parent, name FROM owed_name WHERE base = ? AND base > 0", inode)));
  if (nameless) deletions_.insert(inode);
  return {};
}

Result<void> Drafting::mark_in_flight() {
  std::string whole;
  for (const PickedInode& picked : inodes_) {
    if (picked.is_whole) whole += (whole.empty() ? "[" : ",") + std::to_string(picked.inode.value());
  }
  if (!whole.empty()) {
    whole += ']';
    const std::string_view list(whole);
    // One statement for all of them, which are thousands.
    COFFER_DO(connection_.run(
        "UPDATE owed_inode SET flight = 1 WHERE ino IN (SELECT value FROM json_each(CAST(? AS TEXT)))", list));
    COFFER_DO(connection_.run(
        "UPDATE owed_range SET flight = 1 WHERE ino IN (SELECT value FROM json_each(CAST(? AS TEXT))) AND flight = 0",
        list));
  }
  for (const PickedInode& picked : inodes_) {
    if (picked.is_whole) continue;
    COFFER_DO(connection_.run("UPDATE owed_inode SET flight = 1, next_first = first WHERE ino = ?", picked.inode));
    for (const Range& sent : picked.ranges) {
      if (sent.begin == sent.end) continue;
      Range owed = sent;
      {
        Rows rows = connection_.query("SELECT end FROM owed_range WHERE ino = ? AND flight = 0 AND begin = ?",
                                      picked.inode, sent.begin);
        COFFER_TRY(const bool found, rows.step());
        if (found) owed.end = rows.u64(0);
      }
      COFFER_DO(connection_.run("DELETE FROM owed_range WHERE ino = ? AND flight = 0 AND begin = ?", picked.inode,
                                sent.begin));
      COFFER_DO(connection_.run("INSERT INTO owed_range VALUES (?, 1, ?, ?)", picked.inode, sent.begin, sent.end));
      COFFER_DO(store_.owe_range(picked.inode, {sent.end, owed.end}));
    }
  }
  for (const InodeId inode : deletions_) {
    COFFER_DO(connection_.run("UPDATE owed_inode SET flight = 1 WHERE ino = ?", inode));
  }
  for (const auto& [key, candidate] : candidates_) {
    if (!is_picked(key)) continue;
    COFFER_DO(connection_.run("UPDATE owed_name SET flight = 1, sent = ? WHERE parent = ? AND name = ?", candidate.now,
                              key.first, std::string_view(key.second)));
  }
  for (const ChunkRow& chunk : chunks_) {
    if (chunk.state != ChunkState::stored) continue;
    COFFER_DO(connection_.run("UPDATE chunk SET flight = 1 WHERE key = ?", chunk.key));
  }
  return {};
}

// A chunk is released when the change that took its last extent away is committed, and every change before that: until
// then the committed state may still need it.
Result<std::vector<object::ChunkId>> Drafting::release() {
  std::uint64_t owed_since = store_.counters_.version + 1;
  for (const int part : {0, 1, 2}) {
    Rows rows = connection_.query(
        "SELECT first FROM owed_inode WHERE (unstored > 0) + 2 * deleted = ? AND (flight = 0 OR next_first > 0) "
        "ORDER BY first LIMIT 1",
        part);
    COFFER_TRY(const bool found, rows.step());
    if (found) owed_since = std::min(owed_since, rows.u64(0));
  }
  std::vector<std::pair<ChunkKey, object::ChunkId>> dead;
  COFFER_DO(for_each(connection_.query("SELECT key, id FROM chunk INDEXED BY chunk_dead WHERE refs = 0 AND dead_at < ? "
                                       "AND state = 3 AND flight = 0 ORDER BY dead_at LIMIT ?",
                                       owed_since, kReleasedMax),
                     [&](const Rows& row) {
                       const ChunkKey key(row.integer(0));
                       if (!store_.keeps_.has(key)) dead.emplace_back(key, row.id<object::ChunkId>(1));
                     }));
  std::vector<object::ChunkId> released;
  for (const auto& [key, id] : dead) {
    COFFER_DO(connection_.run("UPDATE chunk SET flight = 2 WHERE key = ?", key));
    released.push_back(id);
  }
  std::sort(released.begin(), released.end());
  return released;
}

Result<Draft> Drafting::write() {
  COFFER_DO(mark_in_flight());
  Draft draft{.seq = store_.counters_.head_seq + 1,
              .previous = store_.counters_.head_hash,
              .added = {},
              .released = {},
              .payload = {}};
  COFFER_TRY(draft.released, release());
  for (const ChunkRow& chunk : chunks_) {
    ops::Chunk& record = *message_.add_chunks();
    record.set_id(std::string(as_text(chunk.id.bytes())));
    record.set_sealed_bytes(chunk.sealed_bytes);
    record.set_plain_bytes(chunk.plain_bytes);
    if (chunk.state == ChunkState::stored) draft.added.push_back(chunk.id);
  }
  std::sort(draft.added.begin(), draft.added.end());
  for (const auto& [key, candidate] : candidates_) {
    if (!is_picked(key)) continue;
    ops::Name& record = *message_.add_names();
    record.set_parent(key.first.value());
    record.set_name(key.second);
    record.set_inode(candidate.now.value());
  }
  for (const InodeId inode : deletions_) message_.add_deleted(inode.value());
  message_.set_version(1);
  message_.set_inode_next(store_.counters_.inode_next);
  draft.payload.resize(message_.ByteSizeLong());
  if (!message_.SerializeToArray(draft.payload.data(), static_cast<int>(draft.payload.size()))) {
    return Error{Fault::corrupt, 0, "the draft cannot be encoded"};
  }
  return draft;
}

void Store::hold(InodeId inode, bool held) {
  if (held) {
    held_.insert(inode);
  } else {
    held_.erase(inode);
  }
}

Result<bool> Store::let_go_for(InodeId inode) {
  if (held_.empty()) return false;
  COFFER_TRY(const std::vector<InodeId> held, Drafting(*this).holding_back(inode));
  for (const InodeId one : held) held_.erase(one);
  return !held.empty();
}

Result<std::optional<Bytes>> Store::draft_commit(const std::function<Result<Bytes>(const Draft&)>& seal,
                                                 std::vector<CarriedChunk>* carried) {
  COFFER_TRY(const bool is_pending, connection_.any("SELECT 1 FROM pending"));
  if (is_pending) return Error{Fault::refused, 0, "a commit is pending"};
  known_owed_.clear();
  // To the draft they are as good as stored; to all others they are not.
  if (carried != nullptr) COFFER_DO(move_all(*carried, ChunkState::spooled, ChunkState::stored));
  Drafting drafting(*this);
  COFFER_DO(drafting.pick());
  COFFER_TRY(const Draft draft, drafting.write());
  if (carried != nullptr) {
    COFFER_DO(move_all(*carried, ChunkState::stored, ChunkState::spooled));
    std::erase_if(*carried, [&](const CarriedChunk& chunk) {
      return !std::binary_search(draft.added.begin(), draft.added.end(), chunk.row.id);
    });
    for (const CarriedChunk& chunk : *carried) {
      COFFER_DO(connection_.run("INSERT INTO carried VALUES (?, ?)", chunk.row.key, ByteView(*chunk.sealed)));
    }
  }
  if (drafting.is_empty() && draft.released.empty()) return std::optional<Bytes>();
  COFFER_TRY(Bytes bytes, seal(draft));
  COFFER_DO(connection_.run("INSERT INTO pending VALUES (1, ?, ?)", draft.seq, ByteView(bytes)));
  return std::optional<Bytes>(std::move(bytes));
}

Result<void> Store::move_all(const std::vector<CarriedChunk>& chunks, ChunkState from, ChunkState to) {
  for (const CarriedChunk& chunk : chunks) COFFER_DO(set_stored(chunk.row.key, from, to));
  return {};
}

Result<std::vector<CarriedChunk>> Store::carried() {
  std::vector<CarriedChunk> chunks;
  COFFER_DO(for_each(connection_.query("SELECT c.key, c.id, c.state, c.sealed_bytes, c.plain_bytes, carried.bytes "
                                       "FROM carried JOIN chunk c ON c.key = carried.key ORDER BY c.key"),
                     [&](const Rows& row) {
                       chunks.push_back({read::chunk_row(row), std::make_shared<const Bytes>(copy_of(row.blob(5)))});
                     }));
  return chunks;
}

Result<std::optional<Bytes>> Store::pending_commit() {
  Rows rows = connection_.query("SELECT bytes FROM pending");
  COFFER_TRY(const bool is_pending, rows.step());
  if (!is_pending) return std::optional<Bytes>();
  return std::optional(copy_of(rows.blob(0)));
}

}  // namespace coffer::meta
