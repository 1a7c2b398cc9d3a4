// Which files are open, and how.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "fs/files/file_system.h"

namespace coffer::files {

/// What one open(2) gave.
struct Handle {
  InodeId inode;
  bool reads = false;
  bool writes = false;
  bool sets_atime = false;       ///< Reading by it is a matter of atime: not opened with O_NOATIME.
  std::uint64_t atimes_set = 0;  ///< How often the file's atime had been set by someone when it was opened.
  std::string status;            ///< Of kStatusFile: what it said when it was opened.
};

/// Thread-safe.
class OpenFiles {
 public:
  HandleId add(Handle handle);
  /// Null where there is none: whoever holds the pointer may go on with it after remove().
  std::shared_ptr<const Handle> find(HandleId id) const;
  struct Removed {
    std::shared_ptr<const Handle> handle;
    bool was_last_writer = false;
    bool was_last = false;
  };
  Removed remove(HandleId id);

  bool is_open(InodeId inode) const;
  bool has_writers(InodeId inode) const;
  std::vector<InodeId> with_writers() const;

  /// Someone says what the atime of the file is: closing a handle from before does not know better.
  void atime_was_set(InodeId inode);
  bool is_atime_as_opened(const Handle& handle) const;

  /// Whether the file was opened for writing, or written to, since the last flush.
  bool is_unflushed(InodeId inode) const;
  /// Something was written to it.
  void set_unflushed(InodeId inode);
  void clear_unflushed(InodeId inode);

  /// Whether Tree::hold() was called for the inode: set() and clear() say if that is news.
  /// `awaits_content`: it was emptied by O_TRUNC, and is more than that once something is written to it.
  bool set_held(InodeId inode, bool awaits_content);
  bool clear_held(InodeId inode);
  bool awaits_content(InodeId inode) const;
  bool is_held(InodeId inode) const;
  std::vector<InodeId> held() const;

  /// What was written cannot be sent as things are: told once as any other failure, and there until resolved.
  void set_upload_failure(InodeId inode, const Error& error);
  void clear_upload_failure(InodeId inode);
  std::optional<Error> upload_failure(InodeId inode) const;

  /// A failure that nobody was told of yet; the newest counts.
  void keep_failure(InodeId inode, Error error);
  std::optional<Error> take_failure(InodeId inode);
  std::vector<std::pair<InodeId, Error>> failures() const;

 private:
  struct Uses {
    std::size_t handles = 0;
    std::size_t writers = 0;
    bool is_unflushed = false;
    std::uint64_t atimes_set = 0;
  };

  mutable Mutex mutex_;
  std::uint64_t last_id_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<HandleId, std::shared_ptr<const Handle>> handles_ GUARDED_BY(mutex_);
  std::unordered_map<InodeId, Uses> uses_ GUARDED_BY(mutex_);
  std::unordered_map<InodeId, bool> held_ GUARDED_BY(mutex_);  // Whether it awaits content.
  std::unordered_map<InodeId, Error> failures_ GUARDED_BY(mutex_);
  std::unordered_map<InodeId, Error> upload_failures_ GUARDED_BY(mutex_);
  std::unordered_set<InodeId> untold_uploads_ GUARDED_BY(mutex_);
};

}  // namespace coffer::files
