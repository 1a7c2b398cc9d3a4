// The pack files of one folder: their names, and a few open descriptors.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/os/disk.h"

namespace coffer::pack {

/// Thread-safe.
class PackFiles {
 public:
  PackFiles(os::Disk& disk, std::string folder) : disk_(disk), folder_(std::move(folder)) {}

  /// Numbers of the packs in the folder, ascending.
  Result<std::vector<std::uint64_t>> list();
  /// The pack, open for reading and writing. The last few stay open.
  Result<std::shared_ptr<os::File>> get(std::uint64_t number);
  /// Makes an empty pack with its header; its name is not on stable storage before the folder is synced.
  Result<std::shared_ptr<os::File>> create(std::uint64_t number);
  Result<void> remove(std::uint64_t number);
  Result<void> sync_folder() { return disk_.sync_folder(folder_); }

 private:
  using Open = std::pair<std::uint64_t, std::shared_ptr<os::File>>;

  std::string path(std::uint64_t number) const;
  void keep(std::uint64_t number, const std::shared_ptr<os::File>& file) EXCLUDES(mutex_);
  std::shared_ptr<os::File> kept(std::uint64_t number) EXCLUDES(mutex_);

  os::Disk& disk_;
  const std::string folder_;
  Mutex mutex_;
  std::list<Open> open_ GUARDED_BY(mutex_);  ///< The last used one first.
};

}  // namespace coffer::pack
