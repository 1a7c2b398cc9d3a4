// Reads a vault back: its log, and every chunk that the log names.
//
// Opens the packs by itself, for reading, and without their lock and index: it works beside a running server, and finds
// what an index would hide.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/crypto/sign.h"
#include "common/object/ids.h"
#include "common/os/disk.h"
#include "common/pack/scan.h"

namespace coffer::scrub {

using BadChunk = pack::BadChunk;

struct VaultReport {
  std::uint64_t commits = 0;
  std::uint64_t chunks = 0;  ///< In the packs.
  std::uint64_t bytes = 0;   ///< Of these.
  std::uint64_t needed = 0;  ///< Chunks that commits name as present.
  std::vector<BadChunk> bad;
  std::vector<std::string> damage;  ///< Sentences about all else.

  bool is_well() const { return bad.empty() && damage.empty(); }
};

/// `folder` holds oplog.db and packs/. Without `read_data` payloads are not read. Blocks, for hours if the vault is
/// large. Thread-safe. Fails only where the folder cannot be read at all.
Result<VaultReport> check_vault(os::Disk& disk, const std::string& folder, const object::VaultId& vault,
                                const crypto::PublicKey& receipt_key, bool read_data);

}  // namespace coffer::scrub
