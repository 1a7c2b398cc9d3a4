// Makes what a server's older log lacks owed to it again.
//
// The tree stays as it is; what is computed anew is how far its chunks have come, and what differs from the committed
// state, which is now the server's (TREE.md, section 3).
#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/os/clock.h"
#include "fs/meta/divergence.h"
#include "fs/meta/pair_of_trees.h"

namespace coffer::meta {
namespace {

class Rebasing {
 public:
  explicit Rebasing(PairOfTrees& pair) : pair_(pair), db_(pair.db) {}

  Result<void> run(const std::function<Remains(const object::ChunkId&)>& remains, bool give_up_lost) {
    COFFER_DO(check());
    COFFER_DO(forget_what_was_owed());
    COFFER_DO(settle_chunks(remains));
    COFFER_DO(give_up_lost_files(give_up_lost));
    COFFER_DO(count_again());
    COFFER_DO(owe_inodes());
    COFFER_DO(owe_names());
    return db_.execute(
        // No record of the redo log is of this generation.
        "UPDATE main.state SET redo = redo + 1, head_seq = (SELECT head_seq FROM server.state), "
        "head_hash = (SELECT head_hash FROM server.state), "
        "inode_next = max(inode_next, (SELECT inode_next FROM server.state));"
        "DELETE FROM main.pinned WHERE seq > (SELECT head_seq FROM server.state);"
        "DROP TABLE temp.lost; DROP TABLE temp.given_up");
  }

 private:
  Result<void> check() {
    COFFER_TRY(const Head seen, pair_.head("SELECT head_seq, head_hash FROM main.state"));
    COFFER_TRY(const Head server, pair_.head("SELECT head_seq, head_hash FROM server.state"));
    COFFER_TRY(const auto last_common, pair_.last_common(seen, server));
    if (last_common != server.seq) {
      return Error{Fault::refused, ESTALE, "the server's log holds commits that this client has never seen"};
    }
    COFFER_TRY(const auto open, pair_.numbers("SELECT key FROM main.chunk WHERE state = 0"));
    if (!open.empty()) return Error{Fault::refused, EBUSY, "some of the content here is not sealed yet"};
    return {};
  }

  Result<void> forget_what_was_owed() {
    return db_.execute(
        "DELETE FROM main.pending; DELETE FROM main.carried; DELETE FROM main.owed_inode; DELETE FROM main.owed_range;"
        "DELETE FROM main.owed_name; UPDATE main.chunk SET flight = 0 WHERE flight > 0");
  }

  /// Every chunk is committed as far as the server's log says so.
  Result<void> settle_chunks(const std::function<Remains(const object::ChunkId&)>& remains) {
    COFFER_DO(db_.execute(
        "CREATE TEMP TABLE lost (key INTEGER PRIMARY KEY); CREATE TEMP TABLE given_up (ino INTEGER PRIMARY KEY);"
        "UPDATE main.chunk SET state = 3 WHERE id IN (SELECT id FROM server.chunk);"
        // Nothing needs them, and no commit names them: as if they had never been.
        "DELETE FROM main.piece WHERE chunk IN (SELECT key FROM main.chunk WHERE refs = 0 AND id NOT IN "
        "(SELECT id FROM server.chunk));"
        "DELETE FROM main.chunk WHERE refs = 0 AND id NOT IN (SELECT id FROM server.chunk)"));
    COFFER_TRY(db::Statement beyond, db_.prepare("SELECT key, id FROM main.chunk WHERE id NOT IN "
                                                 "(SELECT id FROM server.chunk)"));
    std::vector<std::pair<std::int64_t, object::ChunkId>> chunks;
    for (;;) {
      COFFER_TRY(const bool more, beyond.step());
      if (!more) break;
      COFFER_TRY(const auto id, object::ChunkId::from(beyond.blob(1)));
      chunks.emplace_back(beyond.integer(0), id);
    }
    COFFER_TRY(db::Statement set, db_.prepare("UPDATE main.chunk SET state = ?2, since = ?3 WHERE key = ?1"));
    COFFER_TRY(db::Statement lose, db_.prepare("INSERT INTO temp.lost VALUES (?)"));
    for (const auto& [key, id] : chunks) {
      const Remains what = remains(id);
      if (what == Remains::nowhere) COFFER_DO(lose.bind(1, key).run());
      const std::int64_t state = what == Remains::stored ? 2 : 1;
      COFFER_DO(set.bind(1, key).bind(2, state).bind(3, now_ns_).run());
    }
    return {};
  }

