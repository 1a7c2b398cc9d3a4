// A FileSystem as a folder of this machine: FUSE through libfuse's low-level interface.
//
// The kernel caches names, attributes and pages for cache_time and writes back by itself: one client at a time may
// change a vault, so nobody else changes what it caches, or notify_*() says so.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "fs/files/file_system.h"

namespace coffer::ops {

/// What stat(2) shows in place of what is kept, as the FUSE library's options uid=, gid= and umask= do everywhere.
/// Permissions are checked by it; chown(2) and chmod(2) change what is kept.
struct Shown {
  std::optional<std::uint32_t> uid{};
  std::optional<std::uint32_t> gid{};
  std::optional<std::uint32_t> umask{};  ///< Permission bits are those missing here.
};

struct MountOptions {
  std::string mountpoint;
  /// What stands behind -o, one each: allow_other, ro, nosuid, fsname=coffer … default_permissions, subtype=coffer
  /// and, where none is given, fsname=coffer are added.
  std::vector<std::string> options;
  bool read_only = false;
  Shown shown{};
  /// How long the kernel may answer from memory. A follower of someone else's changes wants a second.
  std::chrono::milliseconds cache_time = std::chrono::hours(1);
  /// Called once, on a thread of the mount, when the kernel agrees on the protocol: from then on the mount answers.
  std::function<void()> on_ready;
};

inline constexpr auto kUnmountGrace = std::chrono::seconds(3);
inline constexpr auto kDetachGrace = std::chrono::seconds(15);

/// Thread-safe but for run(), which one thread calls, once.
class Mount {
 public:
  /// Checks the mountpoint (an empty folder on which nothing is mounted; what a crashed client left there is
  /// unmounted) and mounts. Errors say in one sentence what to do. `file_system` must outlive the Mount.
  static Result<std::unique_ptr<Mount>> mount(files::FileSystem& file_system, const MountOptions& options);
  /// Unmounts if that is still to be done.
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  /// Answers the kernel until it is unmounted, by anyone.
  Result<void> run();
  /// Fails with answer(EBUSY) while someone uses it, unless `detach`: then it leaves the tree of names at once, and
  /// run() returns when the last user is gone. After kUnmountGrace (kDetachGrace) it returns in any case: another mount
  /// namespace may hold a copy of the mount for as long as it lives.
  Result<void> unmount(bool detach = false);
  /// What SIGTERM asks for: takes over what only the kernel has, unmounts, or else detaches. run() returns within
  /// kDetachGrace, whatever is in the way. Not from a thread that answers the kernel.
  void stop();

  /// Afterwards all that was written through the mount before has reached the FileSystem, pages of files that are open
  /// among it. From any thread but those that answer the kernel. Fault::stopped on `stop`.
  Result<void> push_kernel_pages(const std::stop_token& stop);

  /// Forgets what the kernel caches of an inode, or of a name. From any thread but those that answer the kernel.
  void notify_invalidate(InodeId inode);
  void notify_invalidate(InodeId parent, std::string_view name);

 private:
  struct Impl;
  explicit Mount(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Unmounts `mountpoint`, whoever serves it: umount(2), or fusermount3 where that is not allowed.
/// answer(EBUSY) while someone uses it, answer(EINVAL) where nothing is mounted, Fault::refused with what fusermount3
/// said.
Result<void> unmount(const std::string& mountpoint, bool detach);

}  // namespace coffer::ops
