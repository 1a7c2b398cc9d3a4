#include "fs/files/virtual_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace coffer::files {

namespace {

struct VirtualFile {
  InodeId inode;
  std::string_view name;
};

constexpr std::array kFiles{VirtualFile{kStatusFile, "status"}, VirtualFile{kBarrierFile, "barrier"}};

}  // namespace

Result<Attributes> virtual_attributes(InodeId inode, const Attributes& root, std::int64_t now_ns) {
  Attributes attributes;
  attributes.inode = inode;
  attributes.uid = ::geteuid();
  attributes.gid = ::getegid();
  attributes.links = 1;
  attributes.atime_ns = attributes.mtime_ns = attributes.ctime_ns = now_ns;
  attributes.btime_ns = root.btime_ns;
  if (inode == kVirtualFolder) {
    attributes.mode = S_IFDIR | 0555u;
    attributes.links = 2;
  } else if (inode == kStatusFile) {  // It names paths and folders of whoever mounted.
    attributes.mode = S_IFREG | 0400u;
  } else if (inode == kBarrierFile) {  // It keeps the server busy.
    attributes.mode = S_IFREG | 0600u;
  } else {
    return answer(ENOENT);
  }
  return attributes;
}

Result<InodeId> virtual_lookup(InodeId parent, std::string_view name) {
  if (parent == kRootInode && name == kVirtualFolderName) return kVirtualFolder;
  if (parent != kVirtualFolder) return answer(ENOTDIR);
  for (const VirtualFile& file : kFiles) {
    if (file.name == name) return file.inode;
  }
  return answer(ENOENT);
}

Result<std::vector<Entry>> virtual_entries(InodeId folder, std::uint64_t after, const Attributes& root,
                                           std::int64_t now_ns) {
  if (folder != kVirtualFolder) return answer(ENOTDIR);
  std::vector<Entry> entries;
  std::uint64_t cookie = meta::kCookieMin;
  for (const VirtualFile& file : kFiles) {
    if (++cookie <= after) continue;
    COFFER_TRY(const Attributes attributes, virtual_attributes(file.inode, root, now_ns));
    entries.push_back({std::string(file.name), attributes, cookie});
  }
  return entries;
}

}  // namespace coffer::files