  Result<void> give_up_lost_files(bool may) {
    COFFER_DO(
        db_.execute("INSERT INTO temp.given_up SELECT DISTINCT ino FROM main.extent WHERE chunk IN (SELECT key "
                    "FROM temp.lost)"));
    COFFER_TRY(const auto given_up, pair_.numbers("SELECT ino FROM temp.given_up"));
    if (given_up.empty()) return {};
    if (!may) {
      return Error{Fault::refused, ENODATA,
                   "content of " + std::to_string(given_up.size()) + " files is neither here nor on the server"};
    }
    // The server's version of those that it has; its chunks may be new here.
    COFFER_DO(db_.execute(
        "DELETE FROM main.extent WHERE ino IN (SELECT ino FROM temp.given_up);"
        "DELETE FROM main.xattr WHERE ino IN (SELECT ino FROM temp.given_up);"
        "INSERT INTO main.chunk (id, state, sealed_bytes, plain_bytes, refs, wanted, priority, since, flight, dead_at) "
        "SELECT id, 3, sealed_bytes, plain_bytes, 0, 0, priority, since, 0, 0 FROM server.chunk WHERE id NOT IN "
        "(SELECT id FROM main.chunk WHERE id IS NOT NULL);"
        "INSERT INTO main.extent SELECT e.ino, e.at, e.bytes, m.key, e.chunk_offset FROM server.extent e JOIN "
        "server.chunk s ON s.key = e.chunk JOIN main.chunk m ON m.id = s.id WHERE e.ino IN (SELECT ino FROM "
        "temp.given_up);"
        "INSERT INTO main.xattr SELECT * FROM server.xattr WHERE ino IN (SELECT ino FROM temp.given_up);"
        "UPDATE main.inode SET mode = s.mode, uid = s.uid, gid = s.gid, bytes = s.bytes, mtime = s.mtime, ctime = "
        "s.ctime, btime = s.btime FROM server.inode s WHERE s.ino = main.inode.ino AND main.inode.ino IN (SELECT ino "
        "FROM temp.given_up);"
        "DELETE FROM main.name WHERE ino IN (SELECT ino FROM temp.given_up WHERE ino NOT IN (SELECT ino FROM "
        "server.inode));"
        "DELETE FROM main.inode WHERE ino IN (SELECT ino FROM temp.given_up WHERE ino NOT IN (SELECT ino FROM "
        "server.inode))"));
    return db_.execute(
        "DELETE FROM main.piece WHERE chunk IN (SELECT key FROM temp.lost);"
        "DELETE FROM main.chunk WHERE key IN (SELECT key FROM temp.lost)");
  }

  /// Uses of chunks, sums, and what the server still has and nobody needs.
  Result<void> count_again() {
    return db_.execute(
        "INSERT INTO main.chunk (id, state, sealed_bytes, plain_bytes, refs, wanted, priority, since, flight, dead_at) "
        "SELECT id, 3, sealed_bytes, plain_bytes, 0, 0, priority, since, 0, 0 FROM server.chunk WHERE id NOT IN "
        "(SELECT id FROM main.chunk WHERE id IS NOT NULL);"
        "UPDATE main.state SET version = version + 1;"
        "UPDATE main.chunk SET refs = (SELECT count(*) FROM main.extent e WHERE e.chunk = main.chunk.key), "
        "wanted = (SELECT count(*) FROM main.extent e JOIN main.inode i ON i.ino = e.ino WHERE e.chunk = "
        "main.chunk.key AND i.links > 0);"
        "UPDATE main.chunk SET dead_at = iif(refs = 0, (SELECT version FROM main.state), 0);"
        "UPDATE main.inode SET allocated = (SELECT coalesce(sum(bytes), 0) FROM main.extent e WHERE e.ino = "
        "main.inode.ino) WHERE ino IN (SELECT ino FROM temp.given_up);"
        "UPDATE main.state SET files = (SELECT count(*) - 1 FROM main.inode), "
        "bytes = (SELECT coalesce(sum(allocated), 0) FROM main.inode), "
        "sealed_bytes = (SELECT coalesce(sum(sealed_bytes), 0) FROM main.chunk WHERE refs > 0)");
  }

