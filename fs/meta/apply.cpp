// Applies the payload of a commit that this tree does not know.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include "common/base/limits.h"
#include "fs/meta/read.h"
#include "fs/meta/store.h"
#include "fs/meta/tree_ops.pb.h"

namespace coffer::meta {

/// One use. Within a transaction of `store`.
class Applying {
 public:
  explicit Applying(Store& store) : store_(store), connection_(store.connection_) {}

  Result<Changed> apply(const ops::TreeOps& message);

 private:
  struct Chunk {
    ChunkKey key;
    std::uint32_t plain_bytes = 0;
  };

  static Error malformed(const char* what) { return Error{Fault::corrupt, 0, std::string("tree operations: ") + what}; }
  Result<void> add_chunk(const ops::Chunk& record);
  Result<void> put_inode(const ops::Inode& record);
  Result<void> put_content(Attributes& row, const ops::Inode& record, bool is_new);
  Result<void> put_range(Attributes& row, const ops::ContentRange& record, bool is_new);
  Result<Extent> extent_of(const ops::Extent& record, std::uint64_t& at, std::uint64_t end);
  Result<std::optional<Attributes>> existing(InodeId inode);
  Result<void> cut(Attributes& row, const Range& range);
  Result<void> write_extents();
  Result<void> write_names();
  Result<void> change_name(InodeId parent, std::string_view name, InodeId after);
  Result<void> put_name(const ops::Name& record);
  Result<void> count_links(InodeId inode, InodeId parent, std::int64_t names);
  Result<void> put_links();
  Result<void> remove(InodeId inode);

