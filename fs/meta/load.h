// Makes the tree of a log that is read from its first commit on: what Tree::apply() makes of it, in a third of the
// time.
//
// Nothing is answered before all is there, so nothing of it has to be safe before: the tree grows in a file of its own,
// PATH.loading, without a journal and in one transaction, and gets its name when it is whole and on stable storage.
// Whatever ends the load before, a kill or a power cut among them, leaves no tree, and the next one begins anew.
//
// The commits go through the same Store::apply() as ever. What is left for the end is what no commit needs: two
// indexes, made from all rows at once, and the pieces, sorted by their hashes, which are random (pieces_of_load.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/object/commit.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "fs/meta/operations.h"
#include "fs/meta/schema.h"
#include "fs/meta/types.h"

namespace coffer::meta {

class Store;
class Pins;

/// What is kept in memory until more than so many are there: the process must not grow with the vault.
struct LoadLimits {
  /// SQLite sorts all rows of an index in memory to make it, about 80 bytes each; those after them are inserted.
  std::uint64_t files_sorted = 2'000'000;
  std::size_t pieces_sorted = 1'000'000;  ///< 56 bytes each.
};

/// Not thread-safe; one thread may begin what another goes on with. After a failure only destruction is left.
class Load {
 public:
  /// Nothing must lie at `path`: answer(EEXIST). What an earlier load left, and what lies beside `path` of a tree that
  /// was there once, is removed. Keeps a reference to `disk`.
  static Result<std::unique_ptr<Load>> begin(const std::string& path, os::Clock& clock, os::Disk& disk,
                                             const LoadLimits& limits = {});
  /// What was not finished is removed.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// The last commit that was applied.
  Head head() const;
  /// The commit after head(); faults as of Tree::apply().
  Result<void> apply(const object::Commit& commit, const Operations& operations, const object::CommitHash& hash);
  /// The tree is at `path`, for Tree::open(), and no power cut takes it.
  Result<void> finish();

 private:
  Load(std::string path, os::Disk& disk, const LoadLimits& limits);
  Result<void> make_store(os::Clock& clock);
  Result<void> index_rows();
  Result<void> write_pieces();

  const std::string path_;
  os::Disk& disk_;
  const LoadLimits limits_;
  std::unique_ptr<Pins> pins_;
  std::unique_ptr<Store> store_;
  LateIndexes late_;
};

/// Removes what a load to `path` left that was cut off.
Result<void> remove_load(const std::string& path, os::Disk& disk);

}  // namespace coffer::meta