  Result<std::int64_t> next_version() {
    COFFER_DO(db_.execute("UPDATE main.state SET version = version + 1"));
    COFFER_TRY(const auto version, pair_.numbers("SELECT version FROM main.state"));
    if (version.empty()) return Error{Fault::corrupt, 0, "the tree has lost its counters"};
    return version.front();
  }

  Result<void> owe_inodes() {
    COFFER_TRY(const std::vector<std::int64_t> content, pair_.changed_content());
    COFFER_TRY(const std::vector<std::int64_t> changed, pair_.changed_inodes());
    COFFER_TRY(db::Statement owe,
               db_.prepare("INSERT INTO main.owed_inode SELECT ?1, ?2, 0, ?3, NOT EXISTS (SELECT 1 FROM server.inode "
                           "WHERE ino = ?1), 0, (SELECT count(*) FROM main.extent e JOIN main.chunk c ON c.key = "
                           "e.chunk WHERE e.ino = ?1 AND c.state < 2), 0"));
    for (const std::int64_t inode : changed) {
      COFFER_TRY(const std::int64_t version, next_version());
      COFFER_DO(owe.bind(1, inode).bind(2, version).bind(3, now_ns_).run());
    }
    COFFER_TRY(db::Statement range, db_.prepare("INSERT INTO main.owed_range SELECT ino, 0, 0, bytes FROM main.inode "
                                                "WHERE ino = ? AND bytes > 0 AND (mode & 61440) = 32768"));
    for (const std::int64_t inode : content) COFFER_DO(range.bind(1, inode).run());
    COFFER_TRY(const std::vector<std::int64_t> gone,
               pair_.numbers("SELECT ino FROM server.inode WHERE ino NOT IN (SELECT ino FROM main.inode WHERE links > "
                             "0)"));
    COFFER_TRY(db::Statement remove, db_.prepare("INSERT INTO main.owed_inode VALUES (?1, ?2, 0, ?3, 0, 1, 0, 0)"));
    for (const std::int64_t inode : gone) {
      COFFER_TRY(const std::int64_t version, next_version());
      COFFER_DO(remove.bind(1, inode).bind(2, version).bind(3, now_ns_).run());
    }
    return {};
  }

  /// All names that were, or lead to what was, committed go together: so no moment in between lacks one of them.
  Result<void> owe_names() {
    COFFER_TRY(const std::int64_t version, next_version());
    COFFER_TRY(const auto groups, pair_.numbers("SELECT group_next FROM main.state"));
    COFFER_DO(db_.execute("UPDATE main.state SET group_next = group_next + 1"));
    COFFER_TRY(db::Statement owe,
               db_.prepare("INSERT INTO main.owed_name SELECT d.parent, d.name, coalesce(s.ino, 0), ?1, 0, ?2, "
                           "iif(s.ino IS NOT NULL OR known.ino IS NOT NULL, ?3, 0), "
                           "EXISTS (SELECT 1 FROM main.owed_inode o WHERE o.ino = m.ino AND o.deleted = 0), "
                           "coalesce((known.mode & 61440) = 16384, 0), 0, 0 "
                           "FROM (SELECT parent, name FROM (SELECT parent, name, ino FROM main.name EXCEPT SELECT "
                           "parent, name, ino FROM server.name) UNION SELECT parent, name FROM (SELECT parent, name, "
                           "ino FROM server.name EXCEPT SELECT parent, name, ino FROM main.name)) d "
                           "LEFT JOIN main.name m ON m.parent = d.parent AND m.name = d.name "
                           "LEFT JOIN server.name s ON s.parent = d.parent AND s.name = d.name "
                           "LEFT JOIN server.inode known ON known.ino = m.ino"));
    return owe.bind(1, version).bind(2, now_ns_).bind(3, groups.empty() ? 1 : groups.front()).run();
  }

  PairOfTrees& pair_;
  db::Database& db_;
  const std::int64_t now_ns_ = os::real_clock().now().time_since_epoch().count();
};

}  // namespace

Result<void> rebase(const std::string& tree, const std::string& server_tree,
                    const std::function<Remains(const object::ChunkId&)>& remains, bool give_up_lost, os::Disk& disk) {
  COFFER_TRY(PairOfTrees pair, PairOfTrees::open(tree, server_tree, true, disk));
  COFFER_TRY(db::Transaction transaction, db::Transaction::begin(pair.db));
  COFFER_DO(Rebasing(pair).run(remains, give_up_lost));
  return transaction.commit();
}

}  // namespace coffer::meta
