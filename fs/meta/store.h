// The tables of the tree behind one connection, and every change of them.
//
// The sources follow the thoughts: names.cpp, attributes.cpp, acls.cpp, content.cpp and chunks.cpp change the tree;
// outbox.cpp notes what is owed because of it; draft.cpp, ack.cpp and apply.cpp deal with commits; safety.cpp answers
// what is safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/object/commit.h"
#include "common/os/clock.h"
#include "fs/meta/connection.h"
#include "fs/meta/keeps.h"
#include "fs/meta/operations.h"
#include "fs/meta/pieces_of_load.h"
#include "fs/meta/pins.h"
#include "fs/meta/transactions.h"
#include "fs/meta/types.h"
#include "fs/value/posix_acl.h"

namespace coffer::meta {

/// The one row of the table `state`.
struct Counters {
  std::uint64_t version = 0;
  std::uint64_t inode_next = 2;
  std::uint64_t cookie_next = kCookieMin;
  std::uint64_t group_next = 1;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t sealed_bytes = 0;
  std::uint64_t head_seq = 0;
  object::CommitHash head_hash;

  friend bool operator==(const Counters&, const Counters&) = default;
};

/// Not thread-safe; the Tree has the lock. What changes the tree is called within transact().
class Store {
 public:
  /// `log` may be null: then each operation is a transaction of its own.
  Store(Connection connection, std::unique_ptr<RedoLog> log, os::Clock& clock, Pins& pins)
      : connection_(std::move(connection)),
        transactions_(connection_, std::move(log), [this] { return write_back(); }),
        clock_(clock),
        pins_(pins) {
    connection_.inodes().use();
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Reads the counters and deletes what only the last process needed.
  Result<void> load();

  /// Runs `work` as one operation, which is undone if it fails.
  template <class Work>
  std::invoke_result_t<Work> transact(Sharing sharing, Work work) {
    COFFER_DO(transactions_.begin(sharing));
    const Counters before = counters_;
    std::invoke_result_t<Work> result = work();
    if (!result) {
      roll_back(before);
      return result;
    }
    if (Result<void> committed = commit(before); !committed) {
      roll_back(before);
      return std::move(committed).error();
    }
    return result;
  }
  /// Chunks whose rows have gone since the last call.
  std::vector<ChunkRow> take_dropped() { return std::exchange(dropped_, {}); }

  Connection& connection() { return connection_; }
  Transactions& transactions() { return transactions_; }
  const Counters& counters() const { return counters_; }

  // names.cpp
  Result<Attributes> create(InodeId parent, std::string_view name, const NewInode& what);
  Result<Attributes> link(InodeId inode, InodeId new_parent, std::string_view name);
  Result<void> unlink(InodeId parent, std::string_view name);
  Result<void> rmdir(InodeId parent, std::string_view name);
  Result<void> rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                      RenameMode mode);
  /// The last pin of an inode without a name is gone.
  Result<void> drop_unlinked(InodeId inode);

  // attributes.cpp
  Result<Attributes> change(InodeId inode, const AttributeChange& change);
  Result<void> set_xattr(InodeId inode, std::string_view name, ByteView value, XattrMode mode);
  Result<void> remove_xattr(InodeId inode, std::string_view name);

  // content.cpp
  Result<Mark> record(InodeId inode, const Content& content);
  /// After the transaction of record(): the keeps that it used up.
  void use_up_keeps(const Content& content);
  Result<std::optional<PieceAt>> find_piece(const PieceId& piece);
  Result<void> forget_pieces(std::span<const ChunkKey> chunks);
  void keep(const PieceAt& piece) { keeps_.keep(piece); }
  void let_go(const PieceAt& piece) { keeps_.let_go(piece); }
  void let_go(ChunkKey chunk) { keeps_.let_go(chunk); }
  Result<std::vector<Range>> live_ranges(ChunkKey chunk);

  // chunks.cpp
  Result<ChunkKey> add_open_chunk();
  Result<ChunkKey> add_spooled_chunk(const object::ChunkId& id, std::uint32_t sealed_bytes, std::uint32_t plain_bytes,
                                     Priority priority);
  Result<void> chunk_sealed(ChunkKey chunk, const object::ChunkId& id, std::uint32_t sealed_bytes,
                            std::uint32_t plain_bytes);
  /// Nothing uses the chunk, no one keeps it, and no commit names it.
  Result<bool> is_unused(ChunkKey chunk);
  Result<void> drop_if_unused(ChunkKey chunk);
  Result<std::vector<ChunkRow>> owed_chunks(std::size_t count_max, const std::function<bool(ChunkKey)>& skip);
  Result<void> chunks_stored(std::span<const ChunkKey> chunks);
  Result<void> chunks_lost(std::span<const object::ChunkId> chunks);
  Result<void> raise(InodeId inode);

