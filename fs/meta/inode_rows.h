// Rows of the table `inode` in memory: those that were read, and those that changed and are late: not in SQLite yet.
//
// A small file changes its row, and that of its folder, half a dozen times before the transaction ends that it shares
// with others. The redo log has every change when it is answered, so SQLite needs the last one alone, and needs it when
// it commits or when a statement reads the table. Connection sees to both.
#pragma once

#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "fs/value/attributes.h"

namespace coffer::meta {

class Connection;

/// Not thread-safe; the Connection has it. Without use() nothing is kept, and nothing is late.
class InodeRows {
 public:
  void use() { is_used_ = true; }
  bool are_used() const { return is_used_; }

  /// nullptr where the row is not known here. Valid until the next call that changes rows.
  const Attributes* find(InodeId inode) const;
  /// SQLite has this row.
  void found(const Attributes& row);

  /// These log the change, if changes are logged, and run it now or later.
  Result<void> insert(Connection& connection, const Attributes& row);
  Result<void> update(Connection& connection, const Attributes& row);
  Result<void> remove(Connection& connection, InodeId inode);

  /// Known to have no xattr. What gives one to an inode says so.
  bool has_no_xattrs(InodeId inode) const;
  void found_no_xattrs(InodeId inode);
  void gets_xattr(InodeId inode);

  bool is_any_late() const { return !late_.empty(); }
  /// SQLite has all rows after it.
  Result<void> write_back(Connection& connection);
  /// SQLite's rows may be others than those known here, which are forgotten; so are late ones.
  void forget();

 private:
  struct Row {
    Attributes attributes;
    bool is_late = false;
    bool is_new = false;  // SQLite has none.
    bool has_no_xattrs = false;
  };

  void put(const Attributes& row, bool is_new);
  /// nullptr where it is not late.
  Row* late(InodeId inode);
  /// The next ones to be written, as many new ones as one statement takes or one that is not new; how many of the late
  /// ones are done with them.
  std::size_t next_rows(std::vector<Row*>& rows);
  Result<void> write(Connection& connection, std::span<Row* const> rows);
  Result<void> write(Connection& connection, const Row& row);

  bool is_used_ = false;
  std::unordered_map<InodeId, Row> rows_;
  std::vector<InodeId> late_;  // Some may have been removed since.
};

}  // namespace coffer::meta
