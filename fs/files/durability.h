// What fs/files asks of the way to the server, which fs/vault answers.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "common/os/clock.h"
#include "fs/value/disk_failure.h"
#include "fs/value/ids.h"

namespace coffer::files {

/// How much more the vault takes; for statfs, so from memory, never from the network.
struct Capacity {
  std::optional<std::uint64_t> quota_bytes;  ///< None: unlimited.
  std::uint64_t stored_bytes = 0;            ///< Sealed bytes that count against the quota.
};

/// Thread-safe.
class Durability {
 public:
  virtual ~Durability() = default;

  /// Blocks until content, attributes and names of `inode` are committed; it raises their priority first. What was
  /// written has been flushed and sealed before. An inode that no longer exists is committed once its removal is.
  /// Fault::offline at the deadline, Fault::stopped as soon as `stop` is requested, what the server said where it
  /// refuses.
  virtual Result<void> wait_committed(InodeId inode, os::SteadyTime deadline, std::stop_token stop) = 0;
  /// The same for all that the tree owes now.
  virtual Result<void> wait_all_committed(os::SteadyTime deadline, std::stop_token stop) = 0;

  /// Everything that is spooled now survives a power cut of this machine when it returns.
  virtual Result<void> make_power_safe() = 0;
  /// Why a part of what is owed of `inode` can be read no more, on this machine or from the server; none where all can.
  virtual std::optional<Error> lost_content(InodeId inode) = 0;

  /// Asked before every change. answer(EROFS) where the lease is lost or the client revoked, answer(EDQUOT) where
  /// `more_bytes` of content no longer fit the quota. Quick: from memory.
  virtual Result<void> accepts(std::uint64_t more_bytes) = 0;
  virtual Capacity capacity() = 0;
  /// Shared with all that writes to the local disk. Once it is set, FileSystem answers EROFS to every change.
  virtual DiskFailure& disk_failure() = 0;
  /// What MOUNT/.coffer/status shows: one JSON object.
  virtual std::string status_json() = 0;
};

}  // namespace coffer::files
