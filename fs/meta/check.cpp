#include "fs/meta/check.h"

#include <algorithm>
#include <filesystem>

#include "common/db/integrity.h"
#include "fs/meta/pair_of_trees.h"

namespace coffer::meta {
namespace {

struct Invariant {
  const char* what;  ///< Of the rows that `sql` finds.
  const char* sql;   ///< The first column of each row is an inode, or 0.
};

// Every folder can be reached from the root: UNION drops what was seen, so that a circle ends.
constexpr Invariant kInvariants[] = {
    {"names lead to inodes that are not there",
     "SELECT n.parent FROM name n LEFT JOIN inode i ON i.ino = n.ino WHERE i.ino IS NULL"},
    {"names lie in what is no folder",
     "SELECT n.ino FROM name n LEFT JOIN inode p ON p.ino = n.parent WHERE p.ino IS NULL OR (p.mode & 61440) <> 16384"},
    {"names hang in a circle, or in nothing",
     "WITH RECURSIVE reached (ino) AS (SELECT 1 UNION SELECT n.ino FROM reached r JOIN name n ON n.parent = r.ino) "
     "SELECT ino FROM name WHERE parent NOT IN reached"},
    {"names are malformed",
     "SELECT ino FROM name WHERE length(name) < 1 OR length(name) > 255 OR typeof(name) <> 'blob' OR "
     "instr(name, x'2f') > 0 OR instr(name, x'00') > 0 OR name IN (x'2e', x'2e2e')"},
    {"the root is not the root",
     "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM inode WHERE ino = 1 AND (mode & 61440) = "
     "16384) OR EXISTS (SELECT 1 FROM name WHERE ino = 1)"},
    {"inodes are of no type that exists",
     "SELECT ino FROM inode WHERE (mode & 61440) NOT IN (4096, 8192, 16384, 24576, 32768, 40960, 49152) OR mode > "
     "65535"},
    {"folders have several names",
     "SELECT i.ino FROM name n JOIN inode i ON i.ino = n.ino WHERE (i.mode & 61440) = 16384 GROUP BY i.ino HAVING "
     "count(*) > 1"},
    {"link counts are wrong",
     "SELECT i.ino FROM inode i WHERE i.links <> iif((i.mode & 61440) <> 16384, (SELECT count(*) FROM name n WHERE "
     "n.ino = i.ino), iif(i.ino = 1 OR EXISTS (SELECT 1 FROM name n WHERE n.ino = i.ino), 2 + (SELECT count(*) FROM "
     "name c JOIN inode f ON f.ino = c.ino WHERE c.parent = i.ino AND (f.mode & 61440) = 16384), 0))"},
    {"symbolic links have no target, or others have one",
     "SELECT ino FROM inode WHERE ((mode & 61440) = 40960) <> (target IS NOT NULL)"},
    {"extents belong to what is no file",
     "SELECT e.ino FROM extent e LEFT JOIN inode i ON i.ino = e.ino WHERE i.ino IS NULL OR (i.mode & 61440) <> 32768"},
    {"extents reach beyond the end of their file",
     "SELECT e.ino FROM extent e JOIN inode i ON i.ino = e.ino WHERE e.at < 0 OR e.bytes <= 0 OR e.at > i.bytes - "
     "e.bytes"},
    {"extents overlap",
     "SELECT ino FROM (SELECT ino, at, bytes, lead(at) OVER (PARTITION BY ino ORDER BY at) AS next FROM extent) WHERE "
     "next < at + bytes"},
    {"extents name chunks that are not there",
     "SELECT e.ino FROM extent e LEFT JOIN chunk c ON c.key = e.chunk WHERE c.key IS NULL"},
    {"extents reach beyond the end of their chunk",
     "SELECT e.ino FROM extent e JOIN chunk c ON c.key = e.chunk WHERE e.chunk_offset < 0 OR (c.state > 0 AND "
     "e.chunk_offset > c.plain_bytes - e.bytes)"},
    {"sums of extents are wrong",
     "SELECT ino FROM inode i WHERE allocated <> (SELECT coalesce(sum(bytes), 0) FROM extent e WHERE e.ino = i.ino)"},
    {"uses of chunks are counted wrongly",
     "SELECT coalesce((SELECT min(ino) FROM extent e WHERE e.chunk = c.key), 0) FROM chunk c WHERE refs <> (SELECT "
     "count(*) FROM extent e WHERE e.chunk = c.key) OR wanted <> (SELECT count(*) FROM extent e JOIN inode i ON i.ino "
     "= e.ino WHERE e.chunk = c.key AND i.links > 0)"},
    {"chunks are malformed",
     "SELECT coalesce((SELECT min(ino) FROM extent e WHERE e.chunk = c.key), 0) FROM chunk c WHERE state NOT BETWEEN 0 "
     "AND 3 OR (state > 0 AND (id IS NULL OR length(id) <> 32 OR sealed_bytes <= 0 OR plain_bytes <= 0))"},
    {"pieces lie outside of their chunks",
     "SELECT 0 FROM piece p LEFT JOIN chunk c ON c.key = p.chunk WHERE c.key IS NULL OR (c.state > 0 AND "
     "p.chunk_offset > c.plain_bytes - p.bytes)"},
    {"xattrs belong to nothing", "SELECT x.ino FROM xattr x LEFT JOIN inode i ON i.ino = x.ino WHERE i.ino IS NULL"},
    {"what is owed is not there",
     "SELECT o.ino FROM owed_inode o LEFT JOIN inode i ON i.ino = o.ino WHERE o.deleted = 0 AND i.ino IS NULL"},
    {"owed files count the chunks that they wait for wrongly",
     "SELECT o.ino FROM owed_inode o WHERE deleted = 0 AND unstored <> (SELECT count(*) FROM extent e JOIN chunk c ON "
     "c.key = e.chunk WHERE e.ino = o.ino AND c.state < 2)"},
    {"counters are behind what they count",
     "SELECT 0 FROM state WHERE inode_next <= (SELECT max(ino) FROM inode) OR cookie_next <= (SELECT "
     "coalesce(max(cookie), 0) FROM name) OR files <> (SELECT count(*) - 1 FROM inode)"},
    {"the head of the log is not the last one that was pinned",
     "SELECT 0 FROM state WHERE head_seq > 0 AND head_hash IS NOT (SELECT hash FROM pinned WHERE seq = head_seq)"},
    {"there is not one row of counters", "SELECT 0 WHERE (SELECT count(*) FROM state) <> 1"},
};

constexpr std::size_t kPathsMax = 1000;

class TreeCheck {
 public:
  explicit TreeCheck(PairOfTrees& one) : one_(one), db_(one.db) {}

