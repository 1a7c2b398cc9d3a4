#include "common/base/limits.h"
#include "tests/fs/meta/invariants.h"

namespace coffer::meta {
namespace {

/// What commits have told so far, as a follower has it.
class Outbox : public ::testing::Test {
 protected:
  /// Drafts once, acknowledges, and hands the commit to the follower. False if nothing was ready.
  bool commit_once() {
    const Bytes commit = world_.draft(&last_);
    if (commit.empty()) return false;
    world_.done(commit);
    follow(commit);
    return true;
  }
  void commit_all() {
    while (commit_once()) {
    }
    EXPECT_TRUE(world_.owed().nothing());
  }
  void follow(const Bytes& commit) {
    const Result<Changed> applied = follower_.apply(commit);
    ASSERT_TRUE(applied) << applied.error().what;
    if (examines_) expect_invariants(follower_);
  }
  bool follower_has(std::string_view path) { return follower_.inode(path) != InodeId(); }

  TreeWorld world_;
  TreeWorld follower_;
  Draft last_;
  bool examines_ = true;  ///< The invariants' queries are not made for large trees.
};

TEST_F(Outbox, OwesNothingForAFileThatDiesYoung) {
  const InodeId inode = world_.file("tmp");
  const ChunkKey chunk = world_.write(inode, 0, 100);
  EXPECT_EQ(world_.owed().inodes, 2u) << "the file and its folder's times";
  EXPECT_EQ(world_.unlink("tmp"), 0);
  EXPECT_EQ(world_.owed().names, 0u);
  EXPECT_EQ(world_.owed().chunks, 0u);
  EXPECT_EQ(world_.dropped().take(), std::vector{chunk});
  EXPECT_TRUE(world_->owed_chunks(10, nullptr)->empty());
  commit_all();
  EXPECT_TRUE(last_.added.empty());
}

TEST_F(Outbox, OwesNothingForANameThatLeadsBackToWhatIsCommitted) {
  world_.file("a");
  commit_all();
  EXPECT_EQ(world_.rename("a", "b"), 0);
  EXPECT_EQ(world_.owed().names, 2u);
  EXPECT_EQ(world_.rename("b", "a"), 0);
  EXPECT_EQ(world_.owed().names, 0u);
  EXPECT_EQ(world_.unlink("a"), 0);
  EXPECT_EQ(world_.owed().names, 1u);
}

TEST_F(Outbox, CommitsANameOnlyAfterTheContentOfItsFile) {
  const ChunkKey chunk = world_.write(world_.file("f"), 0, 100);
  EXPECT_TRUE(commit_once()) << "the root's times";
  EXPECT_FALSE(commit_once());
  EXPECT_FALSE(follower_has("f"));
  world_.store(chunk);
  commit_all();
  EXPECT_EQ(follower_.stat("f"), world_.stat("f"));
  EXPECT_EQ(last_.added, std::vector{world_.id(chunk)});
}

TEST_F(Outbox, ReplacesAGoodFileOnlyByAWholeOne) {
  world_.store(world_.write(world_.file("f"), 0, 100));
  commit_all();
  const Attributes good = follower_.stat("f");
  const ChunkKey chunk = world_.write(world_.file("new"), 0, 200);
  EXPECT_EQ(world_.rename("new", "f"), 0);
  commit_once();
  EXPECT_EQ(follower_.stat("f").bytes, good.bytes);
  EXPECT_FALSE(follower_has("new"));
  world_.store(chunk);
  commit_all();
  EXPECT_EQ(follower_.stat("f").bytes, 200u);
}

TEST_F(Outbox, CommitsBothNamesOfARenameTogether) {
  const InodeId inode = world_.file("a");
  commit_all();
  const ChunkKey chunk = world_.write(inode, 0, 100);
  EXPECT_EQ(world_.rename("a", "b"), 0);
  commit_once();
  EXPECT_TRUE(follower_has("a")) << "its new name waits for its content";
  EXPECT_FALSE(follower_has("b"));
  world_.store(chunk);
  commit_all();
  EXPECT_FALSE(follower_has("a"));
  EXPECT_TRUE(follower_has("b"));
}

TEST_F(Outbox, NeverTakesTheOnlyCommittedNameAway) {
  const InodeId inode = world_.file("a");
  commit_all();
  const ChunkKey chunk = world_.write(inode, 0, 100);
  EXPECT_EQ(world_.link("a", "b"), 0);
  EXPECT_EQ(world_.unlink("a"), 0);
  EXPECT_EQ(world_.link("b", "c"), 0);
  EXPECT_EQ(world_.unlink("b"), 0);
  commit_once();
  EXPECT_TRUE(follower_has("a"));
  world_.store(chunk);
  commit_all();
  EXPECT_FALSE(follower_has("a"));
  EXPECT_TRUE(follower_has("c"));
}

TEST_F(Outbox, NeverTakesANameAwayThatIsBeingCommitted) {
  const InodeId inode = world_.file("a");
  const Bytes commit = world_.draft();
  EXPECT_EQ(world_.link("a", "b"), 0);
  EXPECT_EQ(world_.unlink("a"), 0);
  world_.done(commit);
  follow(commit);
  const ChunkKey chunk = world_.write(inode, 0, 100);
  while (commit_once()) {
  }
  EXPECT_TRUE(follower_has("a")) << "\"b\" waits for content";
  world_.store(chunk);
  commit_all();
  EXPECT_FALSE(follower_has("a"));
  EXPECT_TRUE(follower_has("b"));
}

TEST_F(Outbox, KeepsAFolderUntilWhatWasMovedOutOfItHasArrived) {
  world_.folder("d");
  const InodeId inode = world_.file("d/f");
  commit_all();
  const ChunkKey chunk = world_.write(inode, 0, 100);
  EXPECT_EQ(world_.rename("d/f", "f"), 0);
  EXPECT_EQ(world_.rmdir("d"), 0);
  commit_once();
  EXPECT_TRUE(follower_has("d/f"));
  world_.store(chunk);
  commit_all();
  EXPECT_FALSE(follower_has("d"));
  EXPECT_TRUE(follower_has("f"));
}

TEST_F(Outbox, PutsNothingBelowAFolderThatHasNoNameYet) {
  const InodeId inode = world_.file("f");
  const InodeId moved = world_.folder("d");
  world_.store(world_.write(inode, 0, 100));
  commit_all();
  // The new folder's name is tied to a file that is not stored: "d" must not go below it before.
  const ChunkKey chunk = world_.write(inode, 0, 200);
  world_.folder("new");
  EXPECT_EQ(world_.rename("new", "f", RenameMode::exchange), 0);
  EXPECT_EQ(world_.rename("d", "f/d"), 0);
  while (commit_once()) {
  }
  EXPECT_EQ(follower_.inode("d"), moved);
  EXPECT_EQ(follower_.inode("f"), inode);
  world_.store(chunk);
  commit_all();
  EXPECT_EQ(follower_.inode("f/d"), moved);
  EXPECT_EQ(follower_.inode("new"), inode);
}

TEST_F(Outbox, MovesFoldersInAnOrderThatMakesNoCircle) {
  const InodeId a = world_.folder("a");
  const InodeId b = world_.folder("a/b");
  const InodeId file = world_.file("f");
  commit_all();
  // The first move shares its group with a name that waits for content, the second one does not.
  const ChunkKey chunk = world_.write(file, 0, 100);
  EXPECT_EQ(world_.rename("a/b", "b"), 0);
  EXPECT_EQ(world_.rename("f", "a/b"), 0);
  EXPECT_EQ(world_.rename("a", "b/a"), 0);
  while (commit_once()) {
  }
  EXPECT_EQ(follower_.inode("a/b"), b);
  world_.store(chunk);
  commit_all();
  EXPECT_EQ(follower_.inode("b/a"), a);
  EXPECT_EQ(follower_.inode("b/a/b"), file);
}

TEST_F(Outbox, DraftsNoFileThatIsHeld) {
  const InodeId inode = world_.file("f");
  world_.store(world_.write(inode, 0, 100));
  commit_all();
  world_->hold(inode, true);
  EXPECT_TRUE(world_->change(inode, {.bytes = 0}));
  EXPECT_EQ(world_.rename("f", "g"), 0);
  const Mark mark = world_->mark();
  while (commit_once()) {
  }
  EXPECT_EQ(follower_.stat("f").bytes, 100u);
  EXPECT_FALSE(*world_->committed_up_to(mark));
  world_->hold(inode, false);
  commit_all();
  EXPECT_EQ(follower_.stat("g").bytes, 0u);
}

// Claim: a file that is held delays no other for which someone waits, however renames bind the two.
// Method: q becomes t and p becomes q, so q's old and new name and p's are committed together; p is held.
TEST_F(Outbox, EndsAHoldForWhoWaitsForAFileThatRenamesBindToIt) {
  const InodeId p = world_.file("p");
  const InodeId q = world_.file("q");
  const InodeId other = world_.file("other");
  world_.store(world_.write(p, 0, 100));
  commit_all();
  EXPECT_EQ(world_.rename("q", "t"), 0);
  EXPECT_EQ(world_.rename("p", "q"), 0);
  world_->hold(p, true);
  EXPECT_TRUE(world_->change(p, {.bytes = 0}));
  EXPECT_TRUE(world_->let_go_for(other)) << "no name binds it";
  while (commit_once()) {
  }
  EXPECT_FALSE(world_.committed(q));
  EXPECT_EQ(follower_.stat("p").bytes, 100u);
  EXPECT_TRUE(world_->let_go_for(q));
  commit_all();
  EXPECT_TRUE(world_.committed(q));
  EXPECT_EQ(follower_.inode("t"), q);
}

TEST_F(Outbox, SendsNothingOfAFileThatIsUnlinkedButOpen) {
  const InodeId inode = world_.file("tmp");
  world_->pin(inode);
  EXPECT_EQ(world_.unlink("tmp"), 0);
  const ChunkKey chunk = world_.write(inode, 0, 100);
  EXPECT_EQ(world_.owed().chunks, 0u);
  commit_all();
  EXPECT_TRUE(world_.committed(inode)) << "nobody is to wait for it";
  EXPECT_EQ(world_.extents(inode).size(), 1u);
  world_->unpin(inode);
  EXPECT_EQ(world_.dropped().take(), std::vector{chunk});
}

TEST_F(Outbox, DeletesWhatIsUnlinkedAfterItsNameIsGone) {
  const InodeId inode = world_.file("f");
  const ChunkKey chunk = world_.write(inode, 0, 100);
  world_.store(chunk);
  commit_all();
  const object::ChunkId id = world_.id(chunk);
  EXPECT_EQ(world_.unlink("f"), 0);
  commit_all();
  EXPECT_EQ(last_.released, std::vector{id});
  EXPECT_EQ(errno_of(follower_->attributes(inode)), ENOENT);
  EXPECT_FALSE(*follower_->chunk_by_id(id));
  EXPECT_FALSE(*world_->chunk_by_id(id));
  EXPECT_EQ(world_.dropped().take(), std::vector{chunk});
}

TEST_F(Outbox, ReleasesAChunkOnlyWhenTheCommittedStateNeedsItNoMore) {
  const InodeId inode = world_.file("f");
  const ChunkKey old_chunk = world_.write(inode, 0, 100);
  world_.store(old_chunk);
  commit_all();
  const ChunkKey new_chunk = world_.write(inode, 0, 100);
  world_.file("other");
  EXPECT_TRUE(commit_once());
  EXPECT_TRUE(last_.released.empty()) << "the committed file still has the old content";
  world_.store(new_chunk);
  const object::ChunkId id = world_.id(old_chunk);
  EXPECT_TRUE(commit_once());
  EXPECT_EQ(last_.released, std::vector{id});
}

TEST_F(Outbox, DropsAChunkThatWasStoredForNothing) {
  const ChunkKey chunk = world_.write(world_.file("f"), 0, 100);
  world_.store(chunk);
  EXPECT_EQ(world_.unlink("f"), 0);
  EXPECT_EQ(world_.dropped().take(), std::vector{chunk});
  commit_all();
  EXPECT_TRUE(last_.added.empty());
  EXPECT_TRUE(last_.released.empty());
}

TEST_F(Outbox, ReleasesAChunkThatDiedWhileItsCommitWasPending) {
  const ChunkKey chunk = world_.write(world_.file("f"), 0, 100);
  world_.store(chunk);
  const object::ChunkId id = world_.id(chunk);
  const Bytes commit = world_.draft();
  EXPECT_EQ(world_.unlink("f"), 0);
  EXPECT_TRUE(world_.dropped().take().empty());
  world_.done(commit);
  follow(commit);
  EXPECT_TRUE(follower_has("f"));
  commit_all();
  EXPECT_FALSE(follower_has("f"));
  EXPECT_EQ(last_.released, std::vector{id});
}

TEST_F(Outbox, DropsAChunkThatDiedWhileItsRefusedCommitWasPending) {
  const ChunkKey chunk = world_.write(world_.file("f"), 0, 100);
  world_.store(chunk);
  EXPECT_FALSE(world_.draft().empty());
  EXPECT_EQ(world_.unlink("f"), 0);
  EXPECT_TRUE(world_->commit_refused());
  EXPECT_EQ(world_.dropped().take(), std::vector{chunk});
  commit_all();
  EXPECT_TRUE(last_.added.empty());
}

TEST_F(Outbox, SendsZerosWhereAFileWasCutAndGrewAgain) {
  const InodeId inode = world_.file("f");
  world_.store(world_.write(inode, 0, 100));
  commit_all();
  EXPECT_TRUE(world_->change(inode, {.bytes = 40}));
  EXPECT_TRUE(world_->change(inode, {.bytes = 100}));
  commit_all();
  ASSERT_EQ(follower_.extents(inode).size(), 1u);
  EXPECT_EQ(follower_.extents(inode)[0].bytes, 40u);
  EXPECT_EQ(follower_.stat("f").bytes, 100u);
}

// ---- the pending commit ---------------------------------------------------------------------------------------------

TEST_F(Outbox, HasOnePendingCommitWhichSurvivesAKill) {
  world_.store(world_.write(world_.file("f"), 0, 100));
  EXPECT_FALSE(*world_->pending_commit());
  const Bytes commit = world_.draft();
  EXPECT_TRUE(world_.owed().commit_pending);
  const Result<std::optional<Bytes>> second =
      world_->draft_commit([](const Draft&) -> Result<Bytes> { return Bytes(1); });
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().fault, Fault::refused);

