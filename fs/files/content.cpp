// Open files: their content, and when it is safe.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/log.h"
#include "fs/files/state.h"
#include "fs/files/virtual_files.h"

namespace coffer::files {

Result<std::shared_ptr<const Handle>> FileSystem::State::handle(HandleId id) const {
  std::shared_ptr<const Handle> found = open_files.find(id);
  if (!found) return answer(EBADF);
  return found;
}

bool FileSystem::State::has_buffered(InodeId inode) const {
  const commit::Committer::Buffered buffered = committer.buffered(inode);
  return buffered.bytes > 0 || buffered.mtime_ns.has_value();
}

Result<void> FileSystem::State::flush(InodeId inode, commit::Last last) {
  open_files.clear_unflushed(inode);
  if (has_buffered(inode)) {
    COFFER_TRY(const Attributes now, tree.attributes(inode));
    if (now.links > 0) COFFER_DO(noted(committer.flush(inode, last)));  // An unlinked file's bytes need no disk.
  }
  // A shell that redirects into the file closes one descriptor of several before the program has written anything.
  const Result<Attributes> flushed = committer.attributes(inode);
  const bool is_empty = flushed && flushed->bytes == 0;
  if (!is_empty || !open_files.awaits_content(inode)) let_go(inode);
  return {};
}

void FileSystem::State::hold(InodeId inode, bool awaits_content) {
  open_files.set_held(inode, awaits_content);
  tree.hold(inode, true);  // Also where it was: who waited for another file may have ended that.
}

void FileSystem::State::bring(InodeId inode) {
  PushPages push;
  {
    const MutexLock lock(push_mutex);
    push = push_pages;
  }
  if (push && open_files.has_writers(inode)) push(inode);
  if (!has_buffered(inode)) return;
  if (const Result<Mark> flushed = noted(committer.flush(inode)); !flushed) {
    log::warn("flush_failed", {{"inode", inode.value()}, {"why", flushed.error().what}});  // It stays in memory.
  }
}

void FileSystem::State::let_go(InodeId inode) {
  if (open_files.clear_held(inode)) tree.hold(inode, false);
}

// ---- opening and closing -----------------------------------------------------------------------------------------

Result<HandleId> FileSystem::open(InodeId inode, int flags) {
  const int access = flags & O_ACCMODE;
  Handle handle{.inode = inode,
                .reads = access != O_WRONLY,
                .writes = access != O_RDONLY,
                .sets_atime = access != O_WRONLY && (flags & O_NOATIME) == 0,
                .status = {}};
  if (is_virtual(inode)) {
    if (handle.writes || (flags & O_TRUNC) != 0) return answer(EACCES);
    if (inode == kVirtualFolder) return answer(EISDIR);
    if (inode == kStatusFile) handle.status = state_->durability.status_json() + "\n";
    return state_->open_files.add(std::move(handle));
  }
  if (handle.writes || (flags & O_TRUNC) != 0) COFFER_DO(state_->check_change(inode));
  COFFER_TRY(const Attributes now, attributes(inode));
  if (S_ISDIR(now.mode)) return answer(EISDIR);

  const HandleId id = state_->open_files.add(std::move(handle));
  state_->tree.pin(inode);
  if ((flags & O_TRUNC) != 0 && S_ISREG(now.mode) && now.bytes > 0) {
    if (state_->open_files.has_writers(inode)) state_->hold(inode, true);
    meta::AttributeChange emptied;
    emptied.bytes = 0;
    if (Result<Attributes> changed = change(inode, emptied); !changed) {
      release(id);
      return std::move(changed).error();
    }
  }
  return id;
}

Result<Opened> FileSystem::create_open(InodeId parent, std::string_view name, const meta::NewInode& what, int flags) {
  COFFER_TRY(const Attributes made, create(parent, name, what));
  COFFER_TRY(const HandleId handle, open(made.inode, flags & ~O_TRUNC));
  return Opened{made, handle};
}

Result<void> FileSystem::flush(HandleId id) {
  COFFER_TRY(const std::shared_ptr<const Handle> handle, state_->handle(id));
  if (!handle->writes) return {};
  // What was written is kept also where something else of the file has failed.
  std::optional<Error> failure = state_->open_files.take_failure(handle->inode);
  Result<void> flushed = state_->flush(handle->inode);
  if (failure) return *std::move(failure);
  return flushed;
}

void FileSystem::release(HandleId id) {
  const OpenFiles::Removed removed = state_->open_files.remove(id);
  if (!removed.handle || is_virtual(removed.handle->inode)) return;
  const InodeId inode = removed.handle->inode;

  const Result<Attributes> now = state_->tree.attributes(inode);
  if (removed.was_last && now && now->links == 0) {
    state_->committer.discard(inode);  // Nobody can come to it any more.
    state_->let_go(inode);
  } else if (removed.was_last_writer) {
    if (Result<void> flushed = state_->flush(inode); !flushed) {
      log::warn("flush_failed", {{"inode", inode.value()}, {"why", flushed.error().what}});
      state_->open_files.keep_failure(inode, std::move(flushed).error());
    } else {
      state_->let_go(inode);
    }
  }
  state_->tree.unpin(inode);
}

// ---- reading and writing -----------------------------------------------------------------------------------------

Result<std::size_t> FileSystem::read(HandleId id, std::uint64_t offset, MutableByteView into, std::stop_token stop) {
  COFFER_TRY(const std::shared_ptr<const Handle> handle, state_->handle(id));
  if (is_virtual(handle->inode)) {
    const std::string_view rest = std::string_view(handle->status).substr(std::min(offset, handle->status.size()));
    const std::size_t count = std::min(rest.size(), into.size());
    std::ranges::copy(as_bytes(rest.substr(0, count)), into.begin());
    return count;
  }
  COFFER_TRY(const Attributes now, state_->committer.attributes(handle->inode));
  if (handle->sets_atime) state_->touch(now);
  return state_->read(now, offset, into, stop);
}

Result<std::size_t> FileSystem::State::read(const Attributes& now, std::uint64_t offset, MutableByteView into,
                                            const std::stop_token& stop) {
  const InodeId inode = now.inode;
  if (offset >= now.bytes) return std::size_t{0};
  into = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), now.bytes - offset)));

  // First what is buffered: bytes move from there to the tree, never back.
  std::vector<Range> covered = committer.read_buffered(inode, FileOffset(offset), into);
  covered.push_back({offset + into.size(), offset + into.size()});
  const os::SteadyTime deadline = clock.steady() + options.read_timeout;
  std::uint64_t at = offset;
  for (const Range& part : covered) {
    if (at < part.begin) {
      const MutableByteView gap = into.subspan(at - offset, part.begin - at);
      COFFER_DO(fetcher.read(inode, FileOffset(at), gap, deadline, stop));
    }
    at = part.end;
  }
  return into.size();
}