  // draft.cpp, ack.cpp, apply.cpp
  void hold(InodeId inode, bool held);
  /// Whether there was a hold to end.
  Result<bool> let_go_for(InodeId inode);
  Result<std::optional<Bytes>> draft_commit(const std::function<Result<Bytes>(const Draft&)>& seal,
                                            std::vector<CarriedChunk>* carried);
  Result<std::vector<CarriedChunk>> carried();
  Result<std::optional<Bytes>> pending_commit();
  Result<void> commit_done(std::uint64_t seq, const object::CommitHash& hash, ByteView receipt = {});
  Result<Bytes> receipt();
  Result<void> commit_refused();
  Result<Changed> apply(const object::Commit& commit, ByteView opened_payload, const object::CommitHash& hash);
  Result<void> take_over();
  /// A load (load.h): one transaction of SQLite from begin_load() to end_load(), outside of transact().
  Result<void> begin_load();
  Result<void> apply_loaded(const object::Commit& commit, const Operations& operations, const object::CommitHash& hash);
  PiecesOfLoad* pieces_of_load() { return pieces_of_load_.get(); }
  Result<void> end_load();

  // owed_paths.cpp
  Result<std::vector<OwedPath>> owed_paths();
  Result<std::vector<InodeId>> users_of(ChunkKey chunk);

  // safety.cpp
  Result<std::string> id();
  Result<bool> committed_up_to(Mark mark);
  Result<bool> committed(InodeId inode);
  Result<Level> level(InodeId inode);
  Result<Owed> owed();
  Result<void> set_verified(std::span<const object::ChunkId> chunks, std::int64_t when_ns);
  Result<std::optional<std::int64_t>> verified_since(InodeId inode);
  Result<void> forget_verified(const object::ChunkId& chunk);

 private:
  friend class Drafting;
  friend class Applying;

  /// By how many extents each chunk is used more, or less.
  using Uses = std::map<ChunkKey, std::int64_t>;
  struct Name {
    InodeId parent;
    std::string_view name;
  };

  Result<void> commit(const Counters& before);
  /// The counters have become others than `before`.
  Result<void> note_counters(const Counters& before);
  void roll_back(const Counters& before);
  /// SQLite has the counters and all inodes.
  Result<void> write_back();
  Result<void> load_counters();
  std::int64_t now_ns() { return clock_.now().time_since_epoch().count(); }

  // apply.cpp
  /// Fault::corrupt or Fault::refused unless the commit is the next one, and nothing is owed.
  Result<void> check_next(const object::Commit& commit);
  Result<Changed> apply_next(const object::Commit& commit, const Operations& operations,
                             const object::CommitHash& hash);

  // names.cpp
  /// A folder that names can be put into: ENOTDIR; ENOENT if it was removed.
  Result<Attributes> living_folder(InodeId inode);
  Result<void> put_inode(const Attributes& inode);
  Result<void> insert_inode(const Attributes& inode, std::string_view target);
  struct NewName {
    InodeId parent;
    std::string_view name;
    InodeId inode;
    std::uint64_t cookie = 0;
    bool is_added = false;
  };
  /// At most kRowsAtOnce. Where a name means something already, nothing is changed. Says which were added.
  Result<void> add_names(std::span<NewName> names);
  Result<void> set_name(const Name& name, InodeId before, InodeId after);
  /// No inode has a greater number.
  Result<InodeId> last_inode();
  /// The folder's mtime and ctime become `now`; it is owed.
  Result<void> put_folder(Attributes& folder, std::int64_t now);
  /// `inode` has one name less, which was `name` and in `group`; its links are counted down here.
  Result<void> lose_name(Attributes& inode, const Name& name, std::uint64_t group, std::int64_t now);
  Result<void> lose_last_name(Attributes& inode, std::int64_t now);
  Result<void> drop_inode(const Attributes& inode, bool was_wanted);
  Result<bool> is_within(InodeId folder, InodeId ancestor);
  Result<void> exchange(const Name& a, Attributes& x, const Name& b, Attributes& y);
  Result<void> replace(const Name& a, Attributes& x, const Name& b, std::optional<Attributes> y);

