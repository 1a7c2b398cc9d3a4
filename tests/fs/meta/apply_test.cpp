#include <atomic>
#include <thread>

#include "fs/meta/tree_ops.pb.h"
#include "tests/fs/meta/invariants.h"

namespace coffer::meta {
namespace {

class Apply : public ::testing::Test {
 protected:
  ops::TreeOps message() {
    ops::TreeOps ops;
    ops.set_version(1);
    ops.set_inode_next(100);
    return ops;
  }
  ops::Inode& add_inode(ops::TreeOps& ops, std::uint64_t inode, std::uint32_t mode) {
    ops::Inode& record = *ops.add_inodes();
    record.set_inode(inode);
    record.set_mode(mode);
    return record;
  }
  void add_name(ops::TreeOps& ops, std::uint64_t parent, const std::string& name, std::uint64_t inode) {
    ops::Name& record = *ops.add_names();
    record.set_parent(parent);
    record.set_name(name);
    record.set_inode(inode);
  }
  void add_chunk(ops::TreeOps& ops, std::uint64_t number, std::uint32_t plain_bytes) {
    ops::Chunk& record = *ops.add_chunks();
    record.set_id(std::string(as_text(world_.chunk_id(number).bytes())));
    record.set_sealed_bytes(plain_bytes + 10);
    record.set_plain_bytes(plain_bytes);
  }
  Result<Changed> apply(const ops::TreeOps& ops, const std::vector<object::ChunkId>& released = {}) {
    return apply(ops.SerializeAsString(), released);
  }
  Result<Changed> apply(const std::string& payload, const std::vector<object::ChunkId>& released = {}) {
    const Head head = *world_->head();
    object::Commit commit{.vault = {},
                          .seq = head.seq + 1,
                          .previous = head.hash,
                          .epoch = 1,
                          .added = {},
                          .released = released,
                          .payload = {}};
    return world_->apply(commit, as_bytes(payload), id_of<object::CommitHash>(commit.seq));
  }
  /// Applies what must be refused as malformed, and leaves everything as it was.
  void expect_corrupt(const ops::TreeOps& ops) {
    const Head before = *world_->head();
    const Result<Changed> applied = apply(ops);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().fault, Fault::corrupt) << applied.error().what;
    EXPECT_EQ(*world_->head(), before);
    expect_invariants(world_);
  }

