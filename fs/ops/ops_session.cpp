// The first and the last request: what kernel and Coffer agree on.
#include "common/base/log.h"
#include "fs/ops/context.h"
#include "fs/ops/operations.h"

namespace coffer::ops {

namespace {

constexpr unsigned kWriteBytesMax = 1u << 20;
/// Requests that the kernel sends without anyone waiting in a system call: read-ahead and writeback. Below the number
/// of threads (mount.cpp), so that a server that is gone never takes all of them.
constexpr unsigned kBackgroundMax = 64;

void want(fuse_conn_info* connection, unsigned capability, bool wanted) {
  if (wanted && (connection->capable & capability) != 0) connection->want |= capability;
  if (!wanted) connection->want &= ~capability;
}

void op_init(void* userdata, fuse_conn_info* connection) {
  Context& about = *static_cast<Context*>(userdata);
  const bool writes = !about.file_system.options().read_only;

  want(connection, FUSE_CAP_WRITEBACK_CACHE, writes);
  want(connection, FUSE_CAP_PARALLEL_DIROPS, true);
  want(connection, FUSE_CAP_ASYNC_READ, true);
  // The kernel drops the pages that others read during a direct write once it is done, but only where it waits for it.
  want(connection, FUSE_CAP_ASYNC_DIO, false);
  want(connection, FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO, true);
  want(connection, FUSE_CAP_CACHE_SYMLINKS, !about.follows_others);
  want(connection, FUSE_CAP_ATOMIC_O_TRUNC, true);
  // The kernel drops a file's pages when it learns of another size or mtime: right only where others change it.
  want(connection, FUSE_CAP_AUTO_INVAL_DATA, about.follows_others);
  // The kernel checks POSIX ACLs, and what a folder's default ACL makes of a new file's mode instead of the umask is
  // ours to say (fs/meta/acls.cpp). Where -o umask= says what all modes look like there are none.
  want(connection, FUSE_CAP_POSIX_ACL, !about.shown.umask);
  want(connection, FUSE_CAP_DONT_MASK, true);
  // Inodes can be looked up by number: op_lookup() knows "." and "..".
  want(connection, FUSE_CAP_EXPORT_SUPPORT, true);
  // It leaves out who has CAP_FSETID: kernel_io.h has the better one.
  want(connection, FUSE_CAP_HANDLE_KILLPRIV, false);
  // Written bytes are copied into the buffer anyway, and read ones come from decoded frames.
  want(connection, FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, false);

  connection->max_write = kWriteBytesMax;
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax * 3 / 4;
  connection->time_gran = 1;

  if (!about.is_ready.exchange(true) && about.on_ready) about.on_ready();
}

}  // namespace

void set_session_operations(fuse_lowlevel_ops& table) { table.init = op_init; }

}  // namespace coffer::ops
