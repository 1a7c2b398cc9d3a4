// Examines a tree's database from outside: SQLite's own integrity check, and what must hold between the rows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/os/disk.h"
#include "fs/meta/types.h"

namespace coffer::meta {

/// A chunk whose only copy is its staging file.
struct OpenChunk {
  ChunkKey key{};
  std::uint64_t bytes = 0;  ///< Up to where files need it.
};

struct TreeReport {
  std::uint64_t files = 0;  ///< Inodes of all types, without the root.
  std::uint64_t names = 0, chunks = 0;
  Head head;
  std::uint64_t owed_inodes = 0, owed_names = 0;
  std::vector<std::string> damage;         ///< A sentence for each kind of it.
  std::vector<std::string> damaged_paths;  ///< Of the files that it touches, as far as they can be told; sorted.
  std::vector<ChunkRow> owed_chunks;       ///< Whose only copy is the spool's.
  std::vector<OpenChunk> open_chunks;

  bool is_well() const { return damage.empty(); }
};

/// Opens the file by itself, for reading, beside a mount too: what the mount did in the last moments is in its redo log
/// alone, and is not seen. Nothing is walked by recursion: a tree may be as deep as
/// it likes. What cannot be read is damage; fails only where there is no file.
Result<TreeReport> check_tree(const std::string& path);

/// The chunk's state now, for a second look beside a mount; none where it is gone.
Result<std::optional<ChunkState>> chunk_state(const std::string& path, ChunkKey chunk);
/// Paths of the files that need one of these chunks, sorted.
Result<std::vector<std::string>> paths_using(const std::string& path, const std::vector<ChunkKey>& chunks,
                                             os::Disk& disk = os::real_disk());

}  // namespace coffer::meta
