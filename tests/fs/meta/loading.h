// Loads a log, and shows every row that the log decides: by them a tree that was loaded equals one that followed.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "fs/meta/load.h"
#include "tests/fs/meta/tree_world.h"

namespace coffer::meta {

/// Every row of every table, with all columns but those that each tree has of its own; and the indexes.
inline std::vector<std::string> rows_of(const std::string& path) {
  std::vector<std::string> rows;
  const Result<db::Database> database = db::Database::open(path, {.read_only = true});
  EXPECT_TRUE(database);
  const auto add = [&](const std::string& sql) {
    Result<db::Statement> statement = const_cast<db::Database&>(*database).prepare_found(sql);
    ASSERT_TRUE(statement) << sql;
    for (Result<bool> row = statement->step(); row && *row; row = statement->step()) {
      rows.emplace_back(statement->text(0));
    }
  };
  add("SELECT name || ': ' || sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
  for (const std::string table : {"inode", "name", "xattr", "extent", "chunk", "piece", "pinned", "pending", "state"}) {
    const std::size_t before = rows.size();
    add("SELECT group_concat('quote(' || name || ')', ' || '' '' || ') FROM pragma_table_info('" + table +
        "') WHERE name NOT IN ('redo', 'touched', 'id', 'receipt', 'verified')");
    const std::string columns = rows.back();
    rows.resize(before);
    add("SELECT '" + table + " ' || " + columns + " FROM " + table + " ORDER BY 1");
  }
  return rows;
}

inline Result<void> load_into(Load& load, std::span<const Bytes> commits) {
  for (const Bytes& bytes : commits) {
    COFFER_TRY(const object::Commit commit, object::decode_commit(bytes));
    COFFER_TRY(const Operations operations, Operations::decode(commit.payload));
    COFFER_DO(load.apply(commit, operations, object::hash_of(bytes)));
  }
  return {};
}

/// Makes the tree at `path` of commits whose payloads are in plain.
inline Result<void> load(const std::string& path, std::span<const Bytes> commits, const LoadLimits& limits = {},
                         os::Disk& disk = os::real_disk()) {
  CountingClock clock;
  COFFER_TRY(const std::unique_ptr<Load> load, Load::begin(path, clock, disk, limits));
  COFFER_DO(load_into(*load, commits));
  return load->finish();
}

}  // namespace coffer::meta
