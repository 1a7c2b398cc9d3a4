// Chunks: how many extents use them, how far they have come, and which are owed.
#include <cerrno>
#include <chrono>

#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

/// Files that one who waits can raise beside his own.
constexpr std::size_t kRaisedMax = 4000;
constexpr std::int64_t kAgeBoostNs = std::chrono::nanoseconds(std::chrono::minutes(10)).count();

}  // namespace

Result<std::int64_t> Store::count_uses(const Uses& uses, bool wanted) {
  std::int64_t unstored = 0;
  for (const auto& [key, more] : uses) {
    if (more == 0) continue;
    ChunkRow row;
    std::int64_t refs = 0;
    bool in_flight = false;
    {
      Rows rows = connection_.query(
          "SELECT key, id, state, sealed_bytes, plain_bytes, refs, flight FROM chunk WHERE key = ?", key);
      COFFER_TRY(const bool found, rows.step());
      if (!found) return answer(ESTALE);
      row = read::chunk_row(rows);
      refs = rows.integer(5);
      in_flight = rows.integer(6) != 0;
      // What is being released cannot be used again: the server may give its space back.
      if (rows.integer(6) == 2 && more > 0) return answer(ESTALE);
    }
    if (row.state < ChunkState::stored) unstored += more;
    if (refs == 0) counters_.sealed_bytes += row.sealed_bytes;
    refs += more;
    if (refs == 0) counters_.sealed_bytes -= row.sealed_bytes;
    if (refs == 0 && row.state < ChunkState::committed && !in_flight && !keeps_.has(key)) {
      COFFER_DO(drop_chunk(row));
      continue;
    }
    const std::uint64_t dead_at = refs == 0 ? ++counters_.version : 0;
    COFFER_DO(connection_.run("UPDATE chunk SET refs = ?2, wanted = wanted + ?3, dead_at = ?4 WHERE key = ?1", key,
                              refs, wanted ? more : 0, dead_at));
  }
  return unstored;
}

Result<void> Store::drop_chunk(const ChunkRow& row) {
  known_open_.erase(row.key);
  const bool has_pieces = !pieces_of_load_ || pieces_of_load_->has_written();
  if (has_pieces) COFFER_DO(connection_.run("DELETE FROM piece WHERE chunk = ?", row.key));
  COFFER_DO(connection_.run("DELETE FROM chunk WHERE key = ?", row.key));
  dropped_.push_back(row);
  return {};
}

Result<bool> Store::is_unused(ChunkKey chunk) {
  if (keeps_.has(chunk)) return false;
  return connection_.any("SELECT 1 FROM chunk WHERE key = ? AND refs = 0 AND state < 3 AND flight = 0", chunk);
}

Result<void> Store::drop_if_unused(ChunkKey chunk) {
  COFFER_TRY(const bool unused, is_unused(chunk));
  if (!unused) return {};
  COFFER_TRY(const ChunkRow row, read::chunk(connection_, chunk));
  return drop_chunk(row);
}

Result<ChunkKey> Store::add_open_chunk() {
  COFFER_DO(connection_.run(
      "INSERT INTO chunk (state, sealed_bytes, plain_bytes, refs, wanted, priority, since, flight, dead_at) "
      "VALUES (0, 0, 0, 0, 0, ?, ?, 0, 0)",
      static_cast<int>(Priority::small), now_ns()));
  const ChunkKey key(connection_.database().last_insert_rowid());
  known_open_.insert(key);
  keeps_.keep_chunk(key);
  return key;
}

Result<ChunkKey> Store::add_spooled_chunk(const object::ChunkId& id, std::uint32_t sealed_bytes,
                                          std::uint32_t plain_bytes, Priority priority) {
  COFFER_TRY(const std::optional<ChunkRow> existing, read::chunk_by_id(connection_, id));
  if (existing) return answer(EEXIST);
  COFFER_DO(connection_.run(
      "INSERT INTO chunk (id, state, sealed_bytes, plain_bytes, refs, wanted, priority, since, flight, dead_at) "
      "VALUES (?, 1, ?, ?, 0, 0, ?, ?, 0, 0)",
      id, sealed_bytes, plain_bytes, static_cast<int>(priority), now_ns()));
  const ChunkKey key(connection_.database().last_insert_rowid());
  keeps_.keep_chunk(key);
  return key;
}

