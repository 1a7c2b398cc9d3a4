// When something was last read.
//
// Kernels leave it to a FUSE daemon, whatever the mount options say (FUSE inodes are S_NOATIME), and ask nothing of it
// where they have the pages or a link's target themselves.
#include <sys/stat.h>

#include "fs/files/state.h"
#include "fs/files/virtual_files.h"

namespace coffer::files {

namespace {

constexpr std::int64_t kDayNs = 86'400'000'000'000;

/// As relatime_need_update() of Linux.
bool is_due(const Attributes& inode, std::int64_t now_ns) {
  return inode.atime_ns <= inode.mtime_ns || inode.atime_ns <= inode.ctime_ns || now_ns - inode.atime_ns >= kDayNs;
}

}  // namespace

bool FileSystem::State::is_touched_by_reading(const Attributes& now) const {
  if (options.read_only || options.atimes == Atimes::none) return false;
  if (S_ISDIR(now.mode) && !options.folder_atimes) return false;
  return options.atimes != Atimes::relative || is_due(now, now_ns());
}

bool FileSystem::State::touch(const Attributes& now) {
  if (!is_touched_by_reading(now)) return false;
  meta::AttributeChange read;
  read.atime_ns = now_ns();
  return tree.change(now.inode, read).has_value();  // Stored and not owed: a reader does not fail because of it.
}

void FileSystem::touch(InodeId inode) {
  if (is_virtual(inode)) return;
  if (const Result<Attributes> now = state_->committer.attributes(inode)) state_->touch(*now);
}

bool FileSystem::is_touched_by_reading(const Attributes& now) const {
  return !is_virtual(now.inode) && state_->is_touched_by_reading(now);
}

bool FileSystem::touch_at_close(HandleId id) {
  const Result<std::shared_ptr<const Handle>> handle = state_->handle(id);
  if (!handle || (*handle)->writes || !(*handle)->sets_atime || is_virtual((*handle)->inode)) return false;
  if (!state_->open_files.is_atime_as_opened(**handle)) return false;
  const Result<Attributes> now = state_->committer.attributes((*handle)->inode);
  return now && state_->touch(*now);
}

}  // namespace coffer::files
