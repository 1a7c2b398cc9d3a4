#include "fs/meta/schema.h"

#include <string>
#include <string_view>
#include <utility>

namespace coffer::meta {
namespace {

// Names, xattr names, ids and hashes are blobs: they are compared byte by byte and need not be UTF-8.
// SQLite uses a partial index only where the query repeats its condition: `base = ? AND base > 0`.
constexpr const char* kVersion1 = R"sql(
-- One row: counters, and the last commit known to be in the log.
CREATE TABLE state (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  version INTEGER NOT NULL,       -- the Mark: counts every local change
  inode_next INTEGER NOT NULL,
  cookie_next INTEGER NOT NULL,
  group_next INTEGER NOT NULL,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sealed_bytes INTEGER NOT NULL,
  head_seq INTEGER NOT NULL,
  head_hash BLOB NOT NULL
);
INSERT INTO state VALUES (1, 0, 2, 16, 1, 0, 0, 0, 0, zeroblob(32));

-- At most one row: the commit that was drafted and is not known to be in the log.
CREATE TABLE pending (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, bytes BLOB NOT NULL);

CREATE TABLE inode (
  ino INTEGER PRIMARY KEY,
  mode INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  gid INTEGER NOT NULL,
  rdev INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  allocated INTEGER NOT NULL,     -- sum of its extents
  links INTEGER NOT NULL,
  atime INTEGER NOT NULL,
  mtime INTEGER NOT NULL,
  ctime INTEGER NOT NULL,
  btime INTEGER NOT NULL,
  unlinked INTEGER NOT NULL,      -- 1: lost its last name here while pinned
  target BLOB                     -- of a symbolic link
);
CREATE INDEX inode_nameless ON inode(unlinked) WHERE links = 0;
INSERT INTO inode VALUES (1, 16877, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, NULL);

CREATE TABLE name (
  parent INTEGER NOT NULL,
  name BLOB NOT NULL,
  ino INTEGER NOT NULL,
  cookie INTEGER NOT NULL,        -- counts up, so that listing a folder can go on behind it
  PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE UNIQUE INDEX name_by_cookie ON name(parent, cookie);
CREATE INDEX name_by_ino ON name(ino);

CREATE TABLE xattr (
  ino INTEGER NOT NULL,
  name BLOB NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (ino, name)
) WITHOUT ROWID;

CREATE TABLE extent (
  ino INTEGER NOT NULL,
  at INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  chunk_offset INTEGER NOT NULL,
  PRIMARY KEY (ino, at)
) WITHOUT ROWID;
CREATE INDEX extent_by_chunk ON extent(chunk);

CREATE TABLE chunk (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB UNIQUE,                 -- NULL while open
  state INTEGER NOT NULL,         -- ChunkState
  sealed_bytes INTEGER NOT NULL,
  plain_bytes INTEGER NOT NULL,
  refs INTEGER NOT NULL,          -- extents in it
  wanted INTEGER NOT NULL,        -- of these, extents of inodes that have a name
  priority INTEGER NOT NULL,
  since INTEGER NOT NULL,         -- when it became owed
  flight INTEGER NOT NULL,        -- in the pending commit: 1 as added, 2 as released
  dead_at INTEGER NOT NULL,       -- the Mark at which refs became 0, where the row stays to be released
  verified INTEGER                -- when it was last compared
);
CREATE INDEX chunk_by_urgency ON chunk(priority, key) WHERE state = 1 AND wanted > 0;
CREATE INDEX chunk_by_age ON chunk(since) WHERE state = 1 AND wanted > 0;
CREATE INDEX chunk_open ON chunk(key) WHERE state = 0;
CREATE INDEX chunk_dead ON chunk(dead_at) WHERE refs = 0;
CREATE INDEX chunk_flight ON chunk(flight) WHERE flight > 0;

CREATE TABLE piece (
  hash BLOB PRIMARY KEY,
  chunk INTEGER NOT NULL,
  chunk_offset INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX piece_by_chunk ON piece(chunk, chunk_offset);

-- Inodes whose state is not the committed one.
CREATE TABLE owed_inode (
  ino INTEGER PRIMARY KEY,
  first INTEGER NOT NULL,         -- the Mark since which it is owed
  next_first INTEGER NOT NULL,    -- the first change after it was drafted; 0: none
  since INTEGER NOT NULL,         -- the time of `first`
  is_new INTEGER NOT NULL,        -- no commit knows it
  deleted INTEGER NOT NULL,       -- it has no name any more
  unstored INTEGER NOT NULL,      -- its extents in chunks that are not stored
  flight INTEGER NOT NULL         -- 1: in the pending commit
);
-- Classes: 0 ready, 1 waits for chunks, 2 and above to be deleted. A draft reads the class that it can use, oldest first.
CREATE INDEX owed_inode_order ON owed_inode((unstored > 0) + 2 * deleted, first);
CREATE INDEX owed_inode_flight ON owed_inode(flight) WHERE flight > 0;

-- Which of their content changed; ranges of one flight do not touch.
CREATE TABLE owed_range (
  ino INTEGER NOT NULL,
  flight INTEGER NOT NULL,
  begin INTEGER NOT NULL,
  end INTEGER NOT NULL,
  PRIMARY KEY (ino, flight, begin)
) WITHOUT ROWID;

-- Names whose meaning is not the committed one.
CREATE TABLE owed_name (
  parent INTEGER NOT NULL,
  name BLOB NOT NULL,
  base INTEGER NOT NULL,          -- the committed meaning; 0: none
  first INTEGER NOT NULL,
  next_first INTEGER NOT NULL,
  since INTEGER NOT NULL,
  grp INTEGER NOT NULL,           -- names of one group are committed together; 0: alone
  waits INTEGER NOT NULL,         -- 1: what it means now is itself owed
  moves INTEGER NOT NULL,         -- 1: a folder went from or to here, from or to another folder
  flight INTEGER NOT NULL,
  sent INTEGER NOT NULL,          -- its meaning in the pending commit
  PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE INDEX owed_name_order ON owed_name(waits, first);
CREATE INDEX owed_name_group ON owed_name(grp) WHERE grp > 0;
CREATE INDEX owed_name_base ON owed_name(base) WHERE base > 0;
CREATE INDEX owed_name_moves ON owed_name(moves) WHERE moves > 0;
CREATE INDEX owed_name_flight ON owed_name(flight) WHERE flight > 0;
)sql";

// The generation of the redo log. It begins anywhere, so that a log that was left behind by another tree is never run.
constexpr const char* kVersion2 = R"sql(
ALTER TABLE state ADD COLUMN redo INTEGER NOT NULL DEFAULT 0;
UPDATE state SET redo = random() >> 2 & 0xfffffffffffffff;
)sql";

// What this tree has seen of the log: where a server's log leaves it is found by comparing these.
constexpr const char* kPins = R"sql(
CREATE TABLE pinned (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL);
INSERT INTO pinned SELECT head_seq, head_hash FROM state WHERE head_seq > 0;
)sql";

// What a commit changes that shall change nothing.
constexpr const char* kTouched = "ALTER TABLE state ADD COLUMN touched INTEGER NOT NULL DEFAULT 0";

// Every tree counts its Marks from 0: what speaks of a Mark outside of the tree names the tree too.
constexpr const char* kTreeId = R"sql(
ALTER TABLE state ADD COLUMN id BLOB NOT NULL DEFAULT x'';
UPDATE state SET id = randomblob(16);
)sql";

// The server's signature under the last commit that it answered: proof of what it took in.
constexpr const char* kReceipt = "ALTER TABLE state ADD COLUMN receipt BLOB;";

// Sealed bytes of chunks that the pending commit takes along to the server.
constexpr const char* kCarried = "CREATE TABLE carried (key INTEGER PRIMARY KEY, bytes BLOB NOT NULL);";

}  // namespace

Result<void> migrate(db::Database& database) {
  return database.migrate({kVersion1, kVersion2, kPins, kTouched, kTreeId, kReceipt, kCarried});
}

Result<LateIndexes> drop_late_indexes(db::Database& database) {
  LateIndexes late;
  COFFER_TRY(db::Statement find, database.prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?"));
  for (const std::string name : {"name_by_cookie", "extent_by_chunk", "piece_by_chunk"}) {
    find.bind(1, std::string_view(name));
    COFFER_TRY(const bool found, find.step());
    if (!found) return Error{Fault::corrupt, 0, "the tree lacks an index"};
    std::string sql(find.text(0));
    find.reset();
    COFFER_DO(database.execute(("DROP INDEX " + name).c_str()));
    if (name == "piece_by_chunk") {
      late.of_pieces = std::move(sql);
    } else {
      late.of_rows.push_back(std::move(sql));
    }
  }
  return late;
}

}  // namespace coffer::meta
