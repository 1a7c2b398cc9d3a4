// One process at a time has a folder of packs open.
#pragma once

#include <string>

#include "common/base/result.h"

namespace coffer::pack {

/// Holds flock(2) on `folder`/lock: the kernel lets it go with the process, however that ends.
class FolderLock {
 public:
  /// Fault::refused (EBUSY) while anyone else holds it, this process included. Does not wait.
  static Result<FolderLock> take(const std::string& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace coffer::pack