  world_.kill_and_open();
  EXPECT_EQ(**world_->pending_commit(), commit);
  EXPECT_FALSE(world_.committed(world_.inode("f")));
  world_.done(commit);
  EXPECT_FALSE(*world_->pending_commit());
  EXPECT_TRUE(world_.committed(world_.inode("f")));
  EXPECT_TRUE(world_.owed().nothing());
  EXPECT_EQ(world_->head()->hash, object::hash_of(commit));
}

TEST_F(Outbox, OwesAgainWhatWasRefused) {
  const InodeId inode = world_.file("f");
  world_.store(world_.write(inode, 0, 100));
  const Mark mark = world_->mark();
  EXPECT_FALSE(world_.draft().empty());
  world_.store(world_.write(inode, 50, 100));
  EXPECT_TRUE(world_->commit_refused());
  EXPECT_TRUE(world_->commit_refused()) << "nothing pending is no failure";
  expect_invariants(world_);
  EXPECT_FALSE(*world_->committed_up_to(mark));
  commit_all();
  EXPECT_EQ(follower_.stat("f"), world_.stat("f"));
  EXPECT_EQ(follower_.extents(inode).size(), 2u);
}

TEST_F(Outbox, OwesWhatChangedAfterTheDraft) {
  const InodeId inode = world_.file("f");
  const Bytes commit = world_.draft();
  const Mark drafted = world_->mark();
  EXPECT_TRUE(world_->change(inode, {.mode = 0600}));
  EXPECT_EQ(world_.rename("f", "g"), 0);
  EXPECT_FALSE(*world_->committed_up_to(drafted));
  world_.done(commit);
  follow(commit);
  EXPECT_TRUE(*world_->committed_up_to(drafted));
  EXPECT_FALSE(*world_->committed_up_to(world_->mark()));
  EXPECT_FALSE(world_.committed(inode));
  commit_all();
  EXPECT_EQ(follower_.stat("g"), world_.stat("g"));
}

TEST_F(Outbox, RefusesAReceiptForAnotherCommit) {
  world_.file("f");
  EXPECT_FALSE(world_.draft().empty());
  const Result<void> wrong = world_->commit_done(2, object::CommitHash());
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().fault, Fault::refused);
  EXPECT_TRUE(*world_->pending_commit());
}

