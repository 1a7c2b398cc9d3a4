#include "common/os/paths.h"

#include <cerrno>
#include <memory>
#include <vector>

namespace coffer::os {

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_there(Disk& disk, const std::string& path) {
  const Result<std::unique_ptr<File>> opened = disk.open(path, Open::read);
  return opened || (opened.error().code != ENOENT && opened.error().code != ENOTDIR);
}

// Removed before it is looked into: a link goes itself, and what it leads to stays.
Result<void> remove_all(Disk& disk, const std::string& path) {
  Result<void> removed = disk.remove(path);
  if (removed || removed.error().code == ENOENT) return {};
  if (removed.error().code != ENOTEMPTY && removed.error().code != EEXIST) return std::move(removed).error().in(path);
  COFFER_TRY(const std::vector<std::string> names, disk.list(path));
  for (const std::string& name : names) COFFER_DO(remove_all(disk, path + "/" + name));
  if (removed = disk.remove(path); !removed) return std::move(removed).error().in(path);
  return {};
}

}  // namespace coffer::os