  Store& store_;
  Connection& connection_;
  std::uint64_t inode_next_ = 0;
  std::vector<Chunk> chunks_;
  // New ones that wait until there are enough for one statement.
  std::vector<Store::ExtentOf> extents_;
  std::vector<Store::NewName> names_;
  Store::Uses uses_;  // By all inodes of the message: a chunk of small files has many.
  std::unordered_map<InodeId, bool> is_folder_;
  std::unordered_map<InodeId, std::int64_t> links_;
  std::vector<InodeId> named_folders_;
  Changed changed_;
};

Result<Changed> Applying::apply(const ops::TreeOps& message) {
  if (message.version() != 1) return Error{Fault::refused, 0, "the commit is of a newer version of Coffer"};
  inode_next_ = message.inode_next();
  if (inode_next_ > std::numeric_limits<std::int64_t>::max()) return malformed("an inode number is too large");
  for (const ops::Chunk& record : message.chunks()) COFFER_DO(add_chunk(record));
  is_folder_.reserve(message.inodes_size());
  links_.reserve(message.names_size());
  for (const ops::Inode& record : message.inodes()) COFFER_DO(put_inode(record));
  COFFER_DO(write_extents());
  for (const ops::Name& record : message.names()) COFFER_DO(put_name(record));
  COFFER_DO(write_names());
  COFFER_DO(put_links());
  COFFER_TRY([[maybe_unused]] const std::int64_t unstored, store_.count_uses(uses_, true));
  for (const std::uint64_t inode : message.deleted()) COFFER_DO(remove(InodeId(inode)));
  store_.counters_.inode_next = std::max(store_.counters_.inode_next, inode_next_);
  return std::move(changed_);
}

Result<void> Applying::add_chunk(const ops::Chunk& record) {
  COFFER_TRY(const object::ChunkId id, object::ChunkId::from(as_bytes(record.id())));
  COFFER_TRY(const std::optional<ChunkRow> known, read::chunk_by_id(connection_, id));
  if (known) {
    if (known->plain_bytes != record.plain_bytes()) return malformed("a chunk changes its size");
    chunks_.push_back({known->key, known->plain_bytes});
    return {};
  }
  COFFER_DO(connection_.run(
      "INSERT INTO chunk (id, state, sealed_bytes, plain_bytes, refs, wanted, priority, since, flight, dead_at) "
      "VALUES (?, 3, ?, ?, 0, 0, 0, 0, 0, 0)",
      id, record.sealed_bytes(), record.plain_bytes()));
  chunks_.push_back({ChunkKey(connection_.database().last_insert_rowid()), record.plain_bytes()});
  return {};
}

Result<void> Applying::put_inode(const ops::Inode& record) {
  const InodeId inode(record.inode());
  if (record.inode() == 0 || record.inode() >= inode_next_) return malformed("an inode number out of order");
  if (record.bytes() > limits::kFileBytesMax) return malformed("a file is too large");
  Attributes row{.inode = inode,
                 .mode = record.mode(),
                 .uid = record.uid(),
                 .gid = record.gid(),
                 .rdev = record.rdev(),
                 .bytes = record.bytes(),
                 .atime_ns = record.atime_ns(),
                 .mtime_ns = record.mtime_ns(),
                 .ctime_ns = record.ctime_ns(),
                 .btime_ns = record.btime_ns()};
  COFFER_TRY(const std::optional<Attributes> known, existing(inode));
  const bool is_new = !known;
  std::uint64_t old_bytes = 0;
  if (is_new) {
    COFFER_DO(store_.insert_inode(row, record.symlink_target()));
  } else {
    if ((known->mode & 0170000) != (row.mode & 0170000)) return malformed("an inode changes its type");
    row.links = known->links;
    row.allocated_bytes = known->allocated_bytes;
    old_bytes = known->bytes;
    COFFER_DO(connection_.run("DELETE FROM xattr WHERE ino = ?", inode));
    // What never changes on the client that made it; put_inode() leaves it alone.
    if (row.rdev != known->rdev || row.btime_ns != known->btime_ns) {
      COFFER_DO(connection_.run("UPDATE inode SET rdev = ?, btime = ? WHERE ino = ?", row.rdev, row.btime_ns, inode));
    }
    if (!record.symlink_target().empty()) {
      COFFER_DO(connection_.run("UPDATE inode SET target = ? WHERE ino = ?", std::string_view(record.symlink_target()),
                                inode));
    }
  }
  is_folder_[inode] = read::is_folder(row);
  for (const ops::Xattr& xattr : record.xattrs()) {
    COFFER_DO(store_.put_xattr(inode, xattr.name(), as_bytes(xattr.value())));
  }
  if (row.bytes < old_bytes || record.content_size() > 0) COFFER_DO(put_content(row, record, is_new));
  changed_.inodes.push_back(inode);
  return store_.put_inode(row);
}

// Most are new, and have a greater number than any before: that needs no look into the tree.
Result<std::optional<Attributes>> Applying::existing(InodeId inode) {
  COFFER_TRY(const InodeId last, store_.last_inode());
  if (inode > last) return std::optional<Attributes>();
  Result<Attributes> row = read::attributes(connection_, inode);
  if (!row && row.error().fault == Fault::answer) return std::optional<Attributes>();
  if (!row) return std::move(row).error();
  return std::optional<Attributes>(*row);
}

Result<void> Applying::put_content(Attributes& row, const ops::Inode& record, bool is_new) {
  if (!read::is_file(row)) return malformed("content of what is no file");
  const std::uint64_t before = row.allocated_bytes;
  if (!is_new) COFFER_DO(cut(row, {row.bytes, limits::kFileBytesMax}));
  for (const ops::ContentRange& range : record.content()) COFFER_DO(put_range(row, range, is_new));
  store_.counters_.bytes += row.allocated_bytes - before;
  return {};
}

Result<void> Applying::put_range(Attributes& row, const ops::ContentRange& record, bool is_new) {
  if (record.begin() > record.end() || record.end() > row.bytes) return malformed("content behind its file's end");
  // A new file may be given the same range twice, by a payload that no Coffer makes.
  if (!is_new || row.allocated_bytes > 0) COFFER_DO(cut(row, {record.begin(), record.end()}));
  std::uint64_t at = record.begin();
  for (const ops::Extent& piece : record.extents()) {
    COFFER_TRY(const Extent extent, extent_of(piece, at, record.end()));
    extents_.push_back({row.inode, extent});
    if (extents_.size() == kRowsAtOnce) COFFER_DO(write_extents());
    ++uses_[extent.chunk];
    row.allocated_bytes += extent.bytes;
    if (piece.piece().empty()) continue;
    COFFER_TRY(const PieceId hash, PieceId::from(as_bytes(piece.piece())));
    COFFER_DO(store_.put_piece(hash, {extent.chunk, extent.chunk_offset, extent.bytes}));
  }
  return {};
}

Result<void> Applying::cut(Attributes& row, const Range& range) {
  COFFER_DO(write_extents());
  std::int64_t allocated = 0;
  COFFER_DO(store_.cut(row.inode, range, uses_, allocated));
  row.allocated_bytes += allocated;
  return {};
}

Result<void> Applying::write_extents() {
  COFFER_DO(store_.insert_extents(extents_));
  extents_.clear();
  return {};
}

Result<Extent> Applying::extent_of(const ops::Extent& record, std::uint64_t& at, std::uint64_t end) {
  if (record.gap() > end - at || record.bytes() == 0 || record.bytes() > end - at - record.gap()) {
    return malformed("an extent out of its range");
  }
  if (record.chunk() >= chunks_.size()) return malformed("an extent without a chunk");
  const Chunk& chunk = chunks_[record.chunk()];
  if (std::uint64_t{record.chunk_offset()} + record.bytes() > chunk.plain_bytes) {
    return malformed("an extent behind its chunk's end");
  }
  Extent extent;
  extent.at = FileOffset(at + record.gap());
  extent.bytes = record.bytes();
  extent.chunk = chunk.key;
  extent.chunk_offset = record.chunk_offset();
  at = extent.end().value();
  return extent;
}

Result<void> Applying::put_name(const ops::Name& record) {
  const InodeId parent(record.parent());
  const InodeId after(record.inode());
  if (!read::check_name(record.name())) return malformed("a name that none can have");
  if (after == kRootInode) return malformed("a name of the root");
  if (after == InodeId()) {
    COFFER_DO(write_names());
    return change_name(parent, record.name(), after);
  }
  names_.push_back({.parent = parent, .name = record.name(), .inode = after});
  return names_.size() < kRowsAtOnce ? Result<void>() : write_names();
}

// Most are new: which are not shows when they are inserted.
Result<void> Applying::write_names() {
  COFFER_DO(store_.add_names(names_));
  for (const Store::NewName& name : names_) {
    if (!name.is_added) {
      COFFER_DO(change_name(name.parent, name.name, name.inode));
      continue;
    }
    COFFER_DO(count_links(name.inode, name.parent, +1));
    changed_.names.emplace_back(name.parent, name.name);
  }
  names_.clear();
  return {};
}

Result<void> Applying::change_name(InodeId parent, std::string_view name, InodeId after) {
  COFFER_TRY(const InodeId before, read::meaning(connection_, parent, name));
  if (before == after) return {};
  COFFER_DO(store_.set_name({parent, name}, before, after));
  if (before != InodeId()) COFFER_DO(count_links(before, parent, -1));
  if (after != InodeId()) COFFER_DO(count_links(after, parent, +1));
  changed_.names.emplace_back(parent, name);
  return {};
}

Result<void> Applying::count_links(InodeId inode, InodeId parent, std::int64_t names) {
  for (const InodeId id : {inode, parent}) {
    if (is_folder_.contains(id)) continue;
    const Result<Attributes> row = read::attributes(connection_, id);
    if (!row) return row.error().fault == Fault::answer ? malformed("a name of an unknown inode") : row.error();
    is_folder_[id] = read::is_folder(*row);
  }
  if (!is_folder_[parent]) return malformed("a name in what is no folder");
  if (!is_folder_[inode]) {
    links_[inode] += names;
    return {};
  }
  links_[inode] += 2 * names;
  links_[parent] += names;
  if (names > 0) named_folders_.push_back(inode);
  return {};
}

Result<void> Applying::put_links() {
  for (const auto& [inode, more] : links_) {
    if (more == 0) continue;
    Result<Attributes> row = read::attributes(connection_, inode);
    if (!row && row.error().fault != Fault::answer) return std::move(row).error();
    if (!row || row->links + more < 0) return malformed("links do not add up");
    row->links = static_cast<std::uint32_t>(row->links + more);
    COFFER_DO(store_.put_inode(*row));
    changed_.inodes.push_back(inode);
  }
  for (const InodeId folder : named_folders_) {
    COFFER_TRY(const bool has_two, connection_.any("SELECT 1 FROM name WHERE ino = ? LIMIT 1 OFFSET 1", folder));
    if (has_two) return malformed("a folder with two names");
  }
  return {};
}

Result<void> Applying::remove(InodeId inode) {
  if (inode == kRootInode) return malformed("deletes the root");
  const Result<Attributes> row = read::attributes(connection_, inode);
  if (!row && row.error().fault == Fault::answer) return {};
  if (!row) return row.error();
  COFFER_TRY(const bool is_used,
             connection_.any("SELECT 1 FROM name WHERE ino = ?1 UNION ALL SELECT 1 FROM name WHERE parent = ?1 LIMIT 1",
                             inode));
  if (is_used) return malformed("deletes what has names");
  changed_.inodes.push_back(inode);
  if (!store_.pins_.outlives_its_names(inode)) return store_.drop_inode(*row, true);
  return connection_.run("UPDATE inode SET links = 0, unlinked = 1 WHERE ino = ?", inode);
}

Result<Changed> Store::apply(const object::Commit& commit, ByteView opened_payload, const object::CommitHash& hash) {
  COFFER_TRY(const std::optional<Bytes> pending, pending_commit());
  if (pending && object::hash_of(*pending) == hash) {
    COFFER_DO(commit_done(commit.seq, hash));
    return Changed();
  }
  COFFER_DO(check_next(commit));
  COFFER_TRY(const Operations operations, Operations::decode(opened_payload));
  return apply_next(commit, operations, hash);
}

Result<void> Store::check_next(const object::Commit& commit) {
  if (commit.seq != counters_.head_seq + 1 || commit.previous != counters_.head_hash) {
    return Error{Fault::corrupt, 0, "commit " + std::to_string(commit.seq) + " does not follow what the tree has"};
  }
  COFFER_TRY(const bool owes_any,
             connection_.any("SELECT 1 FROM owed_inode UNION ALL SELECT 1 FROM owed_name UNION ALL "
                             "SELECT 1 FROM pending LIMIT 1"));
  return owes_any ? Result<void>(Error{Fault::refused, 0, "this tree has changes of its own"}) : Result<void>();
}

Result<Changed> Store::apply_next(const object::Commit& commit, const Operations& operations,
                                  const object::CommitHash& hash) {
  known_owed_.clear();
  COFFER_TRY(Changed changed, Applying(*this).apply(operations.message()));
  for (const object::ChunkId& id : commit.released) {
    COFFER_TRY(const std::optional<ChunkRow> row, read::chunk_by_id(connection_, id));
    if (!row || keeps_.has(row->key)) continue;
    COFFER_TRY(const bool is_dead, connection_.any("SELECT 1 FROM chunk WHERE key = ? AND refs = 0", row->key));
    if (is_dead) COFFER_DO(drop_chunk(*row));
  }
  counters_.head_seq = commit.seq;
  counters_.head_hash = hash;
  return changed;
}

Result<void> Store::take_over() {
  std::vector<InodeId> nameless;
  COFFER_DO(for_each(connection_.query("SELECT ino FROM inode WHERE links = 0 AND unlinked = 0"),
                     [&](const Rows& row) { nameless.emplace_back(row.u64(0)); }));
  for (const InodeId inode : nameless) {
    COFFER_TRY(const Attributes row, read::attributes(connection_, inode));
    COFFER_DO(owe_deletion(inode));
    COFFER_DO(drop_inode(row, true));
  }
  return {};
}

}  // namespace coffer::meta
