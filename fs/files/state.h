// What the parts of FileSystem share.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "fs/files/file_system.h"
#include "fs/files/open_files.h"

namespace coffer::files {

struct FileSystem::State {
  State(meta::Tree& its_tree, commit::Committer& its_committer, fetch::Fetcher& its_fetcher, Durability& its_durability,
        os::Clock& its_clock, const FileSystemOptions& its_options)
      : tree(its_tree),
        committer(its_committer),
        fetcher(its_fetcher),
        durability(its_durability),
        clock(its_clock),
        options(its_options),
        disk_failure(its_durability.disk_failure()) {}

  meta::Tree& tree;
  commit::Committer& committer;
  fetch::Fetcher& fetcher;
  Durability& durability;
  os::Clock& clock;
  const FileSystemOptions options;
  DiskFailure& disk_failure;
  OpenFiles open_files;

  /// `result`; where the local disk failed, the vault takes no changes from now on.
  template <class T>
  Result<T> noted(Result<T> result) {
    if (!result) disk_failure.note(result.error());
    return result;
  }
  /// Whether `inode` may be changed, and `more_bytes` of content be added.
  Result<void> check_change(InodeId inode, std::uint64_t more_bytes = 0) const;
  /// EBADF where there is no such handle.
  Result<std::shared_ptr<const Handle>> handle(HandleId id) const;
  std::int64_t now_ns() const;

  Result<std::size_t> read(const Attributes& now, std::uint64_t offset, MutableByteView into,
                           const std::stop_token& stop);
  /// The inode was read: its atime, if options.atimes says so. Whether it changed; a failure is no matter.
  bool is_touched_by_reading(const Attributes& now) const;
  bool touch(const Attributes& now);

  Result<std::string> sha256(InodeId inode, const std::stop_token& stop);

  bool has_buffered(InodeId inode) const;
  /// What was written is `spooled`, and may be committed once it is more than an emptied file.
  Result<void> flush(InodeId inode, commit::Last last = commit::Last::batched);
  /// Nothing of `inode` is committed before let_go().
  void hold(InodeId inode, bool awaits_content = false);
  void let_go(InodeId inode);
  /// What programs have written to `inode` so far is recorded, pages that the kernel still had among it, if that can
  /// be. Never on a thread that answers the kernel.
  void bring(InodeId inode);
  /// Whether what programs have written to `inode` may be more than what is recorded of it.
  bool is_unflushed(InodeId inode) const { return open_files.is_unflushed(inode) || has_buffered(inode); }
  /// Tree::rename() where `moved` take the place of other files and may not have all of their content yet.
  Result<void> rename_unflushed(const std::vector<InodeId>& moved, const std::function<Result<void>()>& rename);

  Mutex push_mutex;
  PushPages push_pages GUARDED_BY(push_mutex);
};

}  // namespace coffer::files
