// A disk that stops working at a chosen call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/mutex.h"
#include "common/os/disk.h"

namespace coffer::testing {

/// Hands calls on to another disk, counts them, and lets chosen ones fail. A call that fails has done nothing, except
/// that a write has done its first half. Thread-safe.
///
/// Counted are the calls that change something: of a Disk open() that may make a file, remove(), rename(),
/// make_one_folder() and sync_folder(); of its files write_at(), sync(), truncate() and punch().
class FaultyDisk : public os::Disk {
 public:
  explicit FaultyDisk(os::Disk& disk = os::real_disk());

  /// The `call`th call from now on (1 is the next) fails with this errno, once.
  void fail_call(std::uint64_t call, int code);
  /// That call and all that follow it fail: for the files it is as if the process had been killed there.
  void fail_from_call(std::uint64_t call, int code);
  /// Every sync() and sync_folder() fails with this errno; 0 ends that.
  void fail_syncs(int code);
  /// Every read_at() of this place in a file whose path ends so fails with EIO, as of a sector that went bad.
  void fail_reads(std::string path_end, std::uint64_t offset);
  void heal();

  std::uint64_t call_count() const;  ///< Since the beginning.
  std::uint64_t sync_count() const;  ///< Of them sync() of files.
  bool has_failed() const;           ///< A chosen call was reached.

  Result<std::unique_ptr<os::File>> open(const std::string& path, os::Open how) override;
  Result<void> remove(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<bool> make_one_folder(const std::string& path) override;
  Result<void> sync_folder(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<os::DiskLock>> lock(const std::string& path) override;
  const char* sqlite_vfs() const override;

 private:
  class FaultyFile;
  struct Faults;

  os::Disk& disk_;
  std::shared_ptr<Faults> faults_;  ///< Files share it, and may outlive the disk.
};

}  // namespace coffer::testing
