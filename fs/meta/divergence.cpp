#include "fs/meta/divergence.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/db/database.h"
#include "fs/meta/pair_of_trees.h"

namespace coffer::meta {
namespace {

/// An extent without the key of its chunk, which differs from database to database.
struct Run {
  std::int64_t at = 0;
  std::int64_t bytes = 0;
  std::string chunk;
  std::int64_t chunk_offset = 0;
  friend bool operator==(const Run&, const Run&) = default;
};

/// The extents of a file; those that follow each other in one chunk are one.
Result<std::vector<Run>> runs(db::Statement& extents, std::int64_t inode) {
  std::vector<Run> found;
  extents.bind(1, inode);
  for (;;) {
    COFFER_TRY(const bool more, extents.step());
    if (!more) return found;
    Run run{.at = extents.integer(0),
            .bytes = extents.integer(1),
            .chunk = std::string(as_text(extents.blob(2))),
            .chunk_offset = extents.integer(3)};
    if (!found.empty()) {
      Run& last = found.back();
      const bool follows = last.chunk == run.chunk && last.at + last.bytes == run.at &&
                           last.chunk_offset + last.bytes == run.chunk_offset && !run.chunk.empty();
      if (follows) {
        last.bytes += run.bytes;
        continue;
      }
    }
    found.push_back(std::move(run));
  }
}

}  // namespace

Result<PairOfTrees> PairOfTrees::open(const std::string& tree, const std::string& server_tree, bool to_change,
                                      os::Disk& disk) {
  COFFER_TRY(db::Database database,
             db::Database::open(tree, {.sync = db::Sync::full, .read_only = !to_change, .disk = &disk}));
  PairOfTrees pair(std::move(database));
  COFFER_TRY(db::Statement attach, pair.db.prepare("ATTACH DATABASE ? AS server"));
  COFFER_DO(attach.bind(1, std::string_view(server_tree)).run());
  return pair;
}

Result<std::vector<std::int64_t>> PairOfTrees::numbers(const char* sql) {
  COFFER_TRY(db::Statement rows, db.prepare(sql));
  std::vector<std::int64_t> found;
  for (;;) {
    COFFER_TRY(const bool more, rows.step());
    if (!more) return found;
    found.push_back(rows.integer(0));
  }
}

Result<Head> PairOfTrees::head(const char* sql) {
  COFFER_TRY(db::Statement row, db.prepare(sql));
  COFFER_TRY(const bool found, row.step());
  if (!found) return Error{Fault::corrupt, 0, "the tree has lost its counters"};
  Head head{.seq = static_cast<std::uint64_t>(row.integer(0)), .hash = {}};
  COFFER_TRY(head.hash, object::CommitHash::from(row.blob(1)));
  return head;
}

Result<std::vector<std::int64_t>> PairOfTrees::changed_content() {
  COFFER_TRY(const std::vector<std::int64_t> suspects,
             numbers("SELECT ino FROM (SELECT e.ino, e.at, e.bytes, c.id, e.chunk_offset FROM main.extent e JOIN "
                     "main.chunk c ON c.key = e.chunk EXCEPT SELECT e.ino, e.at, e.bytes, c.id, e.chunk_offset FROM "
                     "server.extent e JOIN server.chunk c ON c.key = e.chunk) UNION SELECT ino FROM (SELECT e.ino, "
                     "e.at, e.bytes, c.id, e.chunk_offset FROM server.extent e JOIN server.chunk c ON c.key = e.chunk "
                     "EXCEPT SELECT e.ino, e.at, e.bytes, c.id, e.chunk_offset FROM main.extent e JOIN main.chunk c "
                     "ON c.key = e.chunk)"));
  COFFER_TRY(db::Statement ours, db.prepare("SELECT e.at, e.bytes, c.id, e.chunk_offset FROM main.extent e JOIN "
                                            "main.chunk c ON c.key = e.chunk WHERE e.ino = ? ORDER BY e.at"));
  COFFER_TRY(db::Statement theirs, db.prepare("SELECT e.at, e.bytes, c.id, e.chunk_offset FROM server.extent e JOIN "
                                              "server.chunk c ON c.key = e.chunk WHERE e.ino = ? ORDER BY e.at"));
  std::vector<std::int64_t> changed;
  for (const std::int64_t inode : suspects) {
    COFFER_TRY(const std::vector<Run> here, runs(ours, inode));
    COFFER_TRY(const std::vector<Run> there, runs(theirs, inode));
    if (here != there) changed.push_back(inode);
  }
  return changed;
}

Result<std::vector<std::int64_t>> PairOfTrees::changed_inodes() {
  COFFER_TRY(std::vector<std::int64_t> changed, changed_content());
  COFFER_TRY(
      const std::vector<std::int64_t> others,
      numbers("SELECT i.ino FROM main.inode i LEFT JOIN server.inode s ON s.ino = i.ino WHERE s.ino IS NULL OR "
              "s.mode <> i.mode OR s.uid <> i.uid OR s.gid <> i.gid OR s.rdev <> i.rdev OR s.bytes <> i.bytes OR "
              "s.mtime <> i.mtime OR s.ctime <> i.ctime OR s.target IS NOT i.target UNION "
              "SELECT ino FROM (SELECT * FROM main.xattr EXCEPT SELECT * FROM server.xattr) UNION "
              "SELECT ino FROM (SELECT * FROM server.xattr EXCEPT SELECT * FROM main.xattr)"));
  changed.insert(changed.end(), others.begin(), others.end());
  std::ranges::sort(changed);
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  // What has no name here is gone, or not there yet.
  COFFER_TRY(db::Statement named, db.prepare("SELECT 1 FROM main.inode WHERE ino = ? AND links > 0"));
  std::vector<std::int64_t> living;
  for (const std::int64_t inode : changed) {
    COFFER_TRY(const bool lives, named.bind(1, inode).step());
    named.reset();
    if (lives) living.push_back(inode);
  }
  return living;
}

Result<std::string> PairOfTrees::path_of(std::int64_t parent, std::string name) {
  COFFER_TRY(db::Statement above, db.prepare("SELECT parent, name FROM main.name WHERE ino = ? LIMIT 1"));
  std::vector<std::string> parts{std::move(name)};
  std::size_t bytes = parts.front().size();
  constexpr std::size_t kDepthMax = 100'000;
  for (std::size_t depth = 0; parent != 1 && depth < kDepthMax; ++depth) {
    COFFER_TRY(const bool found, above.bind(1, parent).step());
    if (!found) break;  // A damaged tree: what is left of the path is better than none.
    parent = above.integer(0);
    parts.emplace_back(as_text(above.blob(1)));
    bytes += parts.back().size() + 1;
    above.reset();
  }
  std::string path;
  path.reserve(bytes + 1);
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) path += "/" + *part;
  return path;
}

