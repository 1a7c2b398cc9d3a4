// What changed the tree since SQLite's last commit: the statements of each operation, with what was bound to them.
//
// Many operations share one transaction of the tree, because a commit for each costs more than all else that a small
// file costs. An operation is answered once its record is here: kill -9 then loses nothing of it, since the next
// Tree::open() runs the statements again. No power cut takes it after sync(), where the transactions before are on the
// disk too. Every transaction of SQLite that changes the tree, also one of a single operation, begins a new generation,
// which the row `state` holds: records of another one are left over from before, or build on a transaction that a power
// cut took, and are not run.
//
//     at    bytes  field
//     0     4      CFRO
//     4     4      payload_bytes
//     8     8      generation
//     16    4      index         0 for the first operation of a generation, then counting up
//     20    4      CRC-32C of bytes 0 … 19 and the payload
//     24    n      payload: statements, one behind the other
//
//     2  number of the statement in this generation; where it is the next new one, 4 bytes length and its text follow
//     1  count of bound values, each: 1 byte kind; 0: 8 bytes integer, 1: 4 bytes length and a blob
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/strong.h"
#include "common/object/ids.h"
#include "common/os/disk.h"

namespace coffer::meta {

/// Not thread-safe; the Tree's writer has it.
class RedoLog {
 public:
  using Value = std::variant<std::int64_t, ByteView>;
  /// Runs one statement again. Views are valid during the call.
  using Run = std::function<Result<void>(std::string_view sql, std::span<const Value> values)>;

  /// Opens or makes the file; its name is on stable storage.
  static Result<std::unique_ptr<RedoLog>> open(os::Disk& disk, const std::string& path);

  /// All records so far are obsolete.
  void begin(std::uint64_t generation);
  std::uint64_t generation() const { return generation_; }
  /// Another operation of the usual size fits.
  bool has_room() const;
  /// Operations of this generation that were appended.
  std::uint32_t count() const { return index_; }

  /// One more statement of the operation under way. `sql` is a literal.
  template <class... Args>
  void add(const char* sql, const Args&... args) {
    add_statement(sql, sizeof...(args));
    (put(args), ...);
  }
  /// The operation under way has changed something.
  bool has_statements() const;
  /// The operation under way is in the file when this returns. False if it is too large for what is left.
  Result<bool> append();
  /// Returns when all that was appended is on stable storage.
  Result<void> sync();
  /// The operation under way is forgotten.
  void discard();

  /// Runs the statements of the operations of this generation, up to the first record that is not one, and of
  /// `count_max` at most: a record whose append() failed may be in the file all the same.
  Result<void> replay(std::uint32_t count_max, const Run& run);

 private:
  explicit RedoLog(std::unique_ptr<os::File> file);

  void add_statement(const char* sql, std::size_t value_count);
  void put_integer(std::int64_t value);
  void put_blob(ByteView value);

  template <std::integral T>
  void put(T value) {
    put_integer(static_cast<std::int64_t>(value));
  }
  template <class T, class Tag>
  void put(const Strong<T, Tag>& value) {
    put_integer(static_cast<std::int64_t>(value.value()));
  }
  template <std::size_t kBytes, class Tag>
  void put(const object::Id<kBytes, Tag>& id) {
    put_blob(id.bytes());
  }
  void put(ByteView bytes) { put_blob(bytes); }
  void put(std::string_view name) { put_blob(as_bytes(name)); }

  std::unique_ptr<os::File> file_;
  std::uint64_t generation_ = 0;
  std::uint64_t end_ = 0;    // Where the next record goes.
  std::uint32_t index_ = 0;  // Its index.
  Bytes record_;             // The operation under way, its header included.
  std::unordered_map<const char*, std::uint16_t> numbers_;
  std::vector<const char*> new_statements_;  // Of the operation under way.
};

}  // namespace coffer::meta
