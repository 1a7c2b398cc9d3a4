#include "fs/upload/uploader.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <thread>

#include "tests/fs/upload/upload_world.h"

namespace coffer::upload {
namespace {

TEST_F(UploaderTest, CommitsWhatIsOwedAndNeverBeforeItsChunksAreStored) {
  start();
  for (int i = 0; i < 20; ++i) add_file("file" + std::to_string(i), 3);
  ASSERT_TRUE(uploader_->wait_all_committed(in(20s), {}));
  EXPECT_TRUE(all_committed());
  EXPECT_EQ(server_.stored_count(), 60);
  EXPECT_FALSE(server_.commit_before_chunk());
}

// Claim: a commit for which the server has no room is shown, tells nothing about the lease, and is sent again.
TEST_F(UploaderTest, GoesOnWithACommitThatFoundNoRoom) {
  start();
  server_.refuse_commits(Error{Fault::refused, ENOSPC, "server: the disk is full"});
  add_file("file", 1);
  ASSERT_TRUE(testing::eventually([&] { return !uploader_->progress().problems.empty(); }));
  EXPECT_EQ(uploader_->progress().problems.front(), "server: the disk is full");
  EXPECT_FALSE(doubted_);
  server_.refuse_commits(std::nullopt);
  ASSERT_TRUE(uploader_->wait_all_committed(in(20s), {}));
  EXPECT_TRUE(all_committed());
  EXPECT_TRUE(uploader_->progress().problems.empty());
}

TEST_F(UploaderTest, SendsNothingThatIsStoredASecondTimeAfterARestart) {
  start();
  // The server stores them, and the client never hears of it.
  server_.lose_answers(true);
  const File file = add_file("file", 5);
  ASSERT_TRUE(testing::eventually([&] { return server_.stored_count() == 5; }));
  stop();
  std::map<object::ChunkId, unsigned> before;
  for (const object::ChunkId& id : file.chunks) before[id] = server_.puts_of(id);

  server_.lose_answers(false);
  restart_process();
  start();
  ASSERT_TRUE(uploader_->wait_all_committed(in(20s), {}));
  for (const object::ChunkId& id : file.chunks) EXPECT_EQ(server_.puts_of(id), before[id]);
  EXPECT_EQ(uploader_->progress().chunks_skipped, 5);
  EXPECT_EQ(uploader_->progress().chunks_sent, 0);
}

// Claim: what the server has of a chunk, from an earlier process or after a NACK, is not sent again; what it cannot
// have of it is no offset.
TEST_F(UploaderTest, GoesOnWithAChunkFromWhereTheServerHasIt) {
  const File file = add_file("file", 2);
  server_.received(file.chunks[0], 70'000);
  server_.received(file.chunks[1], 7'000'000);
  start();
  ASSERT_TRUE(uploader_->wait_all_committed(in(20s), {}));
  EXPECT_EQ(server_.last_offset_of(file.chunks[0]), 70'000);
  EXPECT_EQ(server_.last_offset_of(file.chunks[1]), 0);

  uploader_->set_epoch(std::nullopt);
  const File damaged = add_file("damaged", 1);
  server_.received(damaged.chunks[0], 65'536);
  server_.refuse(damaged.chunks[0], {Fault::corrupt, 0, "good up to byte 65536"});
  uploader_->set_epoch(1);
  ASSERT_TRUE(testing::eventually([&] { return server_.puts_of(damaged.chunks[0]) == 3; }));
  EXPECT_EQ(server_.last_offset_of(damaged.chunks[0]), 65'536);
}

TEST_F(UploaderTest, WakesWhoWaitsForAFileAsSoonAsItIsCommitted) {
  start();
  const File file = add_file("file", 1);
  const auto began = steady_clock::now();
  ASSERT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
  EXPECT_TRUE(*tree_->committed(file.inode));
  EXPECT_LT(steady_clock::now() - began, 5s);
}

// Claim: when the last chunk is stored nothing is waited for any more. Method: of 20 waits the shortest, since others
// use the machine too; each would take 10 ms at least if it ended with a look at intervals.
TEST_F(UploaderTest, CommitsAsSoonAsTheLastChunkIsStored) {
  start();
  auto shortest = steady_clock::duration::max();
  for (int i = 0; i < 20; ++i) {
    const File file = add_file("file" + std::to_string(i), 1);
    const auto began = steady_clock::now();
    ASSERT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
    shortest = std::min(shortest, steady_clock::now() - began);
  }
  EXPECT_LT(shortest, 8ms);
}

// Claim: names that nobody waits for are committed all the same, also those that are made right after a commit.
TEST_F(UploaderTest, CommitsNamesThatNobodyWaitsFor) {
  start();
  ASSERT_TRUE(uploader_->wait_committed(add_file("file", 1).inode, in(20s), {}));
  for (const char* name : {"one", "two"}) {
    const std::size_t before = server_.commit_count();
    meta::NewInode folder;
    folder.mode = S_IFDIR | 0755;
    ASSERT_TRUE(tree_->create(kRootInode, name, folder));
    uploader_->wake_commits();
    EXPECT_TRUE(testing::eventually([&] { return server_.commit_count() > before; })) << name;
  }
}

// Claim: what nobody waits for, and is removed within a moment, is never sent; who waits has it sent at once.
TEST_F(UploaderTest, SendsNothingThatIsRemovedSoonUnlessSomebodyWaits) {
  start();
  const File first = add_file("first", 1);
  ASSERT_TRUE(uploader_->wait_committed(first.inode, in(20s), {}));
  std::unique_ptr<Uploader> uploader = std::move(uploader_);  // add_file() tells nobody now.
  const File journal = add_file("journal", 1);
  uploader->wake_within(3s);
  meta::NewInode folder;
  folder.mode = S_IFDIR | 0755;
  ASSERT_TRUE(tree_->create(kRootInode, "folder", folder));
  uploader->wake_commits();
  // Within the second that a commit waits; a chunk that is wanted at once is sent before it.
  ASSERT_TRUE(testing::eventually([&] { return server_.commit_count() >= 2; }));
  EXPECT_EQ(server_.puts_of(journal.chunks[0]), 0u);
  ASSERT_TRUE(tree_->unlink(kRootInode, "journal"));

  const File kept = add_file("kept", 1);
  uploader->wake_within(3s);
  ASSERT_TRUE(uploader->wait_all_committed(in(20s), {}));
  EXPECT_EQ(server_.puts_of(kept.chunks[0]), 1u);
  EXPECT_EQ(server_.puts_of(journal.chunks[0]), 0u);
  const File later = add_file("later", 1);
  uploader->wake_within(3s);
  EXPECT_TRUE(testing::eventually([&] { return server_.puts_of(later.chunks[0]) == 1; })) << "soon is not never";
  uploader->stop();
}

TEST_F(UploaderTest, GivesUpWaitingAtTheDeadlineAndKeepsWhatIsOwed) {
  server_.set_online(false);
  start();
  const File file = add_file("file", 1);
  const Result<void> waited = uploader_->wait_committed(file.inode, in(50ms), {});
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().fault, Fault::offline);
  EXPECT_EQ(waited.error().code, ETIMEDOUT);
  EXPECT_EQ(tree_->owed()->chunks, 1);
}

// Claim: whoever waits for a commit, of one file or of all, has the link tried sooner, and only for as long as he
// waits.
TEST_F(UploaderTest, HasTheLinkTriedSoonerWhileSomebodyWaits) {
  server_.set_online(false);
  start();
  const File file = add_file("file", 1);
  EXPECT_EQ(server_.waiting(), 0);
  std::stop_source stop;
  {
    const std::jthread one([&] { (void)uploader_->wait_committed(file.inode, in(60s), stop.get_token()); });
    const std::jthread all([&] { (void)uploader_->wait_all_committed(in(60s), stop.get_token()); });
    EXPECT_TRUE(testing::eventually([&] { return server_.waiting() == 2; }));
    stop.request_stop();
  }
  EXPECT_EQ(server_.waiting(), 0);
}

TEST_F(UploaderTest, EndsAWaitWhoseCallerWasInterrupted) {
  server_.set_online(false);
  start();
  const File file = add_file("file", 1);
  std::stop_source stop;
  stop.request_stop();
  const Result<void> waited = uploader_->wait_committed(file.inode, in(20s), stop.get_token());
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().fault, Fault::stopped);
}

TEST_F(UploaderTest, GoesOnWhenTheLinkIsBack) {
  server_.set_online(false);
  start();
  const File file = add_file("file", 4);
  server_.set_online(true);
  uploader_->link_changed();
  EXPECT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
}

TEST_F(UploaderTest, SendsNothingWithoutALease) {
  start();
  uploader_->set_epoch(std::nullopt);
  const File file = add_file("file", 1);
  EXPECT_FALSE(uploader_->wait_committed(file.inode, in(50ms), {}));
  EXPECT_EQ(server_.commit_count(), 0);
  uploader_->set_epoch(2);
  EXPECT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
  const object::Commit commit = *object::decode_commit(server_.first_commit());
  EXPECT_EQ(commit.epoch, 2u);
  EXPECT_TRUE(sealer_.open_payload(commit, seal::kPayloadPlainBytesMax)) << "it is sealed anew too";
}

// Claim: a chunk that arrives damaged is sent three times, then shown as a problem, and holds up no other file.
TEST_F(UploaderTest, SendsARefusedChunkThreeTimesThenShowsItWhileOthersGoOn) {
  start();
  uploader_->set_epoch(std::nullopt);
  const File bad = add_file("bad", 1);
  server_.refuse(bad.chunks[0], {Fault::corrupt, EIO, "SHA-256 does not match"});
  uploader_->set_epoch(1);
  ASSERT_TRUE(testing::eventually([&] { return !uploader_->progress().problems.empty(); }));
  EXPECT_EQ(server_.puts_of(bad.chunks[0]), 3);
  const File good = add_file("good", 2);
  EXPECT_TRUE(uploader_->wait_committed(good.inode, in(20s), {}));
  EXPECT_EQ(server_.puts_of(bad.chunks[0]), 3);
  EXPECT_FALSE(*tree_->committed(bad.inode));
}

// Claim: who waits for a chunk that cannot be sent is told at once, and again until it goes after all.
TEST_F(UploaderTest, TellsWhoWaitsThatAChunkCannotBeSentUntilItGoes) {
  std::atomic<bool> has_failed{false};
  Hooks hooks;
  hooks.flush_all = hooks.seal_open_chunks = [] { return Result<void>(); };
  hooks.lease_doubted = [](const Error&) {};
  hooks.chunk_failed = [&](const ChunkRow&, const std::optional<Error>& error) { has_failed = error.has_value(); };
  hooks.failure_of = [&](InodeId) -> std::optional<Error> {
    if (!has_failed) return std::nullopt;
    return Error{Fault::corrupt, EIO, "damaged three times"};
  };
  Uploader uploader(Parts{*tree_, *spool_, sealer_, server_, vault_}, hooks);
  const File bad = add_file("bad", 1);
  server_.refuse(bad.chunks[0], {Fault::corrupt, EIO, "SHA-256 does not match"});
  uploader.set_epoch(1);
  uploader.start();
  const Result<void> waited = uploader.wait_committed(bad.inode, in(20s), {});
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().what, "damaged three times");
  EXPECT_EQ(uploader.wait_all_committed(in(20s), {}).error().what, "damaged three times");
  const File good = add_file("good", 1);
  uploader.wake();
  EXPECT_TRUE(testing::eventually([&] { return *tree_->committed(good.inode); }));

  // Its file is gone: nothing is left that could fail.
  ASSERT_TRUE(tree_->unlink(kRootInode, "bad"));
  uploader.wake();
  EXPECT_TRUE(testing::eventually([&] { return !has_failed; }));
  EXPECT_TRUE(uploader.progress().problems.empty());
  uploader.stop();
}

// Claim: a commit that the server will not take as it is stays owed, is told to who waits, and is tried again.
TEST_F(UploaderTest, TellsWhoWaitsThatTheServerRefusesTheCommit) {
  server_.refuse_commits(Error{Fault::refused, EINVAL, "the commit is malformed"});
  start();
  const File file = add_file("file", 1);
  const Result<void> waited = uploader_->wait_committed(file.inode, in(20s), {});
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().fault, Fault::refused);
  EXPECT_THAT(waited.error().what, ::testing::HasSubstr("malformed"));
  EXPECT_FALSE(doubted_.load());
  EXPECT_FALSE(*tree_->committed(file.inode));
  server_.refuse_commits(std::nullopt);
  EXPECT_TRUE(testing::eventually([&] { return *tree_->committed(file.inode); }));
}

// Claim: an fsync(2) that can never be answered, as this machine's disk has failed, does not wait for its deadline.
TEST_F(UploaderTest, TellsWaitersThatThisMachinesDiskHasFailed) {
  const File file = add_file("file", 1);
  disk_.fail_syncs(EIO);
  start();  // Only now: its first draft would find the disk failed, and the tree take no file any more.
  const Result<void> waited = uploader_->wait_committed(file.inode, in(20s), {});
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().fault, Fault::local_io) << waited.error().what;
  EXPECT_EQ(waited.error().code, EIO);
  EXPECT_EQ(server_.commit_count(), 0) << "it might come back as another's after a power cut";
}

TEST_F(UploaderTest, TellsWaitersThatTheQuotaIsFull) {
  server_.refuse_all(Error{Fault::full, EDQUOT, "the vault's quota is used up"});
  start();
  const File file = add_file("file", 1);
  const Result<void> waited = uploader_->wait_committed(file.inode, in(20s), {});
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, EDQUOT);
  EXPECT_THAT(uploader_->progress().problems, ::testing::ElementsAre("the vault's quota is used up"));
}

