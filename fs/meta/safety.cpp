// How safe things are.
#include <algorithm>
#include <cerrno>

#include "fs/meta/read.h"
#include "fs/meta/store.h"

namespace coffer::meta {

Result<std::string> Store::id() {
  Rows rows = connection_.query("SELECT lower(hex(id)) FROM state");
  COFFER_TRY(const bool found, rows.step());
  if (!found) return Error{Fault::corrupt, 0, "the tree has lost its id"};
  return rows.text(0);
}

Result<bool> Store::committed_up_to(Mark mark) {
  // One search in each part of the two indexes.
  COFFER_TRY(
      const bool owes_any,
      connection_.any("SELECT 1 FROM owed_inode WHERE (unstored > 0) + 2 * deleted = 0 AND first <= ?1 UNION ALL "
                      "SELECT 1 FROM owed_inode WHERE (unstored > 0) + 2 * deleted = 1 AND first <= ?1 UNION ALL "
                      "SELECT 1 FROM owed_inode WHERE (unstored > 0) + 2 * deleted = 2 AND first <= ?1 UNION ALL "
                      "SELECT 1 FROM owed_name WHERE waits = 0 AND first <= ?1 UNION ALL "
                      "SELECT 1 FROM owed_name WHERE waits = 1 AND first <= ?1 LIMIT 1",
                      mark));
  return !owes_any;
}

Result<bool> Store::committed(InodeId inode) {
  COFFER_TRY(const Attributes row, read::attributes(connection_, inode));
  if (row.links == 0) return true;
  COFFER_TRY(const bool owed, is_owed(inode));
  if (owed) return false;
  // Of a folder, the content is the names in it.
  COFFER_TRY(const bool holds_owed_name, connection_.any("SELECT 1 FROM owed_name WHERE parent = ? LIMIT 1", inode));
  if (holds_owed_name) return false;
  COFFER_TRY(const bool has_owed_name,
             connection_.any("SELECT 1 FROM owed_name WHERE base = ?1 AND base > 0 UNION ALL "
                             "SELECT 1 FROM name n JOIN owed_name o ON o.parent = n.parent AND o.name = n.name "
                             "WHERE n.ino = ?1 LIMIT 1",
                             inode));
  if (has_owed_name) return false;

  std::vector<InodeId> parents;
  COFFER_DO(for_each(connection_.query("SELECT DISTINCT parent FROM name WHERE ino = ?", inode),
                     [&](const Rows& found) { parents.emplace_back(found.u64(0)); }));
  for (InodeId folder : parents) {
    for (int depth = 0; folder != kRootInode; ++depth) {
      if (depth == read::kDepthMax) return Error{Fault::corrupt, 0, "folders form a circle"};
      Rows rows = connection_.query(
          "SELECT n.parent, o.parent IS NULL FROM name n LEFT JOIN owed_name o "
          "ON o.parent = n.parent AND o.name = n.name WHERE n.ino = ?",
          folder);
      COFFER_TRY(const bool found, rows.step());
      if (!found || rows.integer(1) == 0) return false;
      folder = InodeId(rows.u64(0));
    }
  }
  return true;
}

Result<Level> Store::level(InodeId inode) {
  {
    Rows rows = connection_.query("SELECT unstored > 0 FROM owed_inode WHERE ino = ?", inode);
    COFFER_TRY(const bool owed, rows.step());
    if (owed) return rows.integer(0) != 0 ? Level::spooled : Level::stored;
  }
  COFFER_TRY(const bool is_committed, committed(inode));
  if (!is_committed) return Level::stored;
  COFFER_TRY(const bool has_content, connection_.any("SELECT 1 FROM extent WHERE ino = ? LIMIT 1", inode));
  if (!has_content) return Level::committed;
  COFFER_TRY(const bool has_unverified, connection_.any("SELECT 1 FROM extent e JOIN chunk c ON c.key = e.chunk "
                                                        "WHERE e.ino = ? AND c.verified IS NULL LIMIT 1",
                                                        inode));
  return has_unverified ? Level::committed : Level::verified;
}

Result<Owed> Store::owed() {
  Owed owed;
  {
    Rows rows = connection_.query(
        "SELECT (SELECT count(*) FROM owed_inode), (SELECT count(*) FROM owed_name), (SELECT count(*) FROM pending), "
        "count(*), coalesce(sum(sealed_bytes), 0) FROM chunk WHERE state = 1 AND wanted > 0");
    COFFER_DO(rows.step());
    owed.inodes = rows.u64(0);
    owed.names = rows.u64(1);
    owed.commit_pending = rows.integer(2) != 0;
    owed.chunks = rows.u64(3);
    owed.chunk_bytes = rows.u64(4);
  }
  {
    Rows rows = connection_.query("SELECT count(*) FROM chunk WHERE state = 0 AND wanted > 0");
    COFFER_DO(rows.step());
    owed.chunks += rows.u64(0);
  }
  const auto note_oldest = [&owed](Rows rows) -> Result<void> {
    COFFER_TRY(const bool found, rows.step());
    if (found) owed.since_ns = std::min(owed.since_ns.value_or(rows.integer(0)), rows.integer(0));
    return {};
  };
  for (const int part : {0, 1, 2}) {
    COFFER_DO(note_oldest(connection_.query(
        "SELECT since FROM owed_inode WHERE (unstored > 0) + 2 * deleted = ? ORDER BY first LIMIT 1", part)));
  }
  for (const int waits : {0, 1}) {
    COFFER_DO(
        note_oldest(connection_.query("SELECT since FROM owed_name WHERE waits = ? ORDER BY first LIMIT 1", waits)));
  }
  return owed;
}

Result<void> Store::set_verified(std::span<const object::ChunkId> chunks, std::int64_t when_ns) {
  for (const object::ChunkId& id : chunks) {
    COFFER_DO(connection_.run("UPDATE chunk SET verified = ? WHERE id = ? AND state >= 2", when_ns, id));
  }
  return {};
}

Result<std::optional<std::int64_t>> Store::verified_since(InodeId inode) {
  COFFER_TRY([[maybe_unused]] const Attributes exists, read::attributes(connection_, inode));
  Rows rows = connection_.query(
      "SELECT min(c.verified), count(*) = count(c.verified) AND count(*) > 0 FROM extent e JOIN chunk c "
      "ON c.key = e.chunk WHERE e.ino = ?",
      inode);
  COFFER_TRY(const bool found, rows.step());
  if (!found || rows.integer(1) == 0) return std::optional<std::int64_t>();
  return std::optional(rows.integer(0));
}

Result<void> Store::forget_verified(const object::ChunkId& chunk) {
  return connection_.run("UPDATE chunk SET verified = NULL WHERE id = ?", chunk);
}

}  // namespace coffer::meta
