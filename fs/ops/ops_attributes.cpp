// Attributes of inodes and of the whole.
#include <sys/statvfs.h>

#include "fs/ops/guarded.h"
#include "fs/ops/kernel_io.h"
#include "fs/ops/operations.h"

namespace coffer::ops {

namespace {

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr unsigned long kStatfsBlockBytes = 4096;

std::int64_t nanoseconds_of(const timespec& time) {
  // Years beyond 2262 do not fit; the nearest that do are as good an answer as an error.
  std::int64_t ns = 0;
  if (__builtin_mul_overflow(time.tv_sec, kNanosecondsPerSecond, &ns) ||
      __builtin_add_overflow(ns, time.tv_nsec, &ns)) {
    return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
  }
  return ns;
}

meta::AttributeChange change_of(const struct stat& st, int to_set, std::int64_t now_ns) {
  meta::AttributeChange change;
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) change.mode = st.st_mode;
  if ((to_set & FUSE_SET_ATTR_UID) != 0) change.uid = st.st_uid;
  if ((to_set & FUSE_SET_ATTR_GID) != 0) change.gid = st.st_gid;
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) change.bytes = static_cast<std::uint64_t>(st.st_size);
  if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) {
    change.atime_ns = now_ns;
  } else if ((to_set & FUSE_SET_ATTR_ATIME) != 0) {
    change.atime_ns = nanoseconds_of(st.st_atim);
  }
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) {
    change.mtime_ns = now_ns;
  } else if ((to_set & FUSE_SET_ATTR_MTIME) != 0) {
    change.mtime_ns = nanoseconds_of(st.st_mtim);
  }
  if ((to_set & FUSE_SET_ATTR_CTIME) != 0) change.ctime_ns = nanoseconds_of(st.st_ctim);
  return change;
}

// While room is short (op_write has told the kernel to forget the attributes) each write(2) into the kernel's pages
// begins with this question, which names the file that is open: it waits for room, and fails as the write shall.
void op_getattr_before_write(fuse_req_t req, InodeId inode, files::HandleId handle) {
  guarded_waiting(req, [req, inode, handle](Reply& reply) -> Result<void> {
    COFFER_DO(file_system(req).write(handle, 0, {}, reply.stop_token()));
    COFFER_TRY(const Attributes found, file_system(req).attributes(inode));
    reply.passing_attributes(found);
    return {};
  });
}

void op_getattr(fuse_req_t req, fuse_ino_t inode, fuse_file_info* info) {
  if (info != nullptr && inode < files::kVirtualInodeFirst && file_system(req).is_short_of_room()) {
    return op_getattr_before_write(req, InodeId(inode), files::HandleId(info->fh));
  }
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const Attributes found, file_system(req).attributes(InodeId(inode)));
    reply.attributes(found);
    return {};
  });
}

/// chown(2) with neither an owner nor a group, of which the kernel (6.18) passes on nothing else. Of root the same may
/// be the end of a program's capabilities alone.
bool is_chown_of_nothing(fuse_req_t req, int to_set) {
  return to_set == FUSE_SET_ATTR_CTIME && fuse_req_ctx(req)->uid != 0;
}

void op_setattr(fuse_req_t req, fuse_ino_t inode, struct stat* wanted, int to_set, fuse_file_info*) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    meta::AttributeChange change = change_of(*wanted, to_set, file_system(req).now_ns());
    change.clears_privileges = clears_privileges() || is_chown_of_nothing(req, to_set);
    COFFER_TRY(const Attributes changed, file_system(req).change(InodeId(inode), change));
    reply.attributes(changed);
    return {};
  });
}

void op_statfs(fuse_req_t req, fuse_ino_t) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const files::FileSystemTotals totals, file_system(req).totals());
    struct statvfs about {};
    about.f_bsize = kStatfsBlockBytes;
    about.f_frsize = kStatfsBlockBytes;
    about.f_blocks = totals.bytes / kStatfsBlockBytes;
    about.f_bfree = totals.free_bytes / kStatfsBlockBytes;
    about.f_bavail = about.f_bfree;
    about.f_ffree = UINT32_MAX;  // Inodes do not run out; a number that 32-bit callers can hold too.
    about.f_favail = about.f_ffree;
    about.f_files = totals.files + about.f_ffree;
    about.f_namemax = limits::kNameBytesMax;
    reply.statfs(about);
    return {};
  });
}

}  // namespace

void set_attribute_operations(fuse_lowlevel_ops& table) {
  table.getattr = op_getattr;
  table.setattr = op_setattr;
  table.statfs = op_statfs;
}

}  // namespace coffer::ops