Result<void> FileSystem::write(HandleId id, std::uint64_t offset, ByteView bytes, std::stop_token stop,
                               commit::WriteTimes times) {
  COFFER_TRY(const std::shared_ptr<const Handle> handle, state_->handle(id));
  // A kernel asks before it takes bytes into its pages, and in the same way before it reads: only who can do nothing
  // but write is kept waiting.
  if (bytes.empty() && (handle->reads || !handle->writes)) return {};
  // A page that the kernel writes back may come with any handle of the file, but never for one that none may write.
  if (!handle->writes && !state_->open_files.has_writers(handle->inode)) return answer(EBADF);
  COFFER_DO(state_->check_change(handle->inode, std::max<std::size_t>(bytes.size(), 1)));
  if (bytes.empty()) return state_->committer.write(handle->inode, FileOffset(offset), {}, stop, times);
  if (offset > limits::kFileBytesMax - bytes.size()) return answer(EFBIG);
  state_->open_files.set_unflushed(handle->inode);
  return state_->committer.write(handle->inode, FileOffset(offset), bytes, stop, times);
}

// ---- when it is safe ---------------------------------------------------------------------------------------------

Result<void> FileSystem::fsync(InodeId inode, std::stop_token stop) {
  const os::SteadyTime now = state_->clock.steady();
  if (inode == kBarrierFile) return sync(now + state_->options.barrier_timeout, std::move(stop));
  if (is_virtual(inode)) return {};
  if (state_->options.read_only) return {};

  std::optional<Error> failure = state_->open_files.take_failure(inode);
  COFFER_DO(state_->flush(inode, commit::Last::sealed));
  if (failure) return *std::move(failure);
  state_->let_go(inode);
  // Whose names are committed with those of `inode` comes whole: pages first.
  for (const InodeId held : state_->open_files.held()) state_->bring(held);
  COFFER_DO(state_->tree.let_go_for(inode));
  switch (state_->options.fsync) {
    case FsyncMode::local:
      COFFER_DO(state_->noted(state_->durability.make_power_safe()));
      if (std::optional<Error> lost = state_->durability.lost_content(inode)) return *std::move(lost);
      return {};
    case FsyncMode::server:
      COFFER_DO(state_->committer.seal_open_chunks());
      return state_->durability.wait_committed(inode, now + state_->options.fsync_timeout, std::move(stop));
  }
  return {};
}

