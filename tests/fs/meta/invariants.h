// What must hold in tree.db after every call, said as queries that find nothing.
#pragma once

#include <gtest/gtest.h>

#include "tests/fs/meta/tree_world.h"

namespace coffer::meta {

inline void expect_invariants(TreeWorld& world) {
  struct Invariant {
    const char* claim;
    const char* violations;
  };
  static constexpr Invariant kInvariants[] = {
      {"a chunk counts its extents",
       "SELECT count(*) FROM chunk c WHERE refs <> (SELECT count(*) FROM extent WHERE chunk = c.key)"},
      {"an owed chunk counts the extents of inodes with a name",
       "SELECT count(*) FROM chunk c WHERE state < 3 AND wanted <> (SELECT count(*) FROM extent e JOIN inode i "
       "ON i.ino = e.ino WHERE e.chunk = c.key AND i.links > 0)"},
      {"every extent has its chunk and its inode",
       "SELECT count(*) FROM extent WHERE chunk NOT IN (SELECT key FROM chunk) OR ino NOT IN (SELECT ino FROM inode)"},
      {"every piece has its chunk", "SELECT count(*) FROM piece WHERE chunk NOT IN (SELECT key FROM chunk)"},
      {"a file's allocated bytes are those of its extents",
       "SELECT count(*) FROM inode i WHERE allocated <> "
       "(SELECT coalesce(sum(bytes), 0) FROM extent WHERE ino = i.ino)"},
      {"extents do not overlap",
       "SELECT count(*) FROM extent a JOIN extent b ON a.ino = b.ino AND a.at < b.at AND a.at + a.bytes > b.at"},
      {"no extent lies behind its file's end",
       "SELECT count(*) FROM extent e JOIN inode i ON i.ino = e.ino WHERE e.at + e.bytes > i.bytes"},
      {"a file counts its names",
       "SELECT count(*) FROM inode i WHERE (mode & 61440) <> 16384 AND links <> "
       "(SELECT count(*) FROM name WHERE ino = i.ino)"},
      {"a folder with a name counts itself and the folders in it",
       "SELECT count(*) FROM inode i WHERE (mode & 61440) = 16384 AND (ino = 1 OR ino IN (SELECT ino FROM name)) AND "
       "links <> 2 + (SELECT count(*) FROM name n JOIN inode c ON c.ino = n.ino WHERE n.parent = i.ino AND "
       "(c.mode & 61440) = 16384)"},
      {"every name leads somewhere", "SELECT count(*) FROM name WHERE ino NOT IN (SELECT ino FROM inode)"},
      {"an owed inode counts its extents that are not stored",
       "SELECT count(*) FROM owed_inode o WHERE unstored <> iif(deleted, 0, (SELECT count(*) FROM extent e JOIN chunk "
       "c "
       "ON c.key = e.chunk WHERE e.ino = o.ino AND c.state < 2))"},
      {"what has content that is not committed is owed",
       "SELECT count(*) FROM extent e JOIN chunk c ON c.key = e.chunk JOIN inode i ON i.ino = e.ino "
       "WHERE c.state < 3 AND i.links > 0 AND e.ino NOT IN (SELECT ino FROM owed_inode)"},
      {"an owed name differs from what is committed, or is in flight",
       "SELECT count(*) FROM owed_name o WHERE flight = 0 AND base = coalesce("
       "(SELECT ino FROM name n WHERE n.parent = o.parent AND n.name = o.name), 0)"},
      {"an owed name waits if what it means is owed",
       "SELECT count(*) FROM owed_name o WHERE waits <> EXISTS (SELECT 1 FROM name n JOIN owed_inode i ON i.ino = "
       "n.ino "
       "WHERE n.parent = o.parent AND n.name = o.name)"},
      {"owed ranges do not touch",
       "SELECT count(*) FROM owed_range a JOIN owed_range b ON a.ino = b.ino AND a.flight = b.flight AND "
       "a.begin < b.begin AND a.end >= b.begin"},
      {"owed ranges belong to what is owed",
       "SELECT count(*) FROM owed_range WHERE ino NOT IN (SELECT ino FROM owed_inode)"},
      {"the counters are right",
       "SELECT count(*) FROM state WHERE files <> (SELECT count(*) - 1 FROM inode) OR bytes <> (SELECT sum(allocated) "
       "FROM inode) OR sealed_bytes <> (SELECT coalesce(sum(sealed_bytes), 0) FROM chunk WHERE refs > 0)"},
      {"nothing is in flight without a pending commit",
       "SELECT (SELECT count(*) FROM pending) = 0 AND ((SELECT count(*) FROM owed_inode WHERE flight) + (SELECT "
       "count(*) "
       "FROM owed_name WHERE flight) + (SELECT count(*) FROM chunk WHERE flight)) > 0"},
  };
  Result<db::Database> database = db::Database::open(world.path(), {.read_only = true});
  ASSERT_TRUE(database);
  for (const Invariant& invariant : kInvariants) {
    Result<db::Statement> statement = database->prepare(invariant.violations);
    ASSERT_TRUE(statement);
    Result<bool> row = statement->step();
    ASSERT_TRUE(row && *row);
    EXPECT_EQ(statement->integer(0), 0) << invariant.claim;
  }
}

}  // namespace coffer::meta
