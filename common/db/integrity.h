// SQLite's own check of a whole database.
#pragma once

#include <string>
#include <vector>

#include "common/db/database.h"

namespace coffer::db {

/// What it finds, at most eight sentences; none where all is well. Reads every page, and so its checksum.
Result<std::vector<std::string>> integrity_of(Database& database);

}  // namespace coffer::db
