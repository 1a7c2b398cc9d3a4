// A disk in memory that loses, at a power cut, whatever a real one may lose.
//
// Every file and every folder has two states: what a process sees, and what was synced. In between stands a list of
// changes. restart() after a cut keeps of each list, as the seed says, all, nothing, the first few with the last one
// torn, or any of them in any mixture, torn at sectors of 512 bytes or pages of 4 KiB. Lists know nothing of each
// other, so a later write of one file may outlive an earlier one of another, and a name may outlive the content that
// it is for. Syncing a file makes its content safe, never its name: that is in its folder's list. A rename from one
// folder to another is in both lists, and kept in both or in neither, as by a journal.
//
// A sync of a file that fails drops its list, as Linux marks pages clean that it could not write: reading still shows
// them, the next sync succeeds, and they are not on the disk. Names are in the file system's journal, which does not
// forget: after a sync of a folder that failed, its list is as before.
//
// SQLite reaches it by the VFS sqlite_vfs(), whose shared memory and locks are this object's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/os/disk.h"

namespace coffer::testing {

/// Thread-safe. "/" is there. What was opened before restart() must not be used afterwards, only destroyed.
class SimDisk : public os::Disk {
 public:
  explicit SimDisk(std::uint64_t seed);
  ~SimDisk() override;

  /// The power goes in the `call`-th call from now, counting from 1 those that change or sync something. What that call
  /// did may be kept; it and all that follow fail.
  void cut_power_at_call(std::uint64_t call);
  void cut_power();
  bool power_was_cut() const;
  /// So many calls since the last restart().
  std::uint64_t call_count() const;
  /// The `sync`-th sync of a file or folder from now fails with EIO, others succeed. 0: none.
  void fail_sync(std::uint64_t sync);
  bool sync_has_failed() const;
  /// The `change`-th change of a file or folder from now is done and says EIO all the same, others succeed. 0: none.
  void fail_change(std::uint64_t change);
  bool change_has_failed() const;
  /// All processes are gone. Without a power cut the page cache is still there, and so is all that was written.
  void restart();

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
  class State;
  class Vfs;
  class SimFile;
  class SimLock;
  std::shared_ptr<State> state_;
  std::unique_ptr<Vfs> vfs_;
};

}  // namespace coffer::testing
