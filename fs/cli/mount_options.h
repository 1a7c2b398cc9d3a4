// What stands behind -o of `coffer mount`, and in the fourth field of fstab(5).
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

struct ParsedMountOptions {
  vault::Options vault;                 ///< compression=, fsync=, cache_size=, read_timeout= and other times, ro
  std::vector<std::string> for_kernel;  ///< allow_other, nosuid …: as they are
};

/// `lists` are comma-separated. An unknown option, or a value that is none, is a usage() error.
Result<ParsedMountOptions> parse_mount_options(const std::vector<std::string>& lists);

}  // namespace coffer::cli