Result<std::vector<std::string>> PairOfTrees::paths_of(const std::vector<std::int64_t>& inodes, std::size_t paths_max,
                                                       std::uint64_t& count) {
  // Of a tree that is very deep, or a circle, each path is as long as a book.
  constexpr std::size_t kLongBytesMax = 1u << 20;
  constexpr std::size_t kLongPathBytes = 4096;
  std::size_t long_bytes = 0;
  std::vector<std::string> paths;
  COFFER_TRY(db::Statement names, db.prepare("SELECT parent, name FROM main.name WHERE ino = ?"));
  for (const std::int64_t inode : inodes) {
    names.bind(1, inode);
    for (;;) {
      COFFER_TRY(const bool more, names.step());
      if (!more) break;
      ++count;
      if (paths.size() >= paths_max || long_bytes > kLongBytesMax) continue;
      COFFER_TRY(std::string path, path_of(names.integer(0), std::string(as_text(names.blob(1)))));
      if (path.size() > kLongPathBytes) long_bytes += path.size();
      paths.push_back(std::move(path));
    }
  }
  std::ranges::sort(paths);
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

Result<std::optional<std::uint64_t>> PairOfTrees::last_common(const Head& seen, const Head& server) {
  if (seen.seq == 0 || server.seq == 0) return std::optional<std::uint64_t>(0);
  COFFER_TRY(db::Statement same, db.prepare("SELECT max(m.seq) FROM main.pinned m JOIN server.pinned s ON "
                                            "s.seq = m.seq AND s.hash = m.hash"));
  COFFER_TRY(const bool found, same.step());
  if (found && !same.is_null(0)) return std::optional(static_cast<std::uint64_t>(same.integer(0)));
  same.reset();
  // Both remember their first commits and share none of them: the logs were never the same.
  COFFER_TRY(const auto first, numbers("SELECT 1 FROM main.pinned m JOIN server.pinned s ON s.seq = m.seq WHERE "
                                       "m.seq = 1"));
  if (!first.empty()) return std::optional<std::uint64_t>(0);
  return std::optional<std::uint64_t>();
}

Result<Divergence> find_divergence(const std::string& tree, const std::string& server_tree, std::size_t paths_max,
                                   os::Disk& disk) {
  COFFER_TRY(PairOfTrees pair, PairOfTrees::open(tree, server_tree, false, disk));
  COFFER_DO(pair.db.execute("BEGIN"));
  Divergence divergence;
  COFFER_TRY(divergence.seen, pair.head("SELECT head_seq, head_hash FROM main.state"));
  COFFER_TRY(divergence.server, pair.head("SELECT head_seq, head_hash FROM server.state"));
  COFFER_TRY(divergence.last_common, pair.last_common(divergence.seen, divergence.server));
  COFFER_TRY(std::vector<std::int64_t> inodes, pair.changed_inodes());
  // A name that leads elsewhere, or is new.
  COFFER_TRY(const std::vector<std::int64_t> renamed,
             pair.numbers("SELECT DISTINCT ino FROM (SELECT parent, name, ino FROM main.name EXCEPT "
                          "SELECT parent, name, ino FROM server.name)"));
  inodes.insert(inodes.end(), renamed.begin(), renamed.end());
  std::ranges::sort(inodes);
  inodes.erase(std::unique(inodes.begin(), inodes.end()), inodes.end());
  // A folder differs already when a name in it does: that is said by the name.
  COFFER_TRY(const std::vector<std::int64_t> old_folders,
             pair.numbers("SELECT i.ino FROM main.inode i JOIN server.inode s ON s.ino = i.ino "
                          "WHERE i.mode = s.mode AND (i.mode & 61440) = 16384 AND i.uid = s.uid AND i.gid = s.gid "
                          "ORDER BY i.ino"));
  const std::set<std::int64_t> moved(renamed.begin(), renamed.end());
  std::erase_if(inodes, [&](std::int64_t inode) {
    return std::ranges::binary_search(old_folders, inode) && !moved.contains(inode);
  });
  COFFER_TRY(divergence.paths, pair.paths_of(inodes, paths_max, divergence.path_count));
  COFFER_TRY(const std::vector<std::int64_t> returning,
             pair.numbers("SELECT count(*) FROM server.name s WHERE NOT EXISTS (SELECT 1 FROM main.name m WHERE "
                          "m.parent = s.parent AND m.name = s.name)"));
  divergence.returning_count = returning.empty() ? 0 : static_cast<std::uint64_t>(returning.front());
  return divergence;
}

Result<std::vector<ChunkRow>> chunks_beyond(const std::string& tree, const std::string& server_tree, os::Disk& disk) {
  COFFER_TRY(PairOfTrees pair, PairOfTrees::open(tree, server_tree, false, disk));
  COFFER_TRY(db::Statement rows,
             pair.db.prepare("SELECT id, key FROM main.chunk WHERE refs > 0 AND id IS NOT NULL AND NOT EXISTS "
                             "(SELECT 1 FROM server.chunk s WHERE s.id = main.chunk.id)"));
  std::vector<ChunkRow> chunks;
  for (;;) {
    COFFER_TRY(const bool more, rows.step());
    if (!more) return chunks;
    ChunkRow chunk;
    COFFER_TRY(chunk.id, object::ChunkId::from(rows.blob(0)));
    chunk.key = ChunkKey(rows.integer(1));
    chunks.push_back(chunk);
  }
}

}  // namespace coffer::meta
