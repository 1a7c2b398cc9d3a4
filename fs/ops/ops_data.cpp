// Content of open files.
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "fs/ops/errno.h"
#include "fs/ops/guarded.h"
#include "fs/ops/kernel_io.h"
#include "fs/ops/kernel_view.h"
#include "fs/ops/operations.h"

namespace coffer::ops {

void set_caching(files::FileSystem& files, InodeId inode, fuse_file_info& info) {
  const bool writes = (info.flags & O_ACCMODE) != O_RDONLY;
  if (inode.value() >= files::kVirtualInodeFirst) {
    info.direct_io = 1;  // Its size is not known before it is read.
  } else if (writes && files.is_short_of_room()) {
    info.direct_io = 1;  // write(2) itself says EDQUOT; else the writer would hear of it when it closes the file.
  } else {
    info.keep_cache = 1;  // Nobody else changes it, or Mount::notify_invalidate() has said so.
  }
}

namespace {

/// A call that push_kernel_pages() makes: no reader, and of fsync it wants no more than that the pages have arrived.
bool is_own_call(fuse_req_t req) { return context(req).own_threads.has(fuse_req_ctx(req)->pid); }

/// Clears suid and sgid, as whoever changes a file's content without CAP_FSETID does; the kernel is to see it.
Result<void> clear_privileges(fuse_req_t req, fuse_ino_t inode) {
  COFFER_TRY(const bool cleared, file_system(req).clear_privileges(InodeId(inode)));
  // Of attributes alone (offset -1) this waits for no lock that a request may hold.
  if (cleared) fuse_lowlevel_notify_inval_inode(context(req).session, inode, -1, 0);
  return {};
}

/// The same after a call of which the kernel does not say who makes it: root alone is taken for one with CAP_FSETID.
Result<void> clear_privileges_by_user(fuse_req_t req, fuse_ino_t inode) {
  return fuse_req_ctx(req)->uid == 0 ? Result<void>() : clear_privileges(req, inode);
}

void op_open(fuse_req_t req, fuse_ino_t inode, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    if (clears_privileges()) COFFER_DO(clear_privileges(req, inode));
    files::FileSystem& files = file_system(req);
    const int flags = info->flags | (is_own_call(req) ? O_NOATIME : 0);
    COFFER_TRY(const files::HandleId handle, files.open(InodeId(inode), flags));
    info->fh = handle.value();
    set_caching(files, InodeId(inode), *info);
    if (!reply.opened(*info)) files.release(handle);
    return {};
  });
}

// A first question (first_reads.h), which has little time.
Result<std::size_t> read_first(Context& about, InodeId inode, files::HandleId handle, std::uint64_t at,
                               MutableByteView into, const std::stop_token& given_up) {
  std::stop_source stop;
  const std::stop_callback forward(given_up, [&stop] { stop.request_stop(); });
  Result<std::size_t> count = std::size_t{0};
  {
    const FirstReads::Limit limit(about.first_reads, stop);
    count = about.file_system.read(handle, at, into, stop.get_token());
  }
  if (count || count.error().fault != Fault::stopped || given_up.stop_requested()) return count;
  about.first_reads.failed(inode, {at, at + into.size()});
  return answer(ETIMEDOUT);
}

void op_read(fuse_req_t req, fuse_ino_t inode_number, std::size_t size, off_t at, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    Context& about = context(req);
    const InodeId inode(inode_number);
    const files::HandleId handle(info->fh);
    const auto offset = static_cast<std::uint64_t>(at);
    Bytes bytes(size);
    // Reads past the page cache (set_caching() allows them to writers only) come once.
    const bool comes_twice =
        (info->flags & (O_ACCMODE | O_DIRECT)) == O_RDONLY && inode_number < files::kVirtualInodeFirst;
    const bool is_first = comes_twice && !about.first_reads.is_second(inode, offset);
    COFFER_TRY(const std::size_t count, is_first ? read_first(about, inode, handle, offset, bytes, reply.stop_token())
                                                 : about.file_system.read(handle, offset, bytes, reply.stop_token()));
    reply.bytes(ByteView(bytes).first(count));
    return {};
  });
}

/// A page that the kernel writes back: times come by SETATTR, and of an error the writer hears at fsync or close, where
/// the kernel (6.18) knows only ENOSPC and EIO.
Result<void> write_page(files::FileSystem& files, files::HandleId handle, std::uint64_t at, ByteView bytes,
                        std::stop_token stop) {
  Result<void> written = files.write(handle, at, bytes, std::move(stop), commit::WriteTimes::unchanged);
  if (!written && errno_for(written.error()) == EDQUOT) return answer(ENOSPC);
  return written;
}

// Waits for room on a thread of its own: writers never take all those that answer the kernel.
void op_write_when_there_is_room(fuse_req_t req, fuse_ino_t inode, files::HandleId handle, std::uint64_t at,
                                 ByteView bytes) {
  guarded_waiting(
      req,
      [req, inode, handle, at, clears = clears_privileges(), bytes = copy_of(bytes)](Reply& reply) -> Result<void> {
        if (clears) COFFER_DO(clear_privileges(req, inode));
        COFFER_DO(file_system(req).write(handle, at, bytes, reply.stop_token()));
        reply.written(bytes.size());
        return {};
      });
}

