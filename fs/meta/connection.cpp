#include "fs/meta/connection.h"

namespace coffer::meta {

db::Statement* Connection::find(const char* sql) {
  // By address: a literal has one, and comparing its text at every use would cost more than the lookup it is for.
  std::unique_ptr<db::Statement>& statement = statements_[sql];
  if (statement == nullptr) {
    Result<db::Statement> prepared = database_.prepare(sql);
    if (!prepared) {
      failed_ = prepared.error();
      return nullptr;
    }
    statement = std::make_unique<db::Statement>(std::move(*prepared));
  }
  return statement.get();
}

}  // namespace coffer::meta
