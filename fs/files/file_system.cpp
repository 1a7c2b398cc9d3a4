#include "fs/files/file_system.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "fs/files/state.h"
#include "fs/files/virtual_files.h"

namespace coffer::files {

Result<void> FileSystem::State::check_change(InodeId inode, std::uint64_t more_bytes) const {
  if (options.read_only) return answer(EROFS);
  if (is_virtual(inode)) return answer(EPERM);
  if (disk_failure.is_set()) return answer(EROFS);
  return durability.accepts(more_bytes);
}

std::int64_t FileSystem::State::now_ns() const { return clock.now().time_since_epoch().count(); }

FileSystem::FileSystem(meta::Tree& tree, commit::Committer& committer, fetch::Fetcher& fetcher, Durability& durability,
                       os::Clock& clock, FileSystemOptions options)
    : state_(std::make_unique<State>(tree, committer, fetcher, durability, clock, options)) {}

FileSystem::~FileSystem() = default;

const FileSystemOptions& FileSystem::options() const { return state_->options; }

void FileSystem::on_push_pages(PushPages push) {
  const MutexLock lock(state_->push_mutex);
  state_->push_pages = std::move(push);
}

std::int64_t FileSystem::now_ns() const { return state_->now_ns(); }

// ---- names -------------------------------------------------------------------------------------------------------

Result<Attributes> FileSystem::lookup(InodeId parent, std::string_view name) {
  if (is_virtual(parent) || (parent == kRootInode && name == kVirtualFolderName)) {
    COFFER_TRY(const InodeId inode, virtual_lookup(parent, name));
    return attributes(inode);
  }
  COFFER_TRY(const Attributes found, state_->tree.lookup(parent, name));
  return state_->has_buffered(found.inode) ? state_->committer.attributes(found.inode) : found;
}

Result<Attributes> FileSystem::attributes(InodeId inode) {
  if (is_virtual(inode)) {
    COFFER_TRY(const Attributes root, state_->tree.attributes(kRootInode));
    return virtual_attributes(inode, root, now_ns());
  }
  return state_->committer.attributes(inode);
}

Result<bool> FileSystem::clear_privileges(InodeId inode) {
  COFFER_TRY(const Attributes now, attributes(inode));
  if (S_ISDIR(now.mode) || meta::privileges_in(now.mode) == 0) return false;
  meta::AttributeChange cleared;
  cleared.clears_privileges = true;
  COFFER_TRY([[maybe_unused]] const Attributes changed, change(inode, cleared));
  return true;
}

Result<Attributes> FileSystem::change(InodeId inode, const meta::AttributeChange& change) {
  COFFER_DO(state_->check_change(inode));
  // A file that is cut to be filled anew is not sent before it is. What the kernel holds of it is not known here.
  if (change.bytes && state_->open_files.has_writers(inode)) {
    COFFER_TRY(const Attributes now, attributes(inode));
    if (*change.bytes < now.bytes) state_->hold(inode);
  }
  if (change.atime_ns) state_->open_files.atime_was_set(inode);
  return state_->noted(state_->committer.change(inode, change));
}

Result<Attributes> FileSystem::create(InodeId parent, std::string_view name, const meta::NewInode& what) {
  COFFER_DO(state_->check_change(parent));
  if (parent == kRootInode && name == kVirtualFolderName) return answer(EEXIST);
  return state_->noted(state_->tree.create(parent, name, what));
}

Result<Attributes> FileSystem::link(InodeId inode, InodeId new_parent, std::string_view name) {
  COFFER_DO(state_->check_change(inode));
  COFFER_DO(state_->check_change(new_parent));
  if (new_parent == kRootInode && name == kVirtualFolderName) return answer(EEXIST);
  COFFER_DO(state_->noted(state_->tree.link(inode, new_parent, name)));
  return state_->committer.attributes(inode);
}

Result<void> FileSystem::unlink(InodeId parent, std::string_view name) {
  COFFER_DO(state_->check_change(parent));
  return state_->noted(state_->tree.unlink(parent, name));
}

Result<void> FileSystem::rmdir(InodeId parent, std::string_view name) {
  COFFER_DO(state_->check_change(parent));
  if (parent == kRootInode && name == kVirtualFolderName) return answer(EPERM);
  return state_->noted(state_->tree.rmdir(parent, name));
}

Result<void> FileSystem::rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                                meta::RenameMode mode) {
  COFFER_DO(state_->check_change(parent));
  COFFER_DO(state_->check_change(new_parent));
  const bool from_virtual = parent == kRootInode && name == kVirtualFolderName;
  const bool to_virtual = new_parent == kRootInode && new_name == kVirtualFolderName;
  if (from_virtual || to_virtual) return answer(EPERM);
  std::vector<InodeId> unflushed;
  const Result<Attributes> met = state_->tree.lookup(new_parent, new_name);
  if (met && mode != meta::RenameMode::no_replace) {
    const auto add = [&](const Result<Attributes>& moved) {
      if (!moved) return;
      const InodeId inode = moved->inode;
      if (state_->open_files.has_writers(inode) || state_->has_buffered(inode)) unflushed.push_back(inode);
    };
    add(state_->tree.lookup(parent, name));
    if (mode == meta::RenameMode::exchange) add(met);
  }
  const auto rename = [&] { return state_->tree.rename(parent, name, new_parent, new_name, mode); };
  return state_->noted(unflushed.empty() ? rename() : state_->rename_unflushed(unflushed, rename));
}