TEST_F(Outbox, IsAsBeforeWhenADraftCannotBeSealed) {
  world_.file("f");
  const Result<std::optional<Bytes>> failed = world_->draft_commit([](const Draft&) -> Result<Bytes> {
    return Error{Fault::full, 0, "no room"};
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().fault, Fault::full);
  expect_invariants(world_);
  commit_all();
  EXPECT_TRUE(follower_has("f"));
}

// ---- large drafts ---------------------------------------------------------------------------------------------------

TEST_F(Outbox, CommitsManyFilesInBoundedParts) {
  examines_ = false;
  constexpr int kFiles = 10'000;
  const InodeId folder = world_.folder("d");
  for (int n = 0; n < kFiles; ++n) {
    ASSERT_TRUE(world_->create(folder, "file " + std::to_string(n), {.mode = S_IFREG | 0644}));
  }
  int commits = 0;
  while (commit_once()) {
    ++commits;
    EXPECT_LT(last_.payload.size(), limits::kCommitPayloadBytesMax - (64 << 10));
  }
  EXPECT_GE(commits, 2);
  EXPECT_LE(commits, 8);
  EXPECT_TRUE(world_.owed().nothing());
  EXPECT_EQ(follower_->totals()->files, world_->totals()->files);
}

TEST_F(Outbox, CommitsAFileOfManyExtentsInParts) {
  examines_ = false;
  const InodeId inode = world_.file("f");
  const ChunkKey chunk = world_.spooled_chunk(4096);
  Content content;
  for (std::uint64_t n = 0; n < 60'000; ++n) {
    content.extents.push_back({FileOffset(n * 4096), 4096, chunk, 0, std::nullopt});
  }
  ASSERT_TRUE(world_->record(inode, content));
  world_.store(chunk);
  int commits = 0;
  while (commit_once()) {
    ++commits;
    EXPECT_LT(last_.payload.size(), limits::kCommitPayloadBytesMax - (64 << 10));
    EXPECT_TRUE(!follower_has("f") || world_.owed().nothing()) << "its name waits for the last part";
  }
  EXPECT_GE(commits, 2);
  EXPECT_TRUE(world_.owed().nothing());
  EXPECT_EQ(follower_.extents(inode).size(), 60'000u);
}

TEST_F(Outbox, FindsWhatIsReadyBehindWhatIsBlocked) {
  examines_ = false;
  for (int n = 0; n < 2000; ++n) {
    const std::string name = std::to_string(n);
    world_.file("old" + name);
  }
  commit_all();
  // Each replaces a committed file, and waits for content that is not stored.
  for (int n = 0; n < 2000; ++n) {
    const std::string name = std::to_string(n);
    world_.write(world_.file("new" + name), 0, 10);
    EXPECT_EQ(world_.rename("new" + name, "old" + name), 0);
  }
  world_.file("ready");
  EXPECT_TRUE(commit_once());
  EXPECT_TRUE(follower_has("ready"));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(commit_once());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  world_.store_all();
  commit_all();
  EXPECT_EQ(follower_->totals()->files, world_->totals()->files);
}

// ---- what is told ---------------------------------------------------------------------------------------------------

TEST_F(Outbox, TellsTheLevelOfAFile) {
  const InodeId inode = world_.file("f");
  const ChunkKey chunk = world_.write(inode, 0, 100);
  EXPECT_EQ(*world_->level(inode), Level::spooled);
  world_.store(chunk);
  EXPECT_EQ(*world_->level(inode), Level::stored);
  commit_all();
  EXPECT_EQ(*world_->level(inode), Level::committed);
  EXPECT_FALSE(*world_->verified_since(inode));
  EXPECT_TRUE(world_->set_verified(std::vector{world_.id(chunk)}, 1234));
  EXPECT_EQ(*world_->level(inode), Level::verified);
  EXPECT_EQ(**world_->verified_since(inode), 1234);
  EXPECT_TRUE(world_->forget_verified(world_.id(chunk)));
  EXPECT_EQ(*world_->level(inode), Level::committed);
  EXPECT_EQ(world_.rename("f", "g"), 0);
  EXPECT_EQ(*world_->level(inode), Level::stored);
}

TEST_F(Outbox, CountsAFileAsCommittedOnlyWithTheNamesAboveIt) {
  const InodeId folder = world_.folder("d");
  const InodeId inode = world_.file("d/f");
  commit_all();
  EXPECT_TRUE(world_.committed(inode));
  EXPECT_EQ(world_.rename("d", "e"), 0);
  EXPECT_FALSE(world_.committed(inode));
  EXPECT_FALSE(world_.committed(folder));
  commit_all();
  EXPECT_TRUE(world_.committed(inode));
  world_.file("e/other");
  EXPECT_TRUE(world_.committed(inode)) << "a sibling is no matter of its own";
  const ChunkKey chunk = world_.write(world_.inode("e/other"), 0, 100);
  while (commit_once()) {
  }
  EXPECT_FALSE(world_.committed(folder)) << "but one of the folder, which fsync(2) of it waits for";
  world_.store(chunk);
  commit_all();
  EXPECT_TRUE(world_.committed(folder));
}

TEST_F(Outbox, TellsWhatIsOwedAndSinceWhen) {
  EXPECT_FALSE(world_.owed().since_ns);
  const InodeId inode = world_.file("f");
  const std::int64_t since = *world_.owed().since_ns;
  world_.clock().advance(std::chrono::seconds(5));
  world_.write(inode, 0, 100);
  EXPECT_EQ(*world_.owed().since_ns, since);
  EXPECT_EQ(world_.owed().inodes, 2u);
  EXPECT_EQ(world_.owed().names, 1u);
  EXPECT_EQ(world_.owed().chunks, 1u);
  EXPECT_EQ(world_.owed().chunk_bytes, 200u);
}

TEST_F(Outbox, CountsMarksUpWithEveryChange) {
  const Mark before = world_->mark();
  const InodeId inode = world_.file("f");
  const Mark made = world_->mark();
  EXPECT_GT(made, before);
  EXPECT_EQ(errno_of(world_->create(kRootInode, "f", {.mode = S_IFREG})), EEXIST);
  EXPECT_EQ(world_->mark(), made);
  const ChunkKey chunk = world_.spooled_chunk(10);
  const Mark recorded = *world_.record(inode, 0, 10, chunk, 0);
  EXPECT_EQ(recorded, world_->mark());
  EXPECT_TRUE(*world_->committed_up_to(before));
  EXPECT_FALSE(*world_->committed_up_to(made));
  world_.kill_and_open();
  EXPECT_GT(world_->mark(), made);
}

TEST_F(Outbox, SurvivesWhatPowerSafeIsFor) {
  world_.file("f");
  EXPECT_TRUE(world_->power_safe());
  world_.kill_and_open();
  EXPECT_NE(world_.inode("f"), InodeId());
}

}  // namespace
}  // namespace coffer::meta
