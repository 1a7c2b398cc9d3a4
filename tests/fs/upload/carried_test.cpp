// What goes to the server together with the commit that names it.
#include <cerrno>

#include "tests/fs/upload/upload_world.h"

namespace coffer::upload {
namespace {

// Claim: the few bytes that an fsync waits for reach the server with the commit that names them, and are cache then.
TEST_F(UploaderTest, SendsALittleThatSomebodyWaitsForTogetherWithItsCommit) {
  start_carrying();
  const File file = add_sealed_file("file", 3, 1000);
  ASSERT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
  for (const object::ChunkId& id : file.chunks) EXPECT_EQ(server_.puts_of(id), 0);
  EXPECT_FALSE(server_.commit_before_chunk());
  EXPECT_TRUE(all_committed());
  EXPECT_EQ(*tree_->level(file.inode), Level::committed);
  EXPECT_EQ(spool_->owed_bytes(), 0u);
  EXPECT_TRUE(tree_->carried()->empty());

  const File large = add_sealed_file("large", 1, 100'000);
  ASSERT_TRUE(uploader_->wait_committed(large.inode, in(20s), {}));
  EXPECT_EQ(server_.puts_of(large.chunks.front()), 1) << "more than a commit takes along";
}

// Claim: until the server has answered, what went along is owed like all else, also over a restart that finds the
// spool without it, and the same commit goes again with it.
TEST_F(UploaderTest, OwesWhatWentAlongUntilTheServerHasAnswered) {
  start_carrying();
  server_.refuse_carried(Error{Fault::offline, ETIMEDOUT, "the connection broke"});
  const File file = add_sealed_file("file", 1, 1000);
  EXPECT_EQ(uploader_->wait_committed(file.inode, in(300ms), {}).error().fault, Fault::offline);
  EXPECT_EQ(*tree_->level(file.inode), Level::spooled);
  EXPECT_EQ(tree_->owed()->chunks, 1u);
  EXPECT_GT(spool_->owed_bytes(), 0u);
  restart_process();
  EXPECT_EQ(*tree_->level(file.inode), Level::spooled);
  EXPECT_GT(spool_->owed_bytes(), 0u);
  ASSERT_EQ(tree_->carried()->size(), 1u);
  EXPECT_EQ(tree_->carried()->front().row.id, file.chunks.front());
  EXPECT_EQ(object::ChunkId(crypto::sha256(*tree_->carried()->front().sealed)), file.chunks.front());

  server_.refuse_carried(std::nullopt);
  start();
  ASSERT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
  EXPECT_FALSE(server_.commit_before_chunk());
  EXPECT_EQ(server_.puts_of(file.chunks.front()), 0);
  EXPECT_EQ(spool_->owed_bytes(), 0u);
}

// Claim: a server that takes nothing along, such as an older one in the place of this one, gets the chunks before the
// commit that was drafted with them.
TEST_F(UploaderTest, SendsWhatWentAlongByItselfToAServerThatTakesNothingAlong) {
  start_carrying();
  server_.refuse_carried(Error{Fault::offline, ETIMEDOUT, "the connection broke"});
  const File file = add_sealed_file("file", 1, 1000);
  EXPECT_FALSE(uploader_->wait_committed(file.inode, in(300ms), {}));
  server_.carry(0);
  ASSERT_TRUE(uploader_->wait_committed(file.inode, in(20s), {}));
  EXPECT_GE(server_.puts_of(file.chunks.front()), 1);
  EXPECT_FALSE(server_.commit_before_chunk());
}

// Claim: where a commit with its chunks finds no room, they go by themselves, and whoever waits hears of it.
TEST_F(UploaderTest, TellsWhoWaitsThatWhatWentAlongFoundNoRoom) {
  start_carrying();
  const Error full{Fault::refused, EDQUOT, "server: the vault's quota is used up"};
  server_.refuse_carried(full);
  const File file = add_sealed_file("file", 1, 1000);
  ASSERT_TRUE(uploader_->wait_committed(file.inode, in(20s), {})) << "by itself it has room";
  EXPECT_EQ(server_.puts_of(file.chunks.front()), 1);
  server_.refuse_all(full);
  const File other = add_sealed_file("other", 1, 1000);
  EXPECT_EQ(uploader_->wait_committed(other.inode, in(20s), {}).error().code, EDQUOT);
  EXPECT_EQ(*tree_->level(other.inode), Level::spooled);
}

}  // namespace
}  // namespace coffer::upload