Result<void> Store::chunk_sealed(ChunkKey chunk, const object::ChunkId& id, std::uint32_t sealed_bytes,
                                 std::uint32_t plain_bytes) {
  COFFER_TRY(const ChunkRow row, read::chunk(connection_, chunk));
  if (row.state != ChunkState::open) return answer(EINVAL);
  COFFER_TRY(
      const bool reaches_out,
      connection_.any("SELECT 1 FROM extent WHERE chunk = ? AND chunk_offset + bytes > ? LIMIT 1", chunk, plain_bytes));
  if (reaches_out) return answer(EINVAL);
  known_open_.erase(chunk);
  COFFER_DO(connection_.run(
      "UPDATE chunk SET state = 1, id = ?2, sealed_bytes = ?3, plain_bytes = ?4, since = ?5 WHERE key = ?1", chunk, id,
      sealed_bytes, plain_bytes, now_ns()));
  COFFER_TRY(const bool is_used, connection_.any("SELECT 1 FROM chunk WHERE key = ? AND refs > 0", chunk));
  if (is_used) counters_.sealed_bytes += sealed_bytes;
  return {};
}

Result<std::vector<ChunkRow>> Store::owed_chunks(std::size_t count_max, const std::function<bool(ChunkKey)>& skip) {
  std::vector<ChunkRow> owed;
  std::unordered_set<ChunkKey> seen;
  const auto collect = [&](Rows rows) -> Result<void> {
    while (owed.size() < count_max) {
      COFFER_TRY(const bool found, rows.step());
      if (!found) break;
      const ChunkRow row = read::chunk_row(rows);
      if (seen.insert(row.key).second && !(skip && skip(row.key))) owed.push_back(row);
    }
    return {};
  };
  COFFER_DO(
      collect(connection_.query("SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk INDEXED BY chunk_by_age "
                                "WHERE state = 1 AND wanted > 0 AND flight = 0 AND since < ? ORDER BY since",
                                now_ns() - kAgeBoostNs)));
  COFFER_DO(collect(
      connection_.query("SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk INDEXED BY chunk_by_urgency "
                        "WHERE state = 1 AND wanted > 0 AND flight = 0 ORDER BY priority, key")));
  return owed;
}

Result<void> Store::set_stored(ChunkKey chunk, ChunkState from, ChunkState to) {
  COFFER_DO(connection_.run("UPDATE chunk SET state = ?3, since = ?4 WHERE key = ?1 AND state = ?2", chunk,
                            static_cast<int>(from), static_cast<int>(to), now_ns()));
  if (connection_.changes() == 0) return {};
  std::vector<std::pair<InodeId, std::int64_t>> users;
  COFFER_DO(for_each(connection_.query("SELECT ino, count(*) FROM extent WHERE chunk = ? GROUP BY ino", chunk),
                     [&](const Rows& row) { users.emplace_back(InodeId(row.u64(0)), row.integer(1)); }));
  for (const auto& [inode, extents] : users) {
    COFFER_DO(add_unstored(inode, to == ChunkState::stored ? -extents : extents));
  }
  return {};
}

Result<void> Store::chunks_stored(std::span<const ChunkKey> chunks) {
  for (const ChunkKey chunk : chunks) COFFER_DO(set_stored(chunk, ChunkState::spooled, ChunkState::stored));
  return {};
}

Result<void> Store::chunks_lost(std::span<const object::ChunkId> chunks) {
  for (const object::ChunkId& id : chunks) {
    COFFER_TRY(const std::optional<ChunkRow> row, read::chunk_by_id(connection_, id));
    if (row) COFFER_DO(set_stored(row->key, ChunkState::stored, ChunkState::spooled));
  }
  return {};
}

Result<void> Store::raise(InodeId inode) {
  // Its own content, that of files whose names it holds, and that of files whose names go together with its own.
  std::vector<InodeId> needed{inode};
  const auto collect = [&](Rows rows) {
    return for_each(std::move(rows), [&](const Rows& row) { needed.emplace_back(row.u64(0)); });
  };
  COFFER_DO(
      collect(connection_.query("SELECT n.ino FROM owed_name o JOIN name n ON n.parent = o.parent AND n.name = o.name "
                                "WHERE o.parent = ? AND o.waits = 1 LIMIT ?",
                                inode, kRaisedMax)));
  COFFER_DO(collect(connection_.query(
      "SELECT n.ino FROM name own CROSS JOIN owed_name o ON o.parent = own.parent AND o.name = own.name "
      "CROSS JOIN owed_name mate ON mate.grp = o.grp AND mate.grp > 0 "
      "CROSS JOIN name n ON n.parent = mate.parent AND n.name = mate.name WHERE own.ino = ? LIMIT ?",
      inode, kRaisedMax)));
  for (const InodeId file : needed) {
    // What is not in an owed range is in chunks that are stored.
    COFFER_DO(connection_.run(
        "UPDATE chunk SET priority = 0 WHERE priority > 0 AND state < 2 AND key IN "
        "(SELECT e.chunk FROM owed_range r JOIN extent e ON e.ino = r.ino AND e.at >= r.begin AND e.at < r.end "
        "WHERE r.ino = ?)",
        file));
  }
  return {};
}

}  // namespace coffer::meta
