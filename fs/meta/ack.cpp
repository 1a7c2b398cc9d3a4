// What becomes of the pending commit: done, or refused.
#include "common/base/limits.h"
#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

struct DraftedName {
  InodeId parent;
  std::string name;
  InodeId base;
  InodeId sent;
};

Result<std::vector<DraftedName>> drafted_names(Connection& connection) {
  std::vector<DraftedName> names;
  COFFER_DO(for_each(connection.query("SELECT parent, name, base, sent FROM owed_name WHERE flight > 0"),
                     [&](const Rows& row) {
                       names.push_back({InodeId(row.u64(0)), row.text(1), InodeId(row.u64(2)), InodeId(row.u64(3))});
                     }));
  return names;
}

Result<std::vector<InodeId>> drafted_inodes(Connection& connection) {
  std::vector<InodeId> inodes;
  COFFER_DO(for_each(connection.query("SELECT ino FROM owed_inode WHERE flight > 0"),
                     [&](const Rows& row) { inodes.emplace_back(row.u64(0)); }));
  return inodes;
}

Result<std::vector<ChunkRow>> chunks_where(Rows rows) {
  std::vector<ChunkRow> chunks;
  COFFER_DO(for_each(std::move(rows), [&](const Rows& row) { chunks.push_back(read::chunk_row(row)); }));
  return chunks;
}

}  // namespace

Result<Bytes> Store::receipt() {
  Rows rows = connection_.query("SELECT receipt FROM state");
  COFFER_TRY(const bool found, rows.step());
  return found ? copy_of(rows.blob(0)) : Bytes();
}

Result<void> Store::commit_done(std::uint64_t seq, const object::CommitHash& hash, ByteView receipt) {
  COFFER_TRY(const bool is_pending, connection_.any("SELECT 1 FROM pending WHERE seq = ?", seq));
  if (!is_pending) return Error{Fault::refused, 0, "this commit is not the pending one"};
  if (!receipt.empty()) COFFER_DO(connection_.run("UPDATE state SET receipt = ?", receipt));

  known_owed_.clear();
  // The server took them in with it: before all that asks whether what it holds is stored.
  std::vector<ChunkKey> carried;
  COFFER_DO(for_each(connection_.query("SELECT key FROM carried"),
                     [&](const Rows& row) { carried.emplace_back(row.integer(0)); }));
  if (!carried.empty()) {
    COFFER_DO(chunks_stored(carried));
    COFFER_DO(connection_.run("DELETE FROM carried"));
  }
  // What changed since is owed on, from the first change after the draft.
  COFFER_DO(
      connection_.run("DELETE FROM owed_name WHERE flight > 0 AND sent = coalesce((SELECT n.ino FROM name n WHERE "
                      "n.parent = owed_name.parent AND n.name = owed_name.name), 0)"));
  COFFER_DO(
      connection_.run("UPDATE owed_name SET base = sent, first = next_first, next_first = 0, flight = 0, sent = 0 "
                      "WHERE flight > 0"));
  COFFER_DO(let_names_go());
  COFFER_DO(
      connection_.run("DELETE FROM owed_range WHERE flight = 1 AND ino IN (SELECT ino FROM owed_inode WHERE flight > "
                      "0)"));
  COFFER_DO(connection_.run("DELETE FROM owed_inode WHERE flight > 0 AND next_first = 0"));
  COFFER_DO(
      connection_.run("UPDATE owed_inode SET first = next_first, next_first = 0, flight = 0, is_new = 0 WHERE flight > "
                      "0"));
  COFFER_DO(connection_.run("UPDATE chunk SET state = 3, flight = 0 WHERE flight = 1 AND flight > 0"));
  COFFER_TRY(const std::vector<ChunkRow> released,
             chunks_where(connection_.query(
                 "SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk WHERE flight = 2 AND flight > 0")));
  for (const ChunkRow& chunk : released) COFFER_DO(drop_chunk(chunk));
  COFFER_DO(connection_.run("DELETE FROM pending"));
  counters_.head_seq = seq;
  counters_.head_hash = hash;
  return {};
}

Result<void> Store::commit_refused() {
  known_owed_.clear();
  COFFER_TRY(const std::vector<InodeId> inodes, drafted_inodes(connection_));
  for (const InodeId inode : inodes) {
    std::vector<Range> ranges;
    COFFER_DO(for_each(connection_.query("SELECT begin, end FROM owed_range WHERE ino = ? AND flight = 1", inode),
                       [&](const Rows& row) {
                         ranges.push_back({row.u64(0), row.u64(1)});
                       }));
    COFFER_DO(connection_.run("DELETE FROM owed_range WHERE ino = ? AND flight = 1", inode));
    COFFER_DO(connection_.run("DELETE FROM owed_inode WHERE ino = ? AND is_new = 1 AND deleted = 1", inode));
    if (connection_.changes() > 0) continue;
    COFFER_DO(connection_.run("UPDATE owed_inode SET flight = 0, next_first = 0 WHERE ino = ?", inode));
    COFFER_TRY(const bool is_deleted, connection_.any("SELECT 1 FROM owed_inode WHERE ino = ? AND deleted = 1", inode));
    if (is_deleted) continue;
    for (const Range& range : ranges) COFFER_DO(owe_range(inode, range));
  }
  COFFER_TRY(const std::vector<DraftedName> names, drafted_names(connection_));
  for (const DraftedName& row : names) {
    const std::string_view name(row.name);
    COFFER_TRY(const InodeId now, read::meaning(connection_, row.parent, name));
    if (now == row.base) {
      COFFER_DO(connection_.run("DELETE FROM owed_name WHERE parent = ? AND name = ?", row.parent, name));
    } else {
      COFFER_DO(connection_.run(
          "UPDATE owed_name SET next_first = 0, flight = 0, sent = 0 WHERE parent = ? AND name = ?", row.parent, name));
    }
  }
  COFFER_DO(connection_.run("UPDATE chunk SET flight = 0 WHERE flight > 0"));
  COFFER_TRY(const std::vector<ChunkRow> dead,
             chunks_where(connection_.query("SELECT key, id, state, sealed_bytes, plain_bytes FROM chunk "
                                            "INDEXED BY chunk_dead WHERE refs = 0 AND state < 3")));
  for (const ChunkRow& chunk : dead) COFFER_DO(drop_if_unused(chunk.key));
  COFFER_DO(connection_.run("DELETE FROM carried"));
  return connection_.run("DELETE FROM pending");
}

}  // namespace coffer::meta