  TreeReport run() {
    attempt("SQLite's own check", [this] { return integrity(); });
    for (const Invariant& invariant : kInvariants) attempt(invariant.what, [&] { return hold(invariant); });
    attempt("the counts", [this] { return facts(); });
    attempt("the chunks that are owed", [this] { return chunks(); });
    std::ranges::sort(damaged_);
    damaged_.erase(std::unique(damaged_.begin(), damaged_.end()), damaged_.end());
    if (damaged_.size() > kPathsMax) damaged_.resize(kPathsMax);
    std::uint64_t count = 0;
    if (auto paths = one_.paths_of(damaged_, kPathsMax, count)) report_.damaged_paths = *std::move(paths);
    return std::move(report_);
  }

 private:
  template <class Work>
  void attempt(const char* what, Work work) {
    const Result<void> done = work();
    if (!done) report_.damage.push_back(std::string(what) + " cannot be told: " + done.error().what);
  }

  Result<void> integrity() {
    COFFER_TRY(const std::vector<std::string> found, db::integrity_of(db_));
    for (const std::string& what : found) report_.damage.push_back("SQLite finds: " + what);
    return {};
  }

  Result<void> hold(const Invariant& invariant) {
    COFFER_TRY(const std::vector<std::int64_t> inodes, one_.numbers(invariant.sql));
    if (inodes.empty()) return {};
    report_.damage.push_back(std::string(invariant.what) + " (" + std::to_string(inodes.size()) + ")");
    for (const std::int64_t inode : inodes) {
      if (inode > 1) damaged_.push_back(inode);
    }
    return {};
  }