Result<void> FileSystem::sync(os::SteadyTime deadline, std::stop_token stop) {
  if (state_->options.read_only) return {};
  COFFER_DO(flush_all());
  return state_->durability.wait_all_committed(deadline, std::move(stop));
}

Result<void> FileSystem::flush_all() {
  // What is held from now on is not waited for: nobody has brought its pages.
  const auto held = state_->open_files.held();
  for (const InodeId inode : held) state_->bring(inode);
  COFFER_DO(state_->committer.flush_all());
  for (const InodeId inode : held) state_->let_go(inode);
  return {};
}

void FileSystem::set_upload_failure(InodeId inode, const std::optional<Error>& error) {
  if (error) {
    state_->open_files.set_upload_failure(inode, *error);
  } else {
    state_->open_files.clear_upload_failure(inode);
  }
}

std::optional<Error> FileSystem::upload_failure(InodeId inode) const {
  return state_->open_files.upload_failure(inode);
}

std::vector<InodeId> FileSystem::not_kept() {
  std::vector<InodeId> inodes;
  for (const auto& [inode, error] : state_->open_files.failures()) {
    if (state_->has_buffered(inode)) inodes.push_back(inode);
  }
  return inodes;
}

void FileSystem::bring_all() {
  for (const InodeId inode : state_->open_files.with_writers()) state_->bring(inode);
}

std::vector<std::string> FileSystem::problems() {
  std::vector<std::string> problems;
  if (const std::optional<std::string> failure = state_->disk_failure.get()) {
    problems.push_back(
        "this machine's disk failed (" + *failure +
        "): nothing is changed any more, so that nothing is promised in vain. Look at the disk (dmesg, df), "
        "then `coffer umount --now` and mount again; what is owed is kept if the disk can be read");
  }
  for (const auto& [inode, error] : state_->open_files.failures()) {
    if (!state_->has_buffered(inode)) continue;  // A later try went well.
    const Result<std::string> path = state_->tree.path_of(inode);
    if (!path) continue;
    problems.push_back("/" + *path + " was closed but could not be kept on the local disk (" + error.what +
                       "): it is only in memory until there is room");
  }
  return problems;
}

bool FileSystem::is_open(InodeId inode) { return state_->open_files.is_open(inode); }

bool FileSystem::is_open_for_writing(InodeId inode) { return state_->open_files.has_writers(inode); }

bool FileSystem::is_short_of_room() {
  constexpr std::uint64_t kShortBytes = 64u << 20;  // About what a kernel's page cache holds back of one file.
  return state_->committer.is_short_of_room() || !state_->durability.accepts(kShortBytes);
}

std::vector<InodeId> FileSystem::open_for_writing() { return state_->open_files.with_writers(); }

}  // namespace coffer::files
