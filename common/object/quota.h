// What counts against a vault's quota. By this the server takes chunks or refuses them, and the client tells write(2)
// so beforehand.
#pragma once

#include <cstdint>

namespace coffer::object {

/// What the server's disk takes for a chunk beyond its bytes: its record's header, and its rows in the index and in the
/// log.
inline constexpr std::uint64_t kChunkOverheadBytes = 160;
/// The same for a commit (hash, receipt, pages), and for each chunk that it adds (a row).
inline constexpr std::uint64_t kCommitOverheadBytes = 256;
inline constexpr std::uint64_t kAddedOverheadBytes = 64;

/// `count` stored chunks of so many sealed bytes together.
constexpr std::uint64_t counted_chunk_bytes(std::uint64_t sealed_bytes, std::uint64_t count) {
  return sealed_bytes + count * kChunkOverheadBytes;
}

/// One commit of so many bytes.
constexpr std::uint64_t counted_commit_bytes(std::uint64_t commit_bytes, std::uint64_t added_chunks) {
  return commit_bytes + kCommitOverheadBytes + added_chunks * kAddedOverheadBytes;
}

}  // namespace coffer::object
