// What a tree has that a server's log has not: after the log went back, or forked.
//
// The other tree is the server's whole log, applied to an empty database. Both are compared row by row, with a
// connection of their own. Inodes have the same numbers in both as far as the logs are the same, which the pinned
// hashes tell.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/object/ids.h"
#include "common/os/disk.h"
#include "fs/meta/types.h"

namespace coffer::meta {

struct Divergence {
  Head seen;    ///< The last commit that the tree has seen.
  Head server;  ///< The last one of the server's log.
  /// The last commit that both have; none where what the tree remembers does not reach back to it.
  std::optional<std::uint64_t> last_common;
  std::vector<std::string>
      paths;                     ///< Sorted; not on the server, or not as they are here. At most as many as asked for.
  std::uint64_t path_count = 0;  ///< All of those.
  std::uint64_t returning_count = 0;  ///< Names that the server has and that are gone here.

  /// The server's log is the beginning of the one that the tree has seen: it went back, and nobody wrote since.
  bool is_prefix() const { return last_common && *last_common == server.seq; }
};

/// Fault::corrupt, Fault::local_io.
Result<Divergence> find_divergence(const std::string& tree, const std::string& server_tree, std::size_t paths_max,
                                   os::Disk& disk = os::real_disk());

/// Chunks that files of `tree` need and that no commit of the server's log adds.
Result<std::vector<ChunkRow>> chunks_beyond(const std::string& tree, const std::string& server_tree,
                                            os::Disk& disk = os::real_disk());

/// What is left of a chunk that the server's log does not name.
enum class Remains {
  stored,   ///< On the server, although no commit names it.
  spooled,  ///< Here.
  nowhere,
};

/// Makes the state of `tree` what is owed to the server beyond its log, which must be a prefix (is_prefix()): from the
/// next mount on it is sent and committed behind the server's last commit. One transaction, on stable storage when it
/// returns. `tree` must not be open; no chunk of it may still be open (Fault::refused with EBUSY).
///
/// Files that need a chunk which is nowhere are given up as they are here, with `give_up_lost`: the server's version
/// takes their place, or they go. Without it, Fault::refused with ENODATA, and nothing is changed.
Result<void> rebase(const std::string& tree, const std::string& server_tree,
                    const std::function<Remains(const object::ChunkId&)>& remains, bool give_up_lost,
                    os::Disk& disk = os::real_disk());

}  // namespace coffer::meta
