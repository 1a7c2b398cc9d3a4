// The tables of tree.db; TREE.md explains them.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/db/database.h"

namespace coffer::meta {

/// Makes the tables, or brings those of an older version up to date.
Result<void> migrate(db::Database& database);

/// Statements that make the indexes which no commit needs to be applied.
struct LateIndexes {
  std::vector<std::string> of_rows{};
  std::string of_pieces{};
};
/// Takes these indexes out of a tree that has no rows yet. Made at once from all rows, they cost a third.
Result<LateIndexes> drop_late_indexes(db::Database& database);

}  // namespace coffer::meta
