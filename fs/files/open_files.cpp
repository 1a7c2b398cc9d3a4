#include "fs/files/open_files.h"

#include <utility>

namespace coffer::files {

HandleId OpenFiles::add(Handle handle) {
  const MutexLock lock(mutex_);
  const HandleId id{++last_id_};
  Uses& uses = uses_[handle.inode];
  ++uses.handles;
  if (handle.writes) {
    ++uses.writers;
    uses.is_unflushed = true;
  }
  handle.atimes_set = uses.atimes_set;
  handles_.emplace(id, std::make_shared<const Handle>(std::move(handle)));
  return id;
}

std::shared_ptr<const Handle> OpenFiles::find(HandleId id) const {
  const MutexLock lock(mutex_);
  const auto found = handles_.find(id);
  return found == handles_.end() ? nullptr : found->second;
}

OpenFiles::Removed OpenFiles::remove(HandleId id) {
  const MutexLock lock(mutex_);
  Removed removed;
  const auto found = handles_.find(id);
  if (found == handles_.end()) return removed;
  removed.handle = std::move(found->second);
  handles_.erase(found);

  const auto uses = uses_.find(removed.handle->inode);
  if (removed.handle->writes) removed.was_last_writer = --uses->second.writers == 0;
  removed.was_last = --uses->second.handles == 0;
  if (removed.was_last) uses_.erase(uses);
  return removed;
}

bool OpenFiles::is_open(InodeId inode) const {
  const MutexLock lock(mutex_);
  return uses_.contains(inode);
}

bool OpenFiles::has_writers(InodeId inode) const {
  const MutexLock lock(mutex_);
  const auto uses = uses_.find(inode);
  return uses != uses_.end() && uses->second.writers > 0;
}

std::vector<InodeId> OpenFiles::with_writers() const {
  const MutexLock lock(mutex_);
  std::vector<InodeId> inodes;
  for (const auto& [inode, uses] : uses_) {
    if (uses.writers > 0) inodes.push_back(inode);
  }
  return inodes;
}

void OpenFiles::atime_was_set(InodeId inode) {
  const MutexLock lock(mutex_);
  if (const auto uses = uses_.find(inode); uses != uses_.end()) ++uses->second.atimes_set;
}

bool OpenFiles::is_atime_as_opened(const Handle& handle) const {
  const MutexLock lock(mutex_);
  const auto uses = uses_.find(handle.inode);
  return uses != uses_.end() && uses->second.atimes_set == handle.atimes_set;
}

bool OpenFiles::is_unflushed(InodeId inode) const {
  const MutexLock lock(mutex_);
  const auto uses = uses_.find(inode);
  return uses != uses_.end() && uses->second.is_unflushed;
}

void OpenFiles::set_unflushed(InodeId inode) {
  const MutexLock lock(mutex_);
  if (const auto uses = uses_.find(inode); uses != uses_.end()) uses->second.is_unflushed = true;
  if (const auto held = held_.find(inode); held != held_.end()) held->second = false;
}

void OpenFiles::clear_unflushed(InodeId inode) {
  const MutexLock lock(mutex_);
  if (const auto uses = uses_.find(inode); uses != uses_.end()) uses->second.is_unflushed = false;
}

bool OpenFiles::set_held(InodeId inode, bool awaits_content) {
  const MutexLock lock(mutex_);
  const auto [held, is_new] = held_.try_emplace(inode, awaits_content);
  held->second = held->second || awaits_content;
  return is_new;
}

bool OpenFiles::clear_held(InodeId inode) {
  const MutexLock lock(mutex_);
  return held_.erase(inode) > 0;
}

bool OpenFiles::awaits_content(InodeId inode) const {
  const MutexLock lock(mutex_);
  const auto held = held_.find(inode);
  return held != held_.end() && held->second;
}

bool OpenFiles::is_held(InodeId inode) const {
  const MutexLock lock(mutex_);
  return held_.contains(inode);
}

std::vector<InodeId> OpenFiles::held() const {
  const MutexLock lock(mutex_);
  std::vector<InodeId> inodes;
  for (const auto& [inode, awaits_content] : held_) inodes.push_back(inode);
  return inodes;
}

void OpenFiles::keep_failure(InodeId inode, Error error) {
  const MutexLock lock(mutex_);
  failures_.insert_or_assign(inode, std::move(error));
}

void OpenFiles::set_upload_failure(InodeId inode, const Error& error) {
  const MutexLock lock(mutex_);
  if (upload_failures_.insert_or_assign(inode, error).second) untold_uploads_.insert(inode);
}

void OpenFiles::clear_upload_failure(InodeId inode) {
  const MutexLock lock(mutex_);
  upload_failures_.erase(inode);
  untold_uploads_.erase(inode);
}

std::optional<Error> OpenFiles::upload_failure(InodeId inode) const {
  const MutexLock lock(mutex_);
  const auto found = upload_failures_.find(inode);
  return found == upload_failures_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Error> OpenFiles::take_failure(InodeId inode) {
  const MutexLock lock(mutex_);
  if (untold_uploads_.erase(inode) > 0) return upload_failures_.at(inode);
  const auto found = failures_.find(inode);
  if (found == failures_.end()) return std::nullopt;
  std::optional<Error> error = std::move(found->second);
  failures_.erase(found);
  return error;
}

std::vector<std::pair<InodeId, Error>> OpenFiles::failures() const {
  const MutexLock lock(mutex_);
  return {failures_.begin(), failures_.end()};
}

}  // namespace coffer::files