  Result<void> facts() {
    COFFER_TRY(report_.head, one_.head("SELECT head_seq, head_hash FROM state"));
    const auto count = [this](const char* sql, std::uint64_t& to) -> Result<void> {
      COFFER_TRY(const auto rows, one_.numbers(sql));
      if (!rows.empty()) to = static_cast<std::uint64_t>(rows.front());
      return {};
    };
    COFFER_DO(count("SELECT count(*) - 1 FROM inode", report_.files));
    COFFER_DO(count("SELECT count(*) FROM name", report_.names));
    COFFER_DO(count("SELECT count(*) FROM chunk", report_.chunks));
    COFFER_DO(count("SELECT count(*) FROM owed_inode", report_.owed_inodes));
    return count("SELECT count(*) FROM owed_name", report_.owed_names);
  }

  Result<void> chunks() {
    COFFER_TRY(db::Statement rows,
               db_.prepare("SELECT key, id, sealed_bytes, plain_bytes, state, (SELECT max(e.chunk_offset + e.bytes) "
                           "FROM extent e WHERE e.chunk = chunk.key) FROM chunk WHERE state < 2 AND refs > 0"));
    for (;;) {
      COFFER_TRY(const bool more, rows.step());
      if (!more) return {};
      const ChunkKey key(rows.integer(0));
      if (rows.integer(4) == 0) {
        report_.open_chunks.push_back({.key = key, .bytes = static_cast<std::uint64_t>(rows.integer(5))});
        continue;
      }
      ChunkRow row;
      row.key = key;
      COFFER_TRY(row.id, object::ChunkId::from(rows.blob(1)));
      row.state = ChunkState::spooled;
      row.sealed_bytes = static_cast<std::uint32_t>(rows.integer(2));
      row.plain_bytes = static_cast<std::uint32_t>(rows.integer(3));
      report_.owed_chunks.push_back(row);
    }
  }

  PairOfTrees& one_;
  db::Database& db_;
  TreeReport report_;
  std::vector<std::int64_t> damaged_;
};

}  // namespace

Result<TreeReport> check_tree(const std::string& path) {
  if (!std::filesystem::exists(path)) return Error{Fault::corrupt, 0, "the tree is missing"};
  Result<db::Database> database = db::Database::open(path, {.read_only = true});
  Result<void> begun = database ? database->execute("BEGIN") : Result<void>(database.error());
  if (!begun) {
    TreeReport unreadable;
    unreadable.damage.push_back("it cannot be read: " + begun.error().what);
    return unreadable;
  }
  PairOfTrees one(*std::move(database));
  return TreeCheck(one).run();
}

Result<std::optional<ChunkState>> chunk_state(const std::string& path, ChunkKey chunk) {
  COFFER_TRY(db::Database database, db::Database::open(path, {.read_only = true}));
  COFFER_TRY(db::Statement row, database.prepare("SELECT state FROM chunk WHERE key = ? AND refs > 0"));
  COFFER_TRY(const bool found, row.bind(1, static_cast<std::int64_t>(chunk.value())).step());
  if (!found) return std::optional<ChunkState>();
  return std::optional(static_cast<ChunkState>(row.integer(0)));
}

Result<std::vector<std::string>> paths_using(const std::string& path, const std::vector<ChunkKey>& chunks,
                                             os::Disk& disk) {
  COFFER_TRY(db::Database database, db::Database::open(path, {.read_only = true, .disk = &disk}));
  PairOfTrees one(std::move(database));
  COFFER_TRY(db::Statement users, one.db.prepare("SELECT DISTINCT ino FROM extent WHERE chunk = ?"));
  std::vector<std::int64_t> inodes;
  for (const ChunkKey chunk : chunks) {
    users.bind(1, static_cast<std::int64_t>(chunk.value()));
    for (;;) {
      COFFER_TRY(const bool more, users.step());
      if (!more) break;
      inodes.push_back(users.integer(0));
    }
  }
  std::ranges::sort(inodes);
  inodes.erase(std::unique(inodes.begin(), inodes.end()), inodes.end());
  std::uint64_t count = 0;
  return one.paths_of(inodes, inodes.size() + kPathsMax, count);
}

}  // namespace coffer::meta