// open, write, rename over the good file, close: the last one's flush lets go. While someone may write, the kernel may
// hold pages that nobody here knows of.
Result<void> FileSystem::State::rename_unflushed(const std::vector<InodeId>& moved,
                                                 const std::function<Result<void>()>& rename) {
  std::vector<InodeId> news;
  for (const InodeId inode : moved) {
    if (!open_files.is_held(inode)) news.push_back(inode);
    const Result<Attributes> now = committer.attributes(inode);
    hold(inode, now && now->bytes == 0);
  }
  Result<void> renamed = rename();
  for (const InodeId inode : moved) {
    const bool was_closed_meanwhile = !open_files.has_writers(inode) && !has_buffered(inode);
    const bool is_news = std::ranges::find(news, inode) != news.end();
    if ((is_news && !renamed) || was_closed_meanwhile) let_go(inode);
  }
  return renamed;
}

Result<std::string> FileSystem::symlink_target(InodeId inode) {
  if (is_virtual(inode)) return answer(EINVAL);
  return state_->tree.symlink_target(inode);
}

Result<InodeId> FileSystem::parent_of(InodeId folder) {
  if (folder == kVirtualFolder) return kRootInode;
  return state_->tree.parent_of(folder);
}

Result<InodeId> FileSystem::resolve(std::string_view path) { return state_->tree.resolve(path); }

Result<std::string> FileSystem::path_of(InodeId inode) {
  if (is_virtual(inode)) return answer(ENOENT);
  return state_->tree.path_of(inode);
}

Result<std::vector<Entry>> FileSystem::entries(InodeId folder, std::uint64_t after, std::size_t count_max) {
  if (is_virtual(folder)) {
    COFFER_TRY(const Attributes root, state_->tree.attributes(kRootInode));
    return virtual_entries(folder, after, root, now_ns());
  }
  COFFER_TRY(std::vector<Entry> entries, state_->tree.entries(folder, after, count_max));
  for (Entry& entry : entries) {
    if (!state_->has_buffered(entry.attributes.inode)) continue;
    if (Result<Attributes> now = state_->committer.attributes(entry.attributes.inode)) entry.attributes = *now;
  }
  return entries;
}

Result<std::uint64_t> FileSystem::last_cookie(InodeId folder) {
  if (is_virtual(folder)) return std::numeric_limits<std::uint64_t>::max();
  return state_->tree.last_cookie(folder);
}

void FileSystem::remember(InodeId inode, std::uint64_t count) {
  if (!is_virtual(inode)) state_->tree.pin(inode, count);
}

void FileSystem::forget(InodeId inode, std::uint64_t count) {
  if (!is_virtual(inode)) state_->tree.unpin(inode, count);
}

// ---- the whole ---------------------------------------------------------------------------------------------------

Result<FileSystemTotals> FileSystem::totals() {
  // What is free where there is no quota: nobody knows, and programs ask before they copy.
  constexpr std::uint64_t kUnlimitedBytes = std::uint64_t{1} << 50;

  COFFER_TRY(const meta::Totals used, state_->tree.totals());
  const Capacity capacity = state_->durability.capacity();
  FileSystemTotals totals;
  totals.files = used.files;
  totals.free_bytes = kUnlimitedBytes;
  if (capacity.quota_bytes) {
    const std::uint64_t stored = std::max(capacity.stored_bytes, used.sealed_bytes);
    totals.free_bytes = *capacity.quota_bytes > stored ? *capacity.quota_bytes - stored : 0;
  }
  totals.bytes = used.bytes + totals.free_bytes;
  return totals;
}

}  // namespace coffer::files
