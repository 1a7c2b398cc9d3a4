// Folders: opening, listing, fsync.
//
// An offset is the cookie of the entry before it; 1 stands behind ".", 2 behind "..".
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>

#include "fs/ops/guarded.h"
#include "fs/ops/operations.h"

namespace coffer::ops {

namespace {

constexpr std::uint64_t kBehindSelf = 1;
constexpr std::uint64_t kBehindParent = 2;
static_assert(kBehindParent < meta::kCookieMin);
constexpr std::size_t kPlainEntryBytes = 32;  // A header of 24 and a short name: how many to ask the tree for.
constexpr std::size_t kPlusEntryBytes = 128 + 32;

/// One opendir(3). What is made after it, or after a rewinddir(3), is not listed: a program that renames what it reads
/// would never come to the end.
struct OpenFolder {
  bool leaves_atime = false;
  std::atomic<std::uint64_t> last_cookie = 0;  // 0: not read from its start yet.
};

OpenFolder& opened_by(const fuse_file_info& info) {
  return *reinterpret_cast<OpenFolder*>(info.fh);  // NOLINT(performance-no-int-to-ptr): ours, from opendir.
}

/// Fills one answer to readdir or readdirplus.
class Listing {
 public:
  Listing(fuse_req_t req, std::size_t bytes_max, bool plus) : req_(req), buffer_(bytes_max), plus_(plus) {}

  /// False if it does not fit any more. `is_counted`: the kernel counts a lookup of it ("." and ".." it does not).
  bool add(const std::string& name, const Attributes& attributes, std::uint64_t next_offset, bool is_counted) {
    std::byte* const at = buffer_.data() + used_;
    const std::size_t room = buffer_.size() - used_;
    std::size_t needed = 0;
    if (plus_) {
      const double seconds = context(req_).seconds_for(attributes.inode);
      fuse_entry_param entry{};
      entry.ino = attributes.inode.value();
      entry.attr = stat_of(context(req_), attributes);
      entry.attr_timeout = seconds;
      entry.entry_timeout = seconds;
      needed = fuse_add_direntry_plus(req_, reinterpret_cast<char*>(at), room, name.c_str(), &entry,
                                      static_cast<off_t>(next_offset));
    } else {
      const struct stat st = stat_of(context(req_), attributes);
      needed = fuse_add_direntry(req_, reinterpret_cast<char*>(at), room, name.c_str(), &st,
                                 static_cast<off_t>(next_offset));
    }
    if (needed > room) return false;
    used_ += needed;
    if (plus_ && is_counted) file_system(req_).remember(attributes.inode);
    return true;
  }

  ByteView bytes() const { return ByteView(buffer_).first(used_); }

 private:
  fuse_req_t req_;
  Bytes buffer_;
  std::size_t used_ = 0;
  bool plus_;
};

Result<void> list(fuse_req_t req, InodeId folder, std::size_t bytes_max, std::uint64_t offset, bool plus,
                  OpenFolder& open, Reply& reply) {
  files::FileSystem& files = file_system(req);
  if (!open.leaves_atime) files.touch(folder);
  if (offset < kBehindSelf || open.last_cookie == 0) {
    COFFER_TRY(open.last_cookie, files.last_cookie(folder));
  }
  Listing listing(req, bytes_max, plus);
  bool fits = true;
  if (offset < kBehindSelf) {
    COFFER_TRY(const Attributes self, files.attributes(folder));
    fits = listing.add(".", self, kBehindSelf, false);
  }
  if (fits && offset < kBehindParent) {
    COFFER_TRY(const InodeId parent, files.parent_of(folder));
    COFFER_TRY(const Attributes attributes, files.attributes(parent));
    fits = listing.add("..", attributes, kBehindParent, false);
  }
  const std::size_t count_max = std::max<std::size_t>(1, bytes_max / (plus ? kPlusEntryBytes : kPlainEntryBytes));
  if (fits) {
    COFFER_TRY(const std::vector<files::Entry> entries, files.entries(folder, offset, count_max));
    for (const files::Entry& entry : entries) {
      if (entry.cookie > open.last_cookie) break;
      if (!listing.add(entry.name, entry.attributes, entry.cookie, true)) break;
    }
  }
  reply.bytes(listing.bytes());
  return {};
}

void op_opendir(fuse_req_t req, fuse_ino_t folder, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const Attributes now, file_system(req).attributes(InodeId(folder)));
    // The kernel keeps what is listed, and lists from it until the folder changes; where it counts as read, it asks us.
    info->cache_readdir = context(req).follows_others || folder >= files::kVirtualInodeFirst ? 0 : 1;
    info->keep_cache = info->cache_readdir != 0 && !file_system(req).is_touched_by_reading(now) ? 1 : 0;
    auto open = std::make_unique<OpenFolder>();
    open->leaves_atime = (info->flags & O_NOATIME) != 0;
    info->fh = reinterpret_cast<std::uintptr_t>(open.get());
    if (reply.opened(*info)) (void)open.release();  // Until releasedir.
    return {};
  });
}

void op_readdir(fuse_req_t req, fuse_ino_t folder, std::size_t size, off_t offset, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) {
    return list(req, InodeId(folder), size, static_cast<std::uint64_t>(offset), false, opened_by(*info), reply);
  });
}

void op_readdirplus(fuse_req_t req, fuse_ino_t folder, std::size_t size, off_t offset, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) {
    return list(req, InodeId(folder), size, static_cast<std::uint64_t>(offset), true, opened_by(*info), reply);
  });
}

void op_releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  const std::unique_ptr<OpenFolder> closed(&opened_by(*info));
  Reply(req).done();
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t folder, int, fuse_file_info*) {
  guarded_waiting(req, [req, folder](Reply& reply) -> Result<void> {
    COFFER_DO(file_system(req).fsync(InodeId(folder), reply.stop_token()));
    reply.done();
    return {};
  });
}

}  // namespace

void set_directory_operations(fuse_lowlevel_ops& table) {
  table.opendir = op_opendir;
  table.readdir = op_readdir;
  table.readdirplus = op_readdirplus;
  table.releasedir = op_releasedir;
  table.fsyncdir = op_fsyncdir;
}

}  // namespace coffer::ops
