// Where SQLite's result codes become Faults.
#pragma once

#include "common/base/result.h"

struct sqlite3;

namespace coffer::db {

/// The Error of the call on `db` that has just failed with `code`; `db` may be null.
Error sqlite_error(sqlite3* db, int code);

}  // namespace coffer::db
