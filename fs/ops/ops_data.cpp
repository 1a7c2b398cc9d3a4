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

void op_open(fuse_req_t req, fuse_ino_t inode, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const files::HandleId handle, file_system(req).open(InodeId(inode), info->flags));
    info->fh = handle.value();
    set_caching(file_system(req), InodeId(inode), *info);
    reply.opened(*info);
    return {};
  });
}

void op_read(fuse_req_t req, fuse_ino_t, std::size_t size, off_t at, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    Bytes bytes(size);
    COFFER_TRY(const std::size_t count, file_system(req).read(files::HandleId(info->fh), static_cast<std::uint64_t>(at),
                                                              bytes, reply.stop_token()));
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

void op_write(fuse_req_t req, fuse_ino_t, const char* data, std::size_t size, off_t at, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    files::FileSystem& files = file_system(req);
    const files::HandleId handle(info->fh);
    const auto offset = static_cast<std::uint64_t>(at);
    const ByteView bytes = as_bytes({data, size});
    COFFER_DO(info->writepage != 0 ? write_page(files, handle, offset, bytes, reply.stop_token())
                                   : files.write(handle, offset, bytes, reply.stop_token()));
    reply.written(size);
    return {};
  });
}

void op_flush(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_DO(file_system(req).flush(files::HandleId(info->fh)));
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

/// An fsync that push_kernel_pages() called: the pages have arrived, and more it does not ask for.
bool is_own_call(fuse_req_t req) { return context(req).own_threads.has(fuse_req_ctx(req)->pid); }

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

void op_fallocate(fuse_req_t req, fuse_ino_t, int mode, off_t at, off_t bytes, fuse_file_info* info) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const files::FileSystem::Allocate how, allocate_mode(mode));
    COFFER_DO(file_system(req).allocate(files::HandleId(info->fh), how, static_cast<std::uint64_t>(at),
                                        static_cast<std::uint64_t>(bytes)));
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

void op_copy_file_range(fuse_req_t req, fuse_ino_t, off_t from_at, fuse_file_info* from, fuse_ino_t, off_t to_at,
                        fuse_file_info* to, std::size_t bytes, int) {
  guarded(req, [&](Reply& reply) -> Result<void> {
    COFFER_TRY(const std::uint64_t copied,
               file_system(req).copy_range(files::HandleId(from->fh), static_cast<std::uint64_t>(from_at),
                                           files::HandleId(to->fh), static_cast<std::uint64_t>(to_at), bytes));
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