  // acls.cpp
  /// nullopt where there is none; Fault::corrupt for what is none.
  Result<std::optional<PosixAcl>> acl(InodeId inode, std::string_view name);
  /// The value is kept, or goes where the mode says it all; `inode`'s mode becomes what the ACL says. The caller stores
  /// the mode.
  Result<void> put_access_acl(Attributes& inode, const PosixAcl& acl);
  /// chmod(2) of `inode`, which has its new mode already.
  Result<void> mode_to_acl(Attributes& inode);
  /// What `folder` and the umask make of a new inode's mode; the ACLs that it gets are stored. Whether it got any.
  Result<bool> inherit(InodeId folder, const NewInode& what, Attributes& inode);
  Result<void> put_xattr(InodeId inode, std::string_view name, ByteView value);

  // content.cpp
  /// Takes [range) out of the inode's extents; what is cut off is added to `uses` and `allocated`.
  Result<void> cut(InodeId inode, const Range& range, Uses& uses, std::int64_t& allocated);
  /// EINVAL for an extent that ends behind its sealed chunk.
  Result<void> check_in_chunks(std::span<const Extent> extents);
  Result<void> insert_extent(InodeId inode, const Extent& extent);
  struct ExtentOf {
    InodeId inode;
    Extent extent;
  };
  /// At most kRowsAtOnce.
  Result<void> insert_extents(std::span<const ExtentOf> extents);
  Result<void> put_piece(const PieceId& piece, const PieceAt& at);
  Result<void> truncate(Attributes& inode, std::uint64_t bytes);

  // chunks.cpp
  /// Counts uses; drops chunks that became unused. Returns by how much the extents in unstored chunks changed.
  Result<std::int64_t> count_uses(const Uses& uses, bool wanted);
  Result<void> drop_chunk(const ChunkRow& row);
  Result<void> set_stored(ChunkKey chunk, ChunkState from, ChunkState to);
  Result<void> move_all(const std::vector<CarriedChunk>& chunks, ChunkState from, ChunkState to);

  // outbox.cpp
  /// The inode differs from its committed state from now on. One without a name owes nothing.
  Result<void> owe(const Attributes& inode);
  Result<void> set_waits(Rows names, bool waits);
  /// The owed names that lead to `inode`.
  Result<void> let_names_wait(InodeId inode);
  /// Those that lead to inodes whose drafted state was their last.
  Result<void> let_names_go();
  Result<void> owe_new(InodeId inode);
  Result<void> owe_deletion(InodeId inode);
  Result<void> owe_range(InodeId inode, Range range);
  Result<void> add_unstored(InodeId inode, std::int64_t extents);
  Result<void> owe_name(const Name& name, InodeId before, InodeId after, std::uint64_t group, bool moves);
  Result<std::uint64_t> group_of(const Name& name);
  /// One group of what were two; a new one where both are 0.
  Result<std::uint64_t> joined(std::uint64_t a, std::uint64_t b);
  Result<std::uint64_t> moves_group();
  /// `inode` lost `name` and has others: none of its committed names may go before another is committed.
  Result<void> keep_reachable(InodeId inode, const Name& lost, std::uint64_t group);
  Result<bool> is_owed(InodeId inode);

  Connection connection_;
  Transactions transactions_;
  os::Clock& clock_;
  Pins& pins_;
  Counters counters_;
  bool are_counters_late_ = false;  // They are in the redo log, if there is one, and not in SQLite.
  Keeps keeps_;
  std::unique_ptr<PiecesOfLoad> pieces_of_load_;  // While loading.
  std::optional<InodeId> last_inode_;             // Once asked for; may be one that is gone.
  std::unordered_set<InodeId> held_;
  // Known to be owed, and not drafted since they last became so. May lack some.
  std::unordered_set<InodeId> known_owed_;
  std::unordered_set<ChunkKey> known_open_;  // Chunks; may lack some.
  std::vector<ChunkRow> dropped_;
  // Where the last draft stopped looking, so that what is blocked never hides what is ready.
  std::uint64_t names_cursor_ = 0;
  std::uint64_t deletions_cursor_ = 0;
};

}  // namespace coffer::meta
