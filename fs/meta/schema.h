// The tables of tree.db; TREE.md explains them.
#pragma once

#include "common/base/result.h"
#include "common/db/database.h"

namespace coffer::meta {

/// Makes the tables, or brings those of an older version up to date.
Result<void> migrate(db::Database& database);

}  // namespace coffer::meta
