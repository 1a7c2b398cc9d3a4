#include "fs/commit/known_cuts.h"

namespace coffer::commit {

std::optional<std::uint64_t> KnownCuts::first_in(InodeId inode, Range range) const {
  if (range.begin == 0) return 0;
  const MutexLock lock(mutex_);
  const auto file = files_.find(inode);
  if (file == files_.end()) return std::nullopt;
  const auto cut = file->second.lower_bound(range.begin);
  if (cut == file->second.end() || *cut >= range.end) return std::nullopt;
  return *cut;
}

void KnownCuts::add(InodeId inode, Range range) {
  const MutexLock lock(mutex_);
  std::set<std::uint64_t>& cuts = files_[inode];
  cuts.erase(cuts.lower_bound(range.begin), cuts.upper_bound(range.end));
  if (cuts.size() >= kCutsMax) cuts.erase(cuts.begin());
  cuts.insert(range.end);
}

void KnownCuts::forget(InodeId inode) {
  const MutexLock lock(mutex_);
  files_.erase(inode);
}

}  // namespace coffer::commit
