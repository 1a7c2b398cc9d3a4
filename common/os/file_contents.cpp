#include "common/os/disk.h"

#include <string>
#include <vector>

#include "common/os/paths.h"

namespace coffer::os {
namespace {

Result<void> write_and_sync(Disk& disk, const std::string& path, ByteView bytes) {
  COFFER_TRY(const std::unique_ptr<File> file, disk.open(path, Open::create));
  COFFER_DO(file->truncate(0));  // A crash may have left a longer one.
  COFFER_DO(file->write_at(bytes, 0));
  return file->sync();
}

/// "/a", "/a/b", "/a/b/c" of the last.
std::vector<std::string> ancestors_and_self(const std::string& path) {
  std::vector<std::string> paths;
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    paths.push_back(path.substr(0, end));
  }
  if (!path.ends_with('/')) paths.push_back(path);
  return paths;
}

}  // namespace

// A folder that a killed process made may not have its name synced, so the parents of all that was there are synced
// before anything is made below them. Once the last folder is there, its own name is all that may be missing.
Result<void> Disk::make_folder(const std::string& path) {
  const std::vector<std::string> folders = ancestors_and_self(path);
  std::size_t made_before = 0;
  for (std::size_t i = 0; i < folders.size(); ++i) {
    COFFER_TRY(const bool is_new, make_one_folder(folders[i]));
    if (!is_new) continue;
    // Others' folders further up may not be ours to open; their names are older than we.
    for (; made_before < i; ++made_before) (void)sync_folder(folder_of(folders[made_before]));
    COFFER_DO(sync_folder(folder_of(folders[i])));
    made_before = i + 1;
  }
  if (made_before < folders.size()) (void)sync_folder(folder_of(folders.back()));
  return {};
}

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
