// LINK: fs_meta
//
// An input is the payload of a commit that someone else made: it is applied to a small tree, or refused as a whole.
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/os/clock.h"
#include "fs/meta/tree.h"

namespace {

using namespace coffer;

class NoEvents : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

/// What was applied can be read.
void walk(meta::Tree& tree, InodeId folder, int depth) {
  const Result<std::vector<meta::Entry>> entries = tree.entries(folder, 0, 100);
  COFFER_CHECK(entries.has_value());
  for (const meta::Entry& entry : *entries) {
    const InodeId inode = entry.attributes.inode;
    COFFER_CHECK(entry.attributes.links > 0);
    COFFER_CHECK(tree.extents(inode, FileOffset(0), FileOffset(~std::uint64_t{0})).has_value());
    COFFER_CHECK(tree.xattrs(inode).has_value());
    (void)tree.committed(inode);
    (void)tree.path_of(inode);
    if ((entry.attributes.mode & 0170000) == 0040000 && depth < 20) walk(tree, inode, depth + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  NoEvents events;
  Result<std::unique_ptr<meta::Tree>> tree = meta::Tree::open(":memory:", os::real_clock(), events);
  COFFER_CHECK(tree.has_value());
  const ByteView payload = std::as_bytes(std::span(data, size));
  object::Commit commit;
  for (commit.seq = 1; commit.seq <= 2; ++commit.seq) {  // The second time it meets what it has made.
    const meta::Head head = *(*tree)->head();
    commit.previous = head.hash;
    const Result<meta::Changed> applied = (*tree)->apply(commit, payload, object::CommitHash());
    if (!applied) {
      COFFER_CHECK(applied.error().fault == Fault::corrupt || applied.error().fault == Fault::refused);
      COFFER_CHECK(*(*tree)->head() == head);
      return 0;
    }
    walk(**tree, kRootInode, 0);
  }
  return 0;
}