// Claim: the quota is a problem for as long as something waits for room, and no longer.
TEST_F(UploaderTest, ForgetsThatTheQuotaIsFullWhenNothingWaitsForRoom) {
  server_.refuse_all(Error{Fault::full, EDQUOT, "the vault's quota is used up"});
  start();
  add_file("file", 1);
  ASSERT_TRUE(testing::eventually([&] { return !uploader_->progress().problems.empty(); }));
  ASSERT_TRUE(tree_->unlink(kRootInode, "file"));
  uploader_->wake();
  EXPECT_TRUE(testing::eventually([&] { return uploader_->progress().problems.empty(); }, 5s));
}

TEST_F(UploaderTest, AsksForTheLeaseAgainWhenACommitIsRefused) {
  server_.refuse_commits(Error{Fault::refused, EROFS, "another lease"});
  start();
  const File file = add_file("file", 1);
  ASSERT_TRUE(testing::eventually([&] { return doubted_.load(); }));
  // The lease's new epoch: what was pending is made anew under it.
  server_.refuse_commits(std::nullopt);
  uploader_->set_epoch(2);
  EXPECT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
}

TEST_F(UploaderTest, TellsWaitersThatTheRightToWriteIsLost) {
  server_.refuse_commits(Error{Fault::refused, EROFS, "another lease"});
  start();
  const File file = add_file("file", 1);
  ASSERT_TRUE(testing::eventually([&] { return doubted_.load(); }));
  uploader_->give_up({Fault::refused, EROFS, "client other writes now"});
  const Result<void> waited = uploader_->wait_committed(file.inode, in(20s), {});
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().what, "client other writes now");
  EXPECT_FALSE(all_committed());
}

TEST_F(UploaderTest, AppendsThePendingCommitOfAnEarlierProcessUnchanged) {
  start();
  server_.refuse_commits(Error{Fault::offline, ETIMEDOUT, "no answer"});
  add_file("file", 1);
  ASSERT_TRUE(testing::eventually([&] { return tree_->owed()->commit_pending; }));
  stop();
  const Bytes pending = **tree_->pending_commit();
  restart_process();
  server_.refuse_commits(std::nullopt);
  start();
  ASSERT_TRUE(uploader_->wait_all_committed(in(20s), {}));
  EXPECT_EQ(server_.first_commit(), pending);  // What came later may be in a second one.
}

TEST_F(UploaderTest, MakesWhatTheServerHasStoredEvictable) {
  start();
  add_file("file", 2);
  ASSERT_TRUE(uploader_->wait_all_committed(in(20s), {}));
  EXPECT_EQ(spool_->owed_bytes(), 0);
}

}  // namespace
}  // namespace coffer::upload
