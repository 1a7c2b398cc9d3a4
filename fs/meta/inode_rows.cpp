#include "fs/meta/inode_rows.h"

#include <algorithm>
#include <functional>

#include "fs/meta/connection.h"

namespace coffer::meta {
namespace {

/// About 6 MiB. What is known may be forgotten at any time that nothing is late.
constexpr std::size_t kRowsMax = 32'768;
constexpr std::size_t kLateMax = 8'192;

constexpr const char* kInsert = "INSERT INTO inode VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL)";
const std::string kInsertMany = insert_many("INSERT INTO inode", "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL)");
constexpr const char* kUpdate =
    "UPDATE inode SET mode = ?2, uid = ?3, gid = ?4, bytes = ?5, allocated = ?6, links = ?7, atime = ?8, mtime = ?9, "
    "ctime = ?10 WHERE ino = ?1";
constexpr const char* kDelete = "DELETE FROM inode WHERE ino = ?";

template <class Run>
auto with_inserted(const Attributes& row, Run run) {
  return run(kInsert, row.inode, row.mode, row.uid, row.gid, row.rdev, row.bytes, row.allocated_bytes, row.links,
             row.atime_ns, row.mtime_ns, row.ctime_ns, row.btime_ns);
}

template <class Run>
auto with_updated(const Attributes& row, Run run) {
  return run(kUpdate, row.inode, row.mode, row.uid, row.gid, row.bytes, row.allocated_bytes, row.links, row.atime_ns,
             row.mtime_ns, row.ctime_ns);
}

}  // namespace

const Attributes* InodeRows::find(InodeId inode) const {
  const auto found = rows_.find(inode);
  return found == rows_.end() ? nullptr : &found->second.attributes;
}

void InodeRows::found(const Attributes& row) {
  if (is_used_) rows_[row.inode].attributes = row;
}

void InodeRows::put(const Attributes& attributes, bool is_new) {
  Row& row = rows_[attributes.inode];
  row.attributes = attributes;
  row.is_new |= is_new;
  if (!row.is_late) late_.push_back(attributes.inode);
  row.is_late = true;
}

Result<void> InodeRows::insert(Connection& connection, const Attributes& row) {
  const auto log = [&](const auto&... sql_and_values) { connection.log(sql_and_values...); };
  with_inserted(row, log);
  if (!is_used_) return write(connection, {.attributes = row, .is_new = true});
  put(row, true);
  return late_.size() < kLateMax ? Result<void>() : write_back(connection);
}

Result<void> InodeRows::update(Connection& connection, const Attributes& row) {
  const auto log = [&](const auto&... sql_and_values) { connection.log(sql_and_values...); };
  with_updated(row, log);
  if (!is_used_) return write(connection, {.attributes = row});
  put(row, false);
  return late_.size() < kLateMax ? Result<void>() : write_back(connection);
}

Result<void> InodeRows::remove(Connection& connection, InodeId inode) {
  connection.log(kDelete, inode);
  const auto found = rows_.find(inode);
  const bool is_in_sqlite = found == rows_.end() || !found->second.is_new;
  if (found != rows_.end()) rows_.erase(found);
  return is_in_sqlite ? connection.run_late(kDelete, inode) : Result<void>();
}

bool InodeRows::has_no_xattrs(InodeId inode) const {
  const auto found = rows_.find(inode);
  return found != rows_.end() && found->second.has_no_xattrs;
}

void InodeRows::found_no_xattrs(InodeId inode) {
  const auto found = rows_.find(inode);
  if (found != rows_.end()) found->second.has_no_xattrs = true;
}

void InodeRows::gets_xattr(InodeId inode) {
  const auto found = rows_.find(inode);
  if (found != rows_.end()) found->second.has_no_xattrs = false;
}

Result<void> InodeRows::write(Connection& connection, const Row& row) {
  const auto run = [&](const auto&... sql_and_values) { return connection.run_late(sql_and_values...); };
  return row.is_new ? with_inserted(row.attributes, run) : with_updated(row.attributes, run);
}

InodeRows::Row* InodeRows::late(InodeId inode) {
  const auto found = rows_.find(inode);
  return found != rows_.end() && found->second.is_late ? &found->second : nullptr;
}

std::size_t InodeRows::next_rows(std::vector<Row*>& rows) {
  rows.clear();
  std::size_t taken = 0;
  while (taken < late_.size() && rows.size() < kRowsAtOnce) {
    Row* const row = late(late_[late_.size() - 1 - taken]);
    if (row != nullptr && !row->is_new && !rows.empty()) break;
    ++taken;
    if (row == nullptr) continue;
    rows.push_back(row);
    if (!row->is_new) break;
  }
  return taken;
}

Result<void> InodeRows::write(Connection& connection, std::span<Row* const> rows) {
  if (rows.size() < kRowsAtOnce) {
    for (const Row* const row : rows) COFFER_DO(write(connection, *row));
    return {};
  }
  return connection.insert(kInsertMany, rows, [](const Row* row, const auto& bind) {
    with_inserted(row->attributes, [&](const char*, const auto&... values) { bind(values...); });
  });
}

Result<void> InodeRows::write_back(Connection& connection) {
  // New rows ascending: each is then put behind the last one, and fills the page that it is on.
  std::ranges::sort(late_, std::greater());
  late_.erase(std::unique(late_.begin(), late_.end()), late_.end());
  std::vector<Row*> rows;
  while (!late_.empty()) {
    const std::size_t taken = next_rows(rows);
    COFFER_DO(write(connection, rows));
    for (Row* const row : rows) row->is_late = row->is_new = false;
    late_.resize(late_.size() - taken);
  }
  if (rows_.size() > kRowsMax) rows_.clear();
  return {};
}

void InodeRows::forget() {
  rows_.clear();
  late_.clear();
}

}  // namespace coffer::meta
