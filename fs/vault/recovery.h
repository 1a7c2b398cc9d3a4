// The way on after a server's log went back: what is missing, and this client's newer state sent again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "fs/meta/divergence.h"
#include "fs/vault/home.h"
#include "fs/vault/key_source.h"

namespace coffer::vault {

struct RecoveryReport {
  bool is_needed = false;  ///< False: the server's log is the one that this client has seen.
  meta::Divergence divergence;
  std::uint64_t chunks_to_send = 0;     ///< That the server lacks and the spool has.
  std::vector<std::string> lost_paths;  ///< Whose content is, in part, neither here nor there. Sorted.
  bool is_done = false;                 ///< What is missing is owed now: the next mount sends it.
};

struct RecoveryRequest {
  bool send_again = false;
  bool give_up_lost = false;  ///< With it: files whose content is lost become the server's version, or go.
};

/// Of a vault that no process has open (Fault::refused with EBUSY). Blocks for the server, whose whole log is read.
/// Without `send_again` nothing is changed. With it, Fault::refused where the server's log holds commits that this
/// client has never seen, or where content is lost and `give_up_lost` is not given; nothing is changed then. The tree
/// as it was stays beside the new one as tree.db.before-recover.
Result<RecoveryReport> recover(const VaultFolder& folder, const KeySource& key, const RecoveryRequest& request);

/// Of a vault whose lock the caller holds, with the server's log in folder.server_tree(): meta::rebase(), after the
/// tree as it was is on stable storage beside it.
Result<void> keep_and_rebase(const VaultFolder& folder,
                             const std::function<meta::Remains(const object::ChunkId&)>& remains, bool give_up_lost);

}  // namespace coffer::vault
