// A tree in a folder of its own, with a clock that only counts up, and small words for what tests do with it.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/db/database.h"
#include "common/object/commit.h"
#include "fs/meta/tree.h"
#include "tests/testing/temp_dir.h"

namespace coffer::meta {

class CountingClock : public os::Clock {
 public:
  os::WallTime now() override { return os::WallTime(std::chrono::nanoseconds(now_ns_ += 1000)); }
  os::SteadyTime steady() override { return {}; }
  void advance(std::chrono::nanoseconds by) { now_ns_ += by.count(); }

 private:
  std::int64_t now_ns_ = 1'700'000'000'000'000'000;
};

class DroppedChunks : public TreeEvents {
 public:
  void chunk_dropped(const ChunkRow& chunk) override {
    MutexLock lock(mutex_);
    chunks_.push_back(chunk);
  }
  std::vector<ChunkKey> take() {
    MutexLock lock(mutex_);
    std::vector<ChunkKey> keys;
    for (const ChunkRow& chunk : std::exchange(chunks_, {})) keys.push_back(chunk.key);
    return keys;
  }

 private:
  Mutex mutex_;
  std::vector<ChunkRow> chunks_ GUARDED_BY(mutex_);
};

inline int errno_of(const Error& error) { return error.fault == Fault::answer ? error.code : -1; }
/// The errno of a failure, 0 for success, -1 for another Fault.
template <class T>
int errno_of(const Result<T>& result) {
  return result ? 0 : errno_of(result.error());
}

template <class Id>
Id id_of(std::uint64_t number) {
  std::array<std::byte, Id::kSize> bytes{};
  std::memcpy(bytes.data(), &number, sizeof(number));
  return Id(bytes);
}

class TreeWorld {
 public:
  TreeWorld() { open(); }

  Tree& tree() { return *tree_; }
  Tree* operator->() { return tree_.get(); }
  CountingClock& clock() { return clock_; }
  DroppedChunks& dropped() { return dropped_; }
  std::string path() const { return (folder_ / (std::to_string(generation_) + ".db")).string(); }

  /// What kill -9 leaves: the files as they are now, without the end of the process that had them open.
  void kill_and_open() {
    const std::string old = path();
    ++generation_;
    // The redo log first: what SQLite commits meanwhile, which nobody can do while a process is killed, is then not
    // lost.
    std::filesystem::copy_file(old + "-redo", path() + "-redo");
    std::filesystem::copy_file(old, path());
    if (std::filesystem::exists(old + "-wal")) std::filesystem::copy_file(old + "-wal", path() + "-wal");
    tree_.reset();
    open();
  }

  void close() { tree_.reset(); }
  void reopen() { open(); }

  InodeId file(std::string_view path) { return make(path, S_IFREG | 0644).inode; }
  InodeId folder(std::string_view path) { return make(path, S_IFDIR | 0755).inode; }
  Attributes make(std::string_view path, std::uint32_t mode) {
    const auto [parent, name] = split(path);
    Result<Attributes> made = tree_->create(parent, name, {.mode = mode, .symlink_target = "target"});
    EXPECT_TRUE(made) << path << ": " << (made ? "" : made.error().what);
    return made ? *made : Attributes();
  }
  /// The parent's inode and the last name.
  std::pair<InodeId, std::string> split(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    const std::string_view parent = slash == std::string_view::npos ? "" : path.substr(0, slash);
    return {inode(parent), std::string(slash == std::string_view::npos ? path : path.substr(slash + 1))};
  }
  /// 0 where nothing is there.
  InodeId inode(std::string_view path) {
    Result<InodeId> found = tree_->resolve(path);
    return found ? *found : InodeId();
  }
  int rename(std::string_view from, std::string_view to, RenameMode mode = RenameMode::replace) {
    const auto [parent, name] = split(from);
    const auto [new_parent, new_name] = split(to);
    return errno_of(tree_->rename(parent, name, new_parent, new_name, mode));
  }
  int unlink(std::string_view path) {
    const auto [parent, name] = split(path);
    return errno_of(tree_->unlink(parent, name));
  }
  int rmdir(std::string_view path) {
    const auto [parent, name] = split(path);
    return errno_of(tree_->rmdir(parent, name));
  }
  int link(std::string_view path, std::string_view new_path) {
    const auto [parent, name] = split(new_path);
    return errno_of(tree_->link(inode(path), parent, name));
  }
  Attributes stat(std::string_view path) {
    Result<Attributes> found = tree_->attributes(inode(path));
    EXPECT_TRUE(found) << path;
    return found ? *found : Attributes();
  }

