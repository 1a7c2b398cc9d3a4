#include "fs/meta/connection.h"

#include <cctype>

namespace coffer::meta {
namespace {

/// Whether the table `inode` is named in it, and not only one such as `owed_inode`.
bool names_inodes(std::string_view sql) {
  constexpr std::string_view kTable = "inode";
  const auto is_of_word = [&](std::size_t at) {
    return at < sql.size() && (std::isalnum(static_cast<unsigned char>(sql[at])) != 0 || sql[at] == '_');
  };
  for (std::size_t at = sql.find(kTable); at != std::string_view::npos; at = sql.find(kTable, at + 1)) {
    if (!is_of_word(at - 1) && !is_of_word(at + kTable.size())) return true;
  }
  return false;
}

}  // namespace

std::string insert_many(std::string_view head, std::string_view row) {
  std::string sql(head);
  for (std::size_t i = 0; i < kRowsAtOnce; ++i) sql.append(i == 0 ? " VALUES " : ", ").append(row);
  return sql;
}

Connection::Prepared* Connection::find(const char* sql) {
  // By address: a literal has one, and comparing its text at every use would cost more than the lookup it is for.
  std::unique_ptr<Prepared>& known = statements_[sql];
  if (known == nullptr) {
    Result<db::Statement> prepared = database_.prepare(sql);
    if (!prepared) {
      failed_ = prepared.error();
      return nullptr;
    }
    known = std::make_unique<Prepared>(std::move(*prepared), names_inodes(sql));
  }
  return known.get();
}

}  // namespace coffer::meta