void op_write(fuse_req_t req, fuse_ino_t inode, const char* data, std::size_t size, off_t at, fuse_file_info* info) {
  files::FileSystem& files = file_system(req);
  const files::HandleId handle(info->fh);
  const auto offset = static_cast<std::uint64_t>(at);
  const ByteView bytes = as_bytes({data, size});
  const bool is_short = files.is_short_of_room();
  if (is_short && info->writepage == 0) return op_write_when_there_is_room(req, inode, handle, offset, bytes);
  guarded(req, [&](Reply& reply) -> Result<void> {
    if (clears_privileges()) COFFER_DO(clear_privileges(req, inode));
    // Without attributes the kernel asks for them at the writer's next write(2): op_getattr makes it wait.
    if (is_short) fuse_lowlevel_notify_inval_inode(context(req).session, inode, -1, 0);
    COFFER_DO(info->writepage != 0 ? write_page(files, handle, offset, bytes, reply.stop_token())
                                   : files.write(handle, offset, bytes, reply.stop_token()));
    reply.written(size);
    return {};
  });
}

void op_flush(fuse_req_t req, fuse_ino_t inode, fuse_file_info* info) {
  if (is_own_call(req)) return Reply(req).done();  // No program closed anything.
  guarded(req, [&](Reply& reply) -> Result<void> {
    const files::HandleId handle(info->fh);
    COFFER_DO(file_system(req).flush(handle));
    // Of attributes alone (offset -1) this waits for no lock that a request may hold.
    if (file_system(req).touch_at_close(handle)) fuse_lowlevel_notify_inval_inode(context(req).session, inode, -1, 0);
    reply.done();
    return {};
  });
}

void op_release(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    file_system(req).release(files::HandleId(info->fh));
    reply.done();
    return {};
  });
}

void op_fsync(fuse_req_t req, fuse_ino_t inode, int, fuse_file_info*) {
  if (is_own_call(req)) return Reply(req).done();
  guarded_waiting(req, [req, inode](Reply& reply) -> Result<void> {
    if (InodeId(inode) == files::kBarrierFile) COFFER_DO(push_kernel_pages(context(req), reply.stop_token()));
    COFFER_DO(file_system(req).fsync(InodeId(inode), reply.stop_token()));
    reply.done();
    return {};
  });
}

Result<files::FileSystem::Allocate> allocate_mode(int mode) {
  using Allocate = files::FileSystem::Allocate;
  switch (mode) {
    case 0: return Allocate::extend;
    case FALLOC_FL_KEEP_SIZE: return Allocate::keep_size;
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE: return Allocate::punch_hole;
    case FALLOC_FL_ZERO_RANGE: return Allocate::zero_range;
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE: return Allocate::zero_range_keep_size;
    default: return answer(EOPNOTSUPP);
  }
}

void op_fallocate(fuse_req_t req, fuse_ino_t inode, int mode, off_t at, off_t bytes, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const files::FileSystem::Allocate how, allocate_mode(mode));
    COFFER_DO(file_system(req).allocate(files::HandleId(info->fh), how, static_cast<std::uint64_t>(at),
                                        static_cast<std::uint64_t>(bytes)));
    COFFER_DO(clear_privileges_by_user(req, inode));
    reply.done();
    return {};
  });
}

/// The kernel (6.18) asks without writing back first, so of a file that is being written only it knows what is data:
/// all of it is called data then, up to the size that the kernel has.
Result<std::uint64_t> seek_while_written(Context& about, InodeId inode, files::FileSystem::Seek what,
                                         std::uint64_t at) {
  std::optional<std::uint64_t> size = kernel_size(about, inode);
  if (!size) {
    COFFER_TRY(const Attributes known, about.file_system.attributes(inode));
    size = std::max(known.bytes, at + 1);
  }
  if (at >= *size) return answer(ENXIO);
  return what == files::FileSystem::Seek::data ? at : *size;
}

void op_lseek(fuse_req_t req, fuse_ino_t inode_number, off_t offset, int whence, fuse_file_info* info) {
  const InodeId inode(inode_number);
  const auto at = static_cast<std::uint64_t>(offset);
  const auto what = whence == SEEK_DATA ? files::FileSystem::Seek::data : files::FileSystem::Seek::hole;
  if (file_system(req).is_open_for_writing(inode)) {
    return guarded_waiting(req, [req, inode, what, at](Reply& reply) -> Result<void> {
      COFFER_TRY(const std::uint64_t found, seek_while_written(context(req), inode, what, at));
      reply.offset(found);
      return {};
    });
  }
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const std::uint64_t found, file_system(req).seek(files::HandleId(info->fh), what, at));
    reply.offset(found);
    return {};
  });
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t, off_t from_at, fuse_file_info* from, fuse_ino_t inode, off_t to_at,
                        fuse_file_info* to, std::size_t bytes, int) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const std::uint64_t copied,
               file_system(req).copy_range(files::HandleId(from->fh), static_cast<std::uint64_t>(from_at),
                                           files::HandleId(to->fh), static_cast<std::uint64_t>(to_at), bytes));
    COFFER_DO(clear_privileges_by_user(req, inode));
    reply.written(copied);
    return {};
  });
}

}  // namespace

void set_data_operations(fuse_lowlevel_ops& table) {
  table.open = op_open;
  table.read = op_read;
  table.write = op_write;
  table.flush = op_flush;
  table.release = op_release;
  table.fsync = op_fsync;
  table.fallocate = op_fallocate;
  table.lseek = op_lseek;
  table.copy_file_range = op_copy_file_range;
}

}  // namespace coffer::ops