  ChunkKey spooled_chunk(std::uint32_t plain_bytes = 1 << 20) {
    const std::uint64_t number = ++chunk_count_;
    Result<ChunkKey> key = tree_->add_spooled_chunk(chunk_id(number), plain_bytes + 100, plain_bytes, Priority::normal);
    EXPECT_TRUE(key);
    return key ? *key : ChunkKey();
  }
  object::ChunkId chunk_id(std::uint64_t number) const { return id_of<object::ChunkId>(number); }
  object::ChunkId id(ChunkKey key) {
    Result<ChunkRow> row = tree_->chunk(key);
    EXPECT_TRUE(row);
    return row ? row->id : object::ChunkId();
  }
  /// Writes `bytes` at `at`, from the start of a new spooled chunk.
  ChunkKey write(InodeId inode, std::uint64_t at, std::uint32_t bytes) {
    const ChunkKey chunk = spooled_chunk(bytes);
    EXPECT_TRUE(record(inode, at, bytes, chunk, 0));
    return chunk;
  }
  Result<Mark> record(InodeId inode, std::uint64_t at, std::uint32_t bytes, ChunkKey chunk, std::uint32_t offset,
                      std::optional<PieceId> piece = std::nullopt) {
    Content content;
    content.extents = {{FileOffset(at), bytes, chunk, offset, piece}};
    return tree_->record(inode, content);
  }
  void store(ChunkKey chunk) { EXPECT_TRUE(tree_->chunks_stored(std::vector{chunk})); }
  void store_all() {
    for (;;) {
      Result<std::vector<ChunkRow>> owed = tree_->owed_chunks(1000, nullptr);
      ASSERT_TRUE(owed);
      if (owed->empty()) return;
      std::vector<ChunkKey> keys;
      for (const ChunkRow& row : *owed) keys.push_back(row.key);
      ASSERT_TRUE(tree_->chunks_stored(keys));
    }
  }
  std::vector<Extent> extents(InodeId inode) {
    Result<std::vector<Extent>> found = tree_->extents(inode, FileOffset(0), FileOffset(~std::uint64_t{0}));
    EXPECT_TRUE(found);
    return found ? *found : std::vector<Extent>();
  }

  /// The commit's bytes; empty if nothing is ready.
  Bytes draft(Draft* seen = nullptr) {
    Result<std::optional<Bytes>> drafted = tree_->draft_commit([&](const Draft& draft) -> Result<Bytes> {
      if (seen != nullptr) *seen = draft;
      return object::encode(object::Commit{.vault = {},
                                           .seq = draft.seq,
                                           .previous = draft.previous,
                                           .epoch = 1,
                                           .added = draft.added,
                                           .released = draft.released,
                                           .payload = copy_of(draft.payload)});
    });
    EXPECT_TRUE(drafted) << (drafted ? "" : drafted.error().what);
    return drafted && *drafted ? **drafted : Bytes();
  }
  void done(const Bytes& commit) {
    Result<object::Commit> decoded = object::decode_commit(commit);
    ASSERT_TRUE(decoded);
    const Result<void> result = tree_->commit_done(decoded->seq, object::hash_of(commit));
    EXPECT_TRUE(result) << (result ? "" : result.error().what);
  }
  Result<Changed> apply(const Bytes& commit) {
    Result<object::Commit> decoded = object::decode_commit(commit);
    if (!decoded) return decoded.error();
    return tree_->apply(*decoded, decoded->payload, object::hash_of(commit));
  }
  /// Drafts and acknowledges until nothing is ready; the commits, in order.
  std::vector<Bytes> commit_all() {
    std::vector<Bytes> commits;
    for (;;) {
      Bytes commit = draft();
      if (commit.empty()) return commits;
      done(commit);
      commits.push_back(std::move(commit));
    }
  }
  Owed owed() {
    Result<Owed> owed = tree_->owed();
    EXPECT_TRUE(owed);
    return owed ? *owed : Owed();
  }
  bool committed(InodeId inode) {
    Result<bool> committed = tree_->committed(inode);
    EXPECT_TRUE(committed);
    return committed && *committed;
  }

  /// The first column of the first row, of a connection beside the tree's.
  std::int64_t sql(const char* query) {
    EXPECT_TRUE(tree_->set_verified({}, 0));  // Shares no transaction: SQLite commits what is open.
    Result<db::Database> database = db::Database::open(path(), {.read_only = true});
    EXPECT_TRUE(database);
    Result<db::Statement> statement = database->prepare(query);
    EXPECT_TRUE(statement);
    Result<bool> row = statement->step();
    EXPECT_TRUE(row && *row) << query;
    return statement->integer(0);
  }

 private:
  void open() {
    Result<std::unique_ptr<Tree>> opened = Tree::open(path(), clock_, dropped_);
    ASSERT_TRUE(opened) << opened.error().what;
    tree_ = *std::move(opened);
  }

  testing::TempDir folder_;
  CountingClock clock_;
  DroppedChunks dropped_;
  int generation_ = 0;
  std::uint64_t chunk_count_ = 0;
  std::unique_ptr<Tree> tree_;
};

}  // namespace coffer::meta
