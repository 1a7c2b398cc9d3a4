// A tree that is loaded, and what is left of a load that is cut off. That it equals the tree of a follower, whatever
// happened, is in follower_test.cpp; power cuts are in tests/power/home.
#include "fs/meta/load.h"

#include <filesystem>
#include <fstream>
#include <span>

#include "tests/fs/meta/invariants.h"
#include "tests/fs/meta/loading.h"

namespace coffer::meta {
namespace {

class ALoad : public ::testing::Test {
 protected:
  /// Files with content and pieces, of which some are replaced, linked and removed; several commits.
  void write_history() {
    for (int round = 0; round < 6; ++round) {
      const std::string folder = "d" + std::to_string(round);
      writer_.folder(folder);
      for (int i = 0; i < 40; ++i) {
        const std::string name = folder + "/f" + std::to_string(i);
        const InodeId file = writer_.file(name);
        const ChunkKey chunk = writer_.spooled_chunk(1000);
        Content content;
        content.extents = {{FileOffset(0), 100, chunk, 0, id_of<PieceId>(1 + (i * 7 + round * 11) % 60)}};
        ASSERT_TRUE(writer_->record(file, content));
        writer_.store(chunk);
        if (i % 5 == 0) {
          ASSERT_EQ(writer_.link(name, folder + "/l" + std::to_string(i)), 0);
        }
        if (round > 0 && i % 3 == 0) {
          ASSERT_EQ(writer_.rename(name, "d" + std::to_string(round - 1) + "/f" + std::to_string(i)), 0);
        }
      }
      for (Bytes& commit : writer_.commit_all()) commits_.push_back(std::move(commit));
    }
    follow();
  }
  void follow() {
    for (const Bytes& commit : commits_) ASSERT_TRUE(follower_.apply(commit));
  }
  std::string path(const std::string& name = "loaded.db") const { return (folder_ / name).string(); }
  bool is_there(const std::string& name) const { return std::filesystem::exists(folder_ / name); }

  TreeWorld writer_;
  TreeWorld follower_;
  std::vector<Bytes> commits_;
  testing::TempDir folder_;
  CountingClock clock_;
};

TEST_F(ALoad, MakesTheSameRowsWhereverItsMemoryIsFull) {
  write_history();
  const std::vector<std::string> expected = rows_of(follower_.path());
  for (const std::size_t count : {1u, 7u, 50u, 1000u}) {
    SCOPED_TRACE(count);
    const std::string name = std::to_string(count);
    const Result<void> loaded = load(path(name), commits_, {.files_sorted = count, .pieces_sorted = count});
    ASSERT_TRUE(loaded) << loaded.error().what;
    EXPECT_EQ(rows_of(path(name)), expected);
  }
}

// Claim: of a piece whose last place is gone nothing is left, also where its place before that was written already.
TEST_F(ALoad, ForgetsAPieceWithTheChunkThatItWasIn) {
  for (int i = 0; i < 3; ++i) {
    const InodeId file = writer_.file("f" + std::to_string(i));
    const ChunkKey chunk = writer_.spooled_chunk(1000);
    Content content;
    content.extents = {{FileOffset(0), 100, chunk, 0, id_of<PieceId>(7)}};
    ASSERT_TRUE(writer_->record(file, content));
    writer_.store(chunk);
    for (Bytes& commit : writer_.commit_all()) commits_.push_back(std::move(commit));
    if (i == 2) {
      ASSERT_EQ(writer_.unlink("f2"), 0);
    }
  }
  for (int i = 0; i < 3; ++i) {
    for (Bytes& commit : writer_.commit_all()) commits_.push_back(std::move(commit));
  }
  follow();
  ASSERT_EQ(follower_.sql("SELECT count(*) FROM chunk"), 2);
  ASSERT_EQ(follower_.sql("SELECT count(*) FROM piece"), 0);
  for (const std::size_t count : {2u, 3u, 100u}) {
    SCOPED_TRACE(count);
    const std::string name = std::to_string(count);
    ASSERT_TRUE(load(path(name), commits_, {.pieces_sorted = count}));
    EXPECT_EQ(rows_of(path(name)), rows_of(follower_.path()));
  }
}

TEST_F(ALoad, IsNoTreeBeforeItsEndAndBeginsAnewAfterAKill) {
  write_history();
  const std::string other = path("other");
  {
    const auto loading = Load::begin(path(), clock_, os::real_disk(), {.pieces_sorted = 20});
    ASSERT_TRUE(loading) << loading.error().what;
    ASSERT_TRUE(load_into(**loading, std::span(commits_).first(3)));
    EXPECT_FALSE(is_there("loaded.db"));
    std::filesystem::copy_file(path("loaded.db.loading"), other + ".loading");  // What a kill would leave.
    std::ofstream(other + ".loading-wal") << "left";
  }
  EXPECT_FALSE(is_there("loaded.db.loading"));
  const Result<void> loaded = load(other, commits_);
  ASSERT_TRUE(loaded) << loaded.error().what;
  EXPECT_EQ(rows_of(other), rows_of(follower_.path()));
  EXPECT_FALSE(is_there("other.loading"));
  EXPECT_FALSE(is_there("other.loading-wal"));
}

// Claim: what is left of a tree whose file is gone is not taken for a part of the new one.
TEST_F(ALoad, IsNotMixedWithTheJournalOfATreeThatWasThereBefore) {
  write_history();
  TreeWorld before;
  before.file("of another time");
  ASSERT_TRUE(before->power_safe());
  before.kill_and_open();
  for (const char* end : {"-wal", "-redo"}) {
    ASSERT_TRUE(std::filesystem::exists(before.path() + end));
    std::filesystem::copy_file(before.path() + end, path() + end);
  }
  const Result<void> loaded = load(path(), commits_);
  ASSERT_TRUE(loaded) << loaded.error().what;
  EXPECT_EQ(rows_of(path()), rows_of(follower_.path()));
}

TEST_F(ALoad, IsRefusedWhereATreeIs) {
  write_history();
  ASSERT_TRUE(load(path(), commits_));
  EXPECT_EQ(errno_of(load(path(), commits_)), EEXIST);
  EXPECT_EQ(rows_of(path()), rows_of(follower_.path()));
}

TEST_F(ALoad, TakesNoCommitOutOfItsTurn) {
  write_history();
  ASSERT_GE(commits_.size(), 3u);
  std::swap(commits_[1], commits_[2]);
  const Result<void> loaded = load(path(), commits_);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().fault, Fault::corrupt);
  EXPECT_FALSE(is_there("loaded.db"));
  EXPECT_FALSE(is_there("loaded.db.loading"));
}

TEST_F(ALoad, IsATreeToWorkOn) {
  write_history();
  ASSERT_TRUE(load(path(), commits_));
  DroppedChunks dropped;
  {
    const auto tree = Tree::open(path(), clock_, dropped);
    ASSERT_TRUE(tree) << tree.error().what;
    ASSERT_TRUE((*tree)->take_over());
    ASSERT_TRUE((*tree)->create(kRootInode, "new", {.mode = S_IFREG | 0644}));
    EXPECT_TRUE(*(*tree)->find_piece(id_of<PieceId>(1)));
  }
  const auto again = Tree::open(path(), clock_, dropped);
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_TRUE((*again)->lookup(kRootInode, "new"));
  EXPECT_TRUE((*again)->resolve("d0/f1"));
}

}  // namespace
}  // namespace coffer::meta
