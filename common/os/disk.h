// The only door to the disk: files and folders as an interface, so that tests can cut the power.
//
// Paths are absolute or relative to the process; all failures are base os_error()s: Fault::full for ENOSPC and
// EDQUOT, Fault::local_io otherwise, with the errno in `code` (ENOENT is told that way too).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer::os {

/// One open file. Thread-safe: calls carry their offsets, as pread(2) and pwrite(2) do.
class File {
 public:
  virtual ~File() = default;

  /// Reads up to `into.size()` bytes at `offset`; fewer only where the file ends. Returns how many.
  virtual Result<std::size_t> read_at(MutableByteView into, std::uint64_t offset) = 0;
  /// Writes all of `bytes` at `offset`; after a failure any part of them may be there.
  virtual Result<void> write_at(ByteView bytes, std::uint64_t offset) = 0;
  /// Returns when the file's content and length are on stable storage (fdatasync).
  virtual Result<void> sync() = 0;
  virtual Result<void> truncate(std::uint64_t bytes) = 0;
  virtual Result<std::uint64_t> size() = 0;
  /// Gives the disk space of a range back; it reads as zeros afterwards. A file system that cannot is no failure.
  virtual Result<void> punch(std::uint64_t offset, std::uint64_t bytes) = 0;
};

enum class Open {
  read,        ///< Must exist; read only.
  write,       ///< Must exist; read and write.
  create,      ///< Made where absent, mode 0600; read and write.
  create_new,  ///< Must not exist (EEXIST), mode 0600; read and write.
};

/// Held from Disk::lock() until it is destroyed, or the process ends.
class DiskLock {
 public:
  virtual ~DiskLock() = default;
};

/// Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual Result<std::unique_ptr<File>> open(const std::string& path, Open how) = 0;
  virtual Result<void> remove(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  /// Makes one folder, mode 0700; an existing one is left as it is. Returns whether it is new.
  virtual Result<bool> make_one_folder(const std::string& path) = 0;
  /// Returns when the names in the folder are on stable storage.
  virtual Result<void> sync_folder(const std::string& path) = 0;
  /// Names (not paths) in the folder, sorted, without "." and "..".
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  /// Bytes that an ordinary user may still write to the file system of `path`.
  virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;
  /// Takes the lock that belongs to the file at `path`, which is made where it is absent. Does not wait: Fault::refused
  /// with EBUSY while anyone else holds it, this process included.
  virtual Result<std::unique_ptr<DiskLock>> lock(const std::string& path) = 0;
  /// The VFS through which SQLite reaches this disk; null for its own, which is the machine's.
  virtual const char* sqlite_vfs() const = 0;

  /// Makes the folder and its missing parents. Their names are on stable storage when it returns: those that were there
  /// already too, because who made them may have been killed before he synced them.
  Result<void> make_folder(const std::string& path);
};

/// The machine's own disk. Lives until the process ends.
Disk& real_disk();

/// The whole file, which must be at most `bytes_max` long (else Fault::corrupt).
Result<Bytes> read_file(Disk& disk, const std::string& path, std::size_t bytes_max);
/// Replaces or makes the file so that after a power cut it is the old or the new one, whole: writes `path`.new,
/// syncs it, renames it, syncs the folder. Mode 0600.
Result<void> replace_file(Disk& disk, const std::string& path, ByteView bytes);

}  // namespace coffer::os
