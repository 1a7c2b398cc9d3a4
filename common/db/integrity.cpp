#include "common/db/integrity.h"

namespace coffer::db {

Result<std::vector<std::string>> integrity_of(Database& database) {
  COFFER_TRY(Statement rows, database.prepare("PRAGMA integrity_check(8)"));
  std::vector<std::string> found;
  for (;;) {
    COFFER_TRY(const bool more, rows.step());
    if (!more) return found;
    if (rows.text(0) != "ok") found.emplace_back(rows.text(0));
  }
}

}  // namespace coffer::db
