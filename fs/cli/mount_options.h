// What stands behind -o of `coffer mount`, and in the fourth field of fstab(5).
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "fs/ops/mount.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

struct ParsedMountOptions {
  vault::Options vault;  ///< compression=, fsync=, read_timeout=, full_wait=, noatime …, cache_size=, ro
  ops::Shown shown;      ///< uid=, gid=, umask=
  std::vector<std::string> for_kernel;  ///< allow_other, nosuid …: as they are
};

/// `lists` are comma-separated; of options that contradict each other the last counts. An unknown option, or a value
/// that is none, is a usage() error.
Result<ParsedMountOptions> parse_mount_options(const std::vector<std::string>& lists);

}  // namespace coffer::cli