  TreeWorld world_;
};

TEST_F(Apply, PutsInodesContentAndNames) {
  ops::TreeOps ops = message();
  add_chunk(ops, 1, 1000);
  ops::Inode& file = add_inode(ops, 7, S_IFREG | 0640);
  file.set_bytes(500);
  file.set_uid(5);
  file.set_mtime_ns(-3);
  ops::ContentRange& content = *file.add_content();
  content.set_begin(100);
  content.set_end(400);
  ops::Extent& extent = *content.add_extents();
  extent.set_gap(10);
  extent.set_bytes(50);
  extent.set_chunk_offset(900);
  extent.set_piece(std::string(as_text(id_of<PieceId>(3).bytes())));
  ops::Xattr& xattr = *file.add_xattrs();
  xattr.set_name("user.x");
  xattr.set_value("v");
  add_inode(ops, 8, S_IFDIR | 0755);
  add_inode(ops, 9, S_IFLNK | 0777).set_symlink_target("there");
  add_name(ops, 1, "d", 8);
  add_name(ops, 8, "f", 7);
  add_name(ops, 1, "g", 7);
  add_name(ops, 1, "l", 9);
  const Result<Changed> changed = apply(ops);
  ASSERT_TRUE(changed) << changed.error().what;
  EXPECT_EQ(changed->names.size(), 4u);

  const Attributes row = world_.stat("d/f");
  EXPECT_EQ(row.inode, InodeId(7));
  EXPECT_EQ(row.links, 2u);
  EXPECT_EQ(row.bytes, 500u);
  EXPECT_EQ(row.allocated_bytes, 50u);
  EXPECT_EQ(row.uid, 5u);
  EXPECT_EQ(row.mtime_ns, -3);
  EXPECT_EQ(*world_->xattr(row.inode, "user.x"), "v");
  EXPECT_EQ(*world_->symlink_target(InodeId(9)), "there");
  ASSERT_EQ(world_.extents(row.inode).size(), 1u);
  EXPECT_EQ(world_.extents(row.inode)[0].at, FileOffset(110));
  EXPECT_EQ(world_.stat("/").links, 3u);
  EXPECT_EQ(**world_->find_piece(id_of<PieceId>(3)), (PieceAt{world_.extents(row.inode)[0].chunk, 900, 50}));
  EXPECT_TRUE(world_.owed().nothing());
  EXPECT_EQ(*world_->level(row.inode), Level::committed);
  EXPECT_GE(world_.file("mine").value(), 100u) << "numbers are not used twice";
  expect_invariants(world_);
}

TEST_F(Apply, RefusesWhatIsNotWellFormed) {
  EXPECT_EQ(apply(std::string("\xff\xff\xff")).error().fault, Fault::corrupt);
  {
    ops::TreeOps ops = message();
    add_inode(ops, 100, S_IFREG);  // Not below inode_next.
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    add_inode(ops, 0, S_IFREG);
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    add_name(ops, 1, "x", 5);  // Leads nowhere.
    expect_corrupt(ops);
  }
  for (const char* name : {"", ".", "..", "a/b"}) {
    ops::TreeOps ops = message();
    add_inode(ops, 5, S_IFREG);
    add_name(ops, 1, name, 5);
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    add_inode(ops, 5, S_IFREG);
    add_inode(ops, 6, S_IFREG);
    add_name(ops, 5, "in a file", 6);
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    add_inode(ops, 5, S_IFDIR);
    add_name(ops, 1, "a", 5);
    add_name(ops, 1, "b", 5);
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    add_name(ops, 1, "root", 1);
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    ops.add_deleted(1);
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    add_inode(ops, 5, S_IFREG);
    add_name(ops, 1, "a", 5);
    ops.add_deleted(5);
    expect_corrupt(ops);
  }
  {
    ops::TreeOps ops = message();
    add_inode(ops, 1, S_IFREG);  // The root becomes a file.
    expect_corrupt(ops);
  }
}

TEST_F(Apply, RefusesContentThatFitsNothing) {
  const auto with_extent = [&](std::uint64_t begin, std::uint64_t end, std::uint64_t gap, std::uint32_t bytes,
                               std::uint32_t chunk, std::uint32_t offset) {
    ops::TreeOps ops = message();
    add_chunk(ops, 1, 100);
    ops::Inode& file = add_inode(ops, 5, S_IFREG);
    file.set_bytes(1000);
    ops::ContentRange& content = *file.add_content();
    content.set_begin(begin);
    content.set_end(end);
    ops::Extent& extent = *content.add_extents();
    extent.set_gap(gap);
    extent.set_bytes(bytes);
    extent.set_chunk(chunk);
    extent.set_chunk_offset(offset);
    return ops;
  };
  expect_corrupt(with_extent(0, 1001, 0, 10, 0, 0));
  expect_corrupt(with_extent(10, 5, 0, 10, 0, 0));
  expect_corrupt(with_extent(0, 10, 1, 10, 0, 0));
  expect_corrupt(with_extent(0, 10, ~std::uint64_t{0}, 10, 0, 0));
  expect_corrupt(with_extent(0, 10, 0, 0, 0, 0));
  expect_corrupt(with_extent(0, 10, 0, 10, 1, 0));
  expect_corrupt(with_extent(0, 10, 0, 10, 0, 91));
  expect_corrupt(with_extent(0, 10, 0, 10, 0, ~std::uint32_t{0}));
  EXPECT_TRUE(apply(with_extent(0, 10, 0, 10, 0, 90)));
  ops::TreeOps folder = message();
  add_inode(folder, 6, S_IFDIR).add_content();
  expect_corrupt(folder);
}

TEST_F(Apply, RefusesAChunkThatChangesItsSizeAndAnInodeThatChangesItsType) {
  ops::TreeOps ops = message();
  add_chunk(ops, 1, 100);
  add_inode(ops, 5, S_IFREG);
  add_name(ops, 1, "f", 5);
  ASSERT_TRUE(apply(ops));
  ops::TreeOps other_size = message();
  add_chunk(other_size, 1, 101);
  expect_corrupt(other_size);
  ops::TreeOps other_type = message();
  add_inode(other_type, 5, S_IFDIR);
  expect_corrupt(other_type);
}

TEST_F(Apply, RefusesACommitOfANewerVersion) {
  ops::TreeOps ops = message();
  ops.set_version(2);
  const Result<Changed> applied = apply(ops);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().fault, Fault::refused);
}

