#include "common/db/sqlite_error.h"

#include <sqlite3.h>

#include <cerrno>

namespace coffer::db {

Error sqlite_error(sqlite3* db, int code) {
  // sqlite3_errstr() and not sqlite3_errmsg(): the latter may quote values.
  const std::string what = std::string("sqlite: ") + sqlite3_errstr(code) + " (" + std::to_string(code) + ")";
  const int primary = code & 0xff;
  if (primary == SQLITE_FULL) return {Fault::full, ENOSPC, what};
  const bool is_damage = primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || code == SQLITE_IOERR_DATA;
  if (is_damage) return {Fault::corrupt, 0, what};
  // What SQLite's VFS found out by itself comes without an errno.
  int system = db != nullptr && primary == SQLITE_IOERR ? sqlite3_system_errno(db) : 0;
  if (primary == SQLITE_IOERR && system == 0) system = code == SQLITE_IOERR_NOMEM ? ENOMEM : EIO;
  // Of a COMMIT that fails, SQLite shows the errno of an earlier failure. And whatever stopped a sync, it is not
  // believed again (page_sums.h): room that comes back does not mend it.
  if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) system = EIO;
  if (primary == SQLITE_READONLY) return {Fault::local_io, EROFS, what};
  // SQLite knows only ENOSPC as a full disk.
  return {system == EDQUOT ? Fault::full : Fault::local_io, system, what};
}

}  // namespace coffer::db
