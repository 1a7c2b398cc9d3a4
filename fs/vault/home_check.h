// Examines all that a vault keeps on this machine: what is damaged, which files that touches, and what to do.
//
// Changes nothing; works beside a mount, and without the server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "fs/vault/home.h"
#include "fs/vault/key_source.h"

namespace coffer::vault {

struct HomeFinding {
  std::string where;               ///< "tree.db", "spool/packs", "staging/7", "tls/client.pem", "server"
  std::string what;                ///< Without names.
  std::string remedy;              ///< What to do.
  std::vector<std::string> paths;  ///< Files that it touches, where it touches some.
};

struct HomeReport {
  std::uint64_t files = 0, names = 0, chunks = 0;
  std::uint64_t spool_chunks = 0, spool_bytes = 0;
  std::uint64_t owed_chunks = 0;  ///< Whose only copy is here; all of them were read.
  std::uint64_t head_seq = 0;
  std::string head_hash;
  std::vector<HomeFinding> findings;
  std::vector<std::string> notes;  ///< What was not examined, and why.

  bool is_well() const { return findings.empty(); }
};

/// With `read_data` all chunks of the spool are read, else those that are owed. `key` opens the staging files, where it
/// can without asking. Blocks for the disk, and a few seconds for the server.
HomeReport check_home(const VaultFolder& folder, const KeySource& key, bool read_data);

}  // namespace coffer::vault
