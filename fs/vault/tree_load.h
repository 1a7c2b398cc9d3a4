// Fetches a vault's whole log for a client that has no tree yet, and makes the tree of it (fs/meta/load.h).
//
//     network ── pages ──▶ the reader's thread: asks for the next page, opens the seals, decodes
//                                   │ a few commits
//                                   ▼
//                          the caller: applies
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/os/disk.h"
#include "fs/seal/sealer.h"
#include "net/rpc/client.h"

namespace coffer::vault {

/// Blocks. Where it fails nothing is at `path`, as before; whoever needs to know why follows the log as ever.
Result<void> load_tree(const std::string& path, os::Disk& disk, const seal::Sealer& sealer, rpc::Client& client,
                       rpc::Deadline deadline);

}  // namespace coffer::vault