TEST_F(Apply, RefusesWhatDoesNotFollow) {
  object::Commit commit{.vault = {}, .seq = 2, .previous = {}, .epoch = 1, .added = {}, .released = {}, .payload = {}};
  const std::string payload = message().SerializeAsString();
  EXPECT_EQ(world_->apply(commit, as_bytes(payload), {}).error().fault, Fault::corrupt);
  commit.seq = 1;
  commit.previous = id_of<object::CommitHash>(5);
  EXPECT_EQ(world_->apply(commit, as_bytes(payload), {}).error().fault, Fault::corrupt);
}

TEST_F(Apply, RefusesWhileTheTreeHasChangesOfItsOwn) {
  world_.file("mine");
  EXPECT_EQ(apply(message()).error().fault, Fault::refused);
  EXPECT_FALSE(world_.draft().empty());
  EXPECT_EQ(apply(message()).error().fault, Fault::refused);
  EXPECT_NE(world_.inode("mine"), InodeId());
}

TEST_F(Apply, ForgetsReleasedChunks) {
  ops::TreeOps ops = message();
  add_chunk(ops, 1, 100);
  ASSERT_TRUE(apply(ops));
  EXPECT_TRUE(*world_->chunk_by_id(world_.chunk_id(1)));
  ASSERT_TRUE(apply(message(), {world_.chunk_id(1), world_.chunk_id(2)}));
  EXPECT_FALSE(*world_->chunk_by_id(world_.chunk_id(1)));
  EXPECT_EQ(world_.dropped().take().size(), 1u);
}

TEST_F(Apply, LeavesAnOpenFileItsContentUntilItIsClosed) {
  TreeWorld writer;
  const InodeId inode = writer.file("f");
  writer.store(writer.write(inode, 0, 100));
  for (const Bytes& commit : writer.commit_all()) ASSERT_TRUE(world_.apply(commit));
  world_->pin(inode);
  EXPECT_EQ(writer.unlink("f"), 0);
  const std::vector<Bytes> commits = writer.commit_all();
  for (const Bytes& commit : commits) ASSERT_TRUE(world_.apply(commit));
  EXPECT_EQ(world_.inode("f"), InodeId());
  EXPECT_EQ(world_.extents(inode).size(), 1u);
  world_->unpin(inode);
  EXPECT_EQ(errno_of(world_->attributes(inode)), ENOENT);
}

TEST_F(Apply, LetsTheNextWriterDeleteWhatTheLastOneNeverNamed) {
  ops::TreeOps ops = message();
  add_inode(ops, 5, S_IFREG);
  ASSERT_TRUE(apply(ops));
  world_.kill_and_open();
  EXPECT_TRUE(world_->attributes(InodeId(5))) << "its name may still come";
  EXPECT_TRUE(world_->take_over());
  EXPECT_EQ(errno_of(world_->attributes(InodeId(5))), ENOENT);
  EXPECT_EQ(world_.owed().inodes, 1u);
  Draft draft;
  EXPECT_FALSE(world_.draft(&draft).empty());
  ops::TreeOps drafted;
  ASSERT_TRUE(drafted.ParseFromArray(draft.payload.data(), static_cast<int>(draft.payload.size())));
  ASSERT_EQ(drafted.deleted_size(), 1);
  EXPECT_EQ(drafted.deleted(0), 5u);
}

TEST_F(Apply, LetsTheNextWriterReleaseWhatNoFileNeeds) {
  ops::TreeOps ops = message();
  add_chunk(ops, 1, 100);
  ASSERT_TRUE(apply(ops));
  Draft draft;
  EXPECT_FALSE(world_.draft(&draft).empty());
  EXPECT_EQ(draft.released, std::vector{world_.chunk_id(1)});
}

// Claim: readers do not wait for a writer, and see each transaction whole.
TEST(TreeThreads, ReadWhileOthersWrite) {
  TreeWorld world;
  const InodeId folder = world.folder("d");
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&world, &stop, folder] {
      while (!stop) {
        const Result<Attributes> row = world->attributes(folder);
        ASSERT_TRUE(row);
        EXPECT_EQ(row->mtime_ns, row->ctime_ns);
        EXPECT_TRUE(world->entries(folder, 0, 10));
        (void)world->lookup(folder, "a");
      }
    });
  }
  for (int n = 0; n < 300; ++n) {
    EXPECT_TRUE(world->create(folder, "a", {.mode = S_IFREG}));
    EXPECT_TRUE(world->rename(folder, "a", folder, "b", RenameMode::replace));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  expect_invariants(world);
}

}  // namespace
}  // namespace coffer::meta
