#include "common/os/disk.h"

namespace coffer::os {
namespace {

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_and_sync(Disk& disk, const std::string& path, ByteView bytes) {
  COFFER_TRY(const std::unique_ptr<File> file, disk.open(path, Open::create));
  COFFER_DO(file->truncate(0));  // A crash may have left a longer one.
  COFFER_DO(file->write_at(bytes, 0));
  return file->sync();
}

}  // namespace

Result<Bytes> read_file(Disk& disk, const std::string& path, std::size_t bytes_max) {
  COFFER_TRY(const std::unique_ptr<File> file, disk.open(path, Open::read));
  COFFER_TRY(const std::uint64_t file_bytes, file->size());
  if (file_bytes > bytes_max) return Error{Fault::corrupt, 0, "file is longer than it may be"};
  Bytes bytes(static_cast<std::size_t>(file_bytes));
  COFFER_TRY(const std::size_t got, file->read_at(bytes, 0));
  bytes.resize(got);
  return bytes;
}

Result<void> replace_file(Disk& disk, const std::string& path, ByteView bytes) {
  const std::string next = path + ".new";
  if (Result<void> written = write_and_sync(disk, next, bytes); !written) {
    (void)disk.remove(next);
    return written;
  }
  COFFER_DO(disk.rename(next, path));
  return disk.sync_folder(folder_of(path));
}

}  // namespace coffer::os
