// Picks what goes into one commit: a part of what is owed that leaves the committed state consistent. TREE.md says the
// rules R1 … R4 that are named here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fs/meta/store.h"
#include "fs/meta/tree_ops.pb.h"

namespace coffer::meta {

/// One use: pick(), then write(). Within a transaction of `store`.
class Drafting {
 public:
  explicit Drafting(Store& store) : store_(store), connection_(store.connection_) {}

  Result<void> pick();
  /// Held inodes that must be committed before `inode` is, or with it; instead of pick().
  Result<std::vector<InodeId>> holding_back(InodeId inode);
  bool is_empty() const;
  /// Marks as in flight what was picked, picks the chunks to be released, and gives the draft.
  Result<Draft> write();

 private:
  using NameKey = std::pair<InodeId, std::string>;
  struct Candidate {
    InodeId base;
    InodeId now;
    std::size_t unit = 0;
  };
  /// Names that are picked together or not at all.
  struct Unit {
    std::vector<NameKey> names;
    bool is_picked = true;
  };
  /// Names by which a folder can be reached; a folder has one name at a time.
  struct FolderName {
    std::optional<NameKey> now;
    bool is_committed = false;     ///< `now` is not owed.
    std::optional<NameKey> was{};  ///< An owed name that led to it in the committed state.
  };
  struct PickedInode {
    InodeId inode;
    bool is_whole = true;
    std::vector<Range> ranges;  ///< That are sent; all that are owed where it is whole.
  };

  // draft_content.cpp
  Result<void> pick_inodes();
  Result<bool> add_inode(InodeId inode);
  Result<void> add_xattrs(InodeId inode, ops::Inode& record);
  /// False if the record would be too large; it holds what fits then.
  Result<bool> fill_content(PickedInode& picked, std::uint64_t bytes, ops::Inode& record);
  Result<void> add_extent(const Extent& extent, const Range& range, ops::ContentRange& to, std::uint64_t& end);
  Result<std::uint32_t> chunk_index(ChunkKey chunk);
  void forget_chunks_after(std::size_t count);

  // draft_names.cpp
  Result<void> pick_names();
  Result<void> add_names_of(InodeId inode);
  Result<void> add_ready_names();
  /// With its group, and with the names above that are owed.
  Result<void> add_candidate(const NameKey& key);
  /// The unit of `key`, if it is owed; names that may have to come along are added to `wanted`.
  Result<void> add_unit_of(const NameKey& key, std::vector<NameKey>& wanted);
  Result<bool> add_group(std::uint64_t group, std::vector<NameKey>& wanted);
  Result<void> add_row(const NameKey& key, InodeId base, std::vector<NameKey>& wanted);
  Result<bool> holds(const Unit& unit);
  Result<bool> target_is_known(const Candidate& candidate);
  Result<bool> parent_is_reachable(InodeId parent);
  Result<const FolderName*> folder_name(InodeId folder);
  Result<bool> leaves_no_child_behind(const Candidate& candidate);
  bool is_picked(const NameKey& key) const;

  // draft_deletions.cpp
  Result<void> pick_deletions();
  Result<void> consider_deletion(InodeId inode);
  Result<bool> all_picked(Rows rows) const;
  Result<void> mark_in_flight();
  Result<std::vector<object::ChunkId>> release();

  Store& store_;
  Connection& connection_;
  ops::TreeOps message_;
  std::size_t message_bytes_ = 0;

  std::vector<PickedInode> inodes_;
  std::unordered_set<InodeId> whole_;  ///< Inodes whose committed state will be their present one.
  std::vector<ChunkRow> chunks_;
  std::unordered_map<ChunkKey, std::uint32_t> chunk_indexes_;

  std::unordered_map<InodeId, FolderName> folder_names_;  ///< Read once each; nothing changes while names are picked.
  std::map<NameKey, Candidate> candidates_;
  std::vector<Unit> units_;
  std::size_t names_bytes_ = 0;
  std::unordered_set<std::uint64_t> loose_groups_;  ///< Too large for a commit.
  std::set<InodeId> deletions_;
};

}  // namespace coffer::meta
