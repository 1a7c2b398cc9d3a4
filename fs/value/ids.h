// The numbers and names by which the stations of the line speak of the same thing.
#pragma once

#include <cstdint>

#include "common/base/strong.h"
#include "common/object/ids.h"

namespace coffer {

/// An inode of the vault's tree, and FUSE's number for it. Never reused, the same on every client.
using InodeId = Strong<std::uint64_t, struct InodeIdTag>;
inline constexpr InodeId kRootInode{1};

/// A position in a file's content, in bytes.
using FileOffset = Strong<std::uint64_t, struct FileOffsetTag>;

/// A chunk's row in this client's tree; stays while the chunk's state changes, never reused. Other clients have others.
using ChunkKey = Strong<std::int64_t, struct ChunkKeyTag>;

/// A moment in the history of this tree's local changes: counts up by at least one with every change.
using Mark = Strong<std::uint64_t, struct MarkTag>;

/// The keyed hash of a piece's content: the bytes of a chunk::PieceHash.
using PieceId = object::Id<32, struct PieceIdTag>;

}  // namespace coffer
