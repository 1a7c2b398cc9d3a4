#include "fs/ops/kernel_view.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/base/log.h"

namespace coffer::ops {

namespace {

/// A path can be renamed between its lookup and its use; then it is looked up again.
constexpr int kTriesMax = 5;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// Calls into our own mount belong here. `work` opens nothing but what it closes: the thread's descriptors are not
/// those of the process.
void away_from_the_device(Context& context, const std::function<void()>& work) {
  std::thread([&] {
    const bool is_apart = ::unshare(CLONE_FILES) == 0;
    if (is_apart) ::close(context.device);
    const OwnThreads::Here here(context.own_threads);
    work();
    if (is_apart) ::close_range(0, ~0u, 0);  // While it is known that no program closes the copies of its files.
  }).join();
}

/// What the kernel has of `path` below `folder`, or of `folder` itself, without asking us for it. An answer would race
/// with an unlink(2) or a rename(2) of another name of the file: the kernel (6.18) takes the count of links that comes
/// with it and then counts down once more, and link(2) says ENOENT of a file that is there.
std::optional<struct statx> known(int folder, const char* path) {
  struct statx seen {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | (*path == '\0' ? AT_EMPTY_PATH : 0);
  if (::statx(folder, path, flags, STATX_INO | STATX_SIZE, &seen) != 0) return std::nullopt;
  return seen;
}

bool is_inode(int fd, InodeId inode) {
  const std::optional<struct statx> seen = known(fd, "");
  return seen && seen->stx_ino == inode.value();
}

/// Not open where another mount covers ours.
Fd open_root(const Context& context) {
  const int fd = ::open(context.mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && !is_inode(fd, kRootInode)) {
    ::close(fd);
    return Fd(-1);
  }
  return Fd(fd);
}

/// For reading, or where only that is allowed, for writing.
int open_any(const Fd& root, const std::string& path) {
  constexpr int kFlags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const int fd = ::openat(root.get(), path.c_str(), O_RDONLY | kFlags);
  return fd < 0 && errno == EACCES ? ::openat(root.get(), path.c_str(), O_WRONLY | kFlags) : fd;
}

Error no_root() { return {Fault::local_io, 0, "the mount cannot be opened"}; }

/// False where `path` is not, or no longer, the inode's.
Result<bool> push_path(const Context& context, const std::string& path, InodeId inode) {
  const Fd root = open_root(context);
  if (!root.is_open()) return no_root();
  const Fd file(open_any(root, path));
  if (!file.is_open() && errno == EACCES) {
    log::warn("pages_not_pushed", {{"inode", inode.value()}, {"why", "its mode lets nobody open it"}});
    return true;
  }
  if (!file.is_open() || !is_inode(file.get(), inode)) return false;
  if (::fsync(file.get()) != 0) return os_error(errno, "fsync");
  return true;
}

/// The first syncfs(2) after a failed write tells of it once more, long after the writer heard of it at close(2). What
/// fails just now in a file that is still open is told by that file's own fsync(2).
Result<void> sync_all(const Context& context) {
  const Fd root = open_root(context);
  if (!root.is_open()) return no_root();
  if (::syncfs(root.get()) != 0 && ::syncfs(root.get()) != 0) return os_error(errno, "syncfs");
  return {};
}

}  // namespace

Result<void> push_kernel_pages(Context& context, const std::stop_token& stop) {
  if (context.file_system.options().read_only) return {};
  Result<void> synced;
  away_from_the_device(context, [&] { synced = sync_all(context); });
  COFFER_DO(std::move(synced));
  for (const InodeId inode : context.file_system.open_for_writing()) {
    if (stop.stop_requested()) return Error{Fault::stopped, 0, "interrupted"};
    COFFER_DO(push_kernel_pages(context, inode));
  }
  return {};
}

Result<void> push_kernel_pages(Context& context, InodeId inode) {
  for (int tries = 0; tries < kTriesMax; ++tries) {
    const Result<std::string> path = context.file_system.path_of(inode);
    if (!path) return {};  // No name any more: nothing of it is ever sent.
    Result<bool> pushed = false;
    away_from_the_device(context, [&] { pushed = push_path(context, *path, inode); });
    if (!pushed) return std::move(pushed).error();
    if (*pushed) return {};
  }
  return Error{Fault::local_io, 0, "an open file cannot be opened for the barrier"};
}

std::optional<std::uint64_t> kernel_size(Context& context, InodeId inode) {
  for (int tries = 0; tries < kTriesMax; ++tries) {
    const Result<std::string> path = context.file_system.path_of(inode);
    if (!path) continue;
    std::optional<std::uint64_t> size;
    away_from_the_device(context, [&] {
      const Fd root = open_root(context);
      const std::optional<struct statx> seen = known(root.get(), path->c_str());
      if (seen && seen->stx_ino == inode.value()) size = seen->stx_size;
    });
    if (size) return size;
  }
  return std::nullopt;
}

}  // namespace coffer::ops
