#include "fs/commit/committer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "tests/fs/commit/pipeline.h"
#include "tests/testing/eventually.h"

namespace coffer::commit {
namespace {

using testing::dump_text;
using testing::eventually;
using testing::Pipeline;
using testing::PipelineOptions;
using testing::SeededRandom;

Bytes noise(std::size_t count, std::uint64_t seed) { return SeededRandom(seed).bytes(count); }

// EXPECT_EQ would print megabytes.
void expect_content(Pipeline& pipeline, InodeId inode, const Bytes& expected) {
  const auto content = pipeline.read_all(inode);
  ASSERT_TRUE(content) << content.error().what;
  ASSERT_EQ(content->size(), expected.size());
  EXPECT_TRUE(*content == expected);
}

TEST(Committer, GivesBackALargeFileAfterItWasWrittenUploadedAndEvicted) {
  Pipeline pipeline;
  const Bytes content = noise(20'000'000, 1);
  const InodeId inode = pipeline.copy_in("large", content);
  expect_content(pipeline, inode, content);
  pipeline.upload_and_clear();
  expect_content(pipeline, inode, content);
}

TEST(Committer, HasNothingInMemoryAfterAFlush) {
  Pipeline pipeline;
  pipeline.copy_in("large", noise(9'000'000, 1));
  pipeline.copy_in("small", noise(1000, 2));
  EXPECT_EQ(pipeline.committer->buffered_bytes(), 0u);
  EXPECT_EQ(pipeline.committer->buffered_files(), 0u);
}

// Claim: a long stream is chunked while it is written; memory stays within its budget without any flush.
TEST(Committer, SpoolsALongRunBeforeItsClose) {
  Pipeline pipeline({.committer = {.buffer_bytes_max = 16u << 20, .open_chunk_delay = std::chrono::hours(1)}});
  const InodeId inode = pipeline.create("stream");
  const Bytes content = noise(60u << 20, 3);
  for (std::size_t at = 0; at < content.size(); at += 1u << 20) {
    pipeline.write(inode, at, ByteView(content).subspan(at, 1u << 20));
    ASSERT_LE(pipeline.committer->buffered_bytes(), (16u << 20) + (1u << 20));
  }
  EXPECT_GE(pipeline.owed_bytes(), 40u << 20);
  pipeline.flush(inode);
  expect_content(pipeline, inode, content);
}

// Claim: what the windows and parts cut are the pieces of one cut over all of it.
TEST(Committer, CutsAStreamInWindowsAsItWouldInOnePass) {
  Pipeline pipeline;
  const Bytes content = noise(30'000'000, 4);
  const InodeId inode = pipeline.copy_in("stream", content);
  const auto extents = pipeline.tree->extents(inode, FileOffset(0), FileOffset(content.size()));
  ASSERT_TRUE(extents);
  const keys::VaultKey key = [] {
    SeededRandom random(7);
    return keys::VaultKey::generate(random);
  }();
  const crypto::Secret chunker_key = key.derive(keys::kChunkerLabel, object::VaultId());
  chunk::Chunker chunker(chunker_key);
  std::vector<std::uint64_t> expected, found;
  for (ByteView rest = content; !rest.empty();) {
    const std::size_t bytes = chunker.cut(rest, true);
    rest = rest.subspan(bytes);
    expected.push_back(content.size() - rest.size());
  }
  for (const Extent& extent : *extents) found.push_back(extent.end().value());
  EXPECT_EQ(found, expected);
}

TEST(Committer, SendsNothingNewForACopyOfAFile) {
  Pipeline pipeline;
  const Bytes content = noise(24'000'000, 5);
  pipeline.copy_in("first", content);
  pipeline.seal_open();
  const std::uint64_t before = pipeline.owed_bytes();
  const InodeId copy = pipeline.copy_in("second", content);
  pipeline.seal_open();
  EXPECT_LT(pipeline.owed_bytes() - before, content.size() / 100);
  expect_content(pipeline, copy, content);
}

TEST(Committer, SendsLittleForACopyWithALineInsertedAtItsStart) {
  Pipeline pipeline;
  const Bytes content = noise(24'000'000, 6);
  pipeline.copy_in("first", content);
  pipeline.seal_open();
  const std::uint64_t before = pipeline.owed_bytes();
  Bytes changed = copy_of(as_bytes("one more line\n"));
  append(changed, content);
  const InodeId copy = pipeline.copy_in("second", changed);
  pipeline.seal_open();
  EXPECT_LT(pipeline.owed_bytes() - before, content.size() / 20);
  expect_content(pipeline, copy, changed);
}

// Claim: what cannot be compressed grows by less than 1 %: chunks end where Padmé adds little.
TEST(Committer, PadsLittleWhatCannotBeCompressed) {
  Pipeline pipeline;
  const Bytes content = noise(64'000'000, 7);
  pipeline.copy_in("random", content);
  pipeline.seal_open();
  EXPECT_LT(pipeline.owed_bytes(), content.size() + content.size() / 100);
}

TEST(Committer, StoresARepetitionWithinOneFileOnce) {
  Pipeline pipeline;
  const Bytes part = noise(1'000'000, 1);
  Bytes content;
  for (int i = 0; i < 6; ++i) append(content, part);
  const InodeId inode = pipeline.copy_in("file", content);
  pipeline.seal_open();
  EXPECT_LT(pipeline.owed_bytes(), 3'000'000u);
  expect_content(pipeline, inode, content);
}

TEST(Committer, BatchesSmallFilesIntoFewChunks) {
  Pipeline pipeline;
  std::vector<std::pair<InodeId, Bytes>> files;
  for (unsigned i = 0; i < 200; ++i) {
    Bytes content = dump_text(2000 + 10 * i, i);
    const InodeId inode = pipeline.copy_in("small" + std::to_string(i), content);
    files.emplace_back(inode, std::move(content));
  }
  pipeline.seal_open();
  EXPECT_EQ(pipeline.owed().size(), 1u);
  pipeline.upload_and_clear();
  for (const auto& [inode, content] : files) expect_content(pipeline, inode, content);
}

TEST(Committer, FindsASmallFileThatTheVaultHas) {
  Pipeline pipeline;
  const Bytes content = dump_text(5000, 1);
  pipeline.copy_in("first", content);
  pipeline.seal_open();
  const std::uint64_t before = pipeline.owed_bytes();
  const InodeId copy = pipeline.copy_in("second", content);
  pipeline.seal_open();
  EXPECT_EQ(pipeline.owed_bytes(), before);
  expect_content(pipeline, copy, content);
}

TEST(Committer, SealsAnOpenChunkByItselfAfterItsDelay) {
  Pipeline pipeline({.committer = {.open_chunk_delay = std::chrono::milliseconds(1)}});
  const Bytes content = dump_text(1000, 1);
  const InodeId inode = pipeline.copy_in("small", content);
  EXPECT_TRUE(eventually([&] { return pipeline.owed().size() == 1 && pipeline.committer->open_chunk_bytes() == 0; }));
  expect_content(pipeline, inode, content);
}

TEST(Committer, SealsAnOpenChunkThatIsFullWithoutWaiting) {
  Pipeline pipeline;
  for (unsigned i = 0; i < 5; ++i) pipeline.copy_in("file" + std::to_string(i), noise(300'000, i));
  EXPECT_TRUE(eventually([&] { return pipeline.owed().size() == 1; }));
}

TEST(Committer, TellsWhenSomethingBecomesOwed) {
  Pipeline pipeline;
  std::atomic<int> told = 0;
  pipeline.committer->on_owed([&](Hurry) { ++told; });
  pipeline.copy_in("large", noise(2'000'000, 1));
  EXPECT_GE(told.load(), 1);
}

// Claim: what somebody waits for is sealed before flush() returns, with no staging file in between, and without telling
// anybody, since the waiter does; where other small content waits it goes with that.
TEST(Committer, SealsAtOnceWhatSomebodyWaitsFor) {
  Pipeline pipeline({.committer = {.open_chunk_delay = std::chrono::hours(1)}});
  std::atomic<int> told = 0;
  pipeline.committer->on_owed([&](Hurry hurry) { told += hurry == Hurry::now ? 1 : 100; });
  const Bytes text = dump_text(3000, 1);
  const InodeId first = pipeline.create("first");
  pipeline.write(first, 0, text);
  ASSERT_TRUE(pipeline.committer->flush(first, Last::sealed));
  EXPECT_EQ(pipeline.owed().size(), 1u);
  EXPECT_EQ(pipeline.committer->open_chunk_bytes(), 0u);
  EXPECT_EQ(told, 0);
  ASSERT_TRUE(pipeline.committer->make_power_safe());
  EXPECT_EQ(told, 100) << "it may be removed again before it is sent";
  expect_content(pipeline, first, text);

  pipeline.copy_in("batched", dump_text(3000, 2));
  const InodeId second = pipeline.create("second");
  pipeline.write(second, 0, dump_text(3000, 3));
  ASSERT_TRUE(pipeline.committer->flush(second, Last::sealed));
  EXPECT_EQ(pipeline.owed().size(), 1u);
  ASSERT_TRUE(pipeline.committer->seal_open_chunks());
  EXPECT_EQ(pipeline.owed().size(), 2u) << "two files in one chunk";
  EXPECT_EQ(told, 101);
}

// Claim: whatever flush() answered is there after kill -9: large and small, sealed and still batched.
TEST(Committer, LosesNothingThatWasFlushedWhenItIsKilled) {
  Pipeline pipeline;
  const Bytes large = noise(5'000'000, 1);
  const Bytes small = dump_text(3000, 2);
  const InodeId large_file = pipeline.copy_in("large", large);
  const InodeId small_file = pipeline.copy_in("small", small);
  pipeline.crash();
  expect_content(pipeline, large_file, large);
  expect_content(pipeline, small_file, small);
  EXPECT_TRUE(pipeline.committer->damage().empty());
  EXPECT_TRUE(eventually([&] { return pipeline.committer->open_chunk_bytes() == 0; }));  // Sealed at the start.
  pipeline.upload_and_clear();
  expect_content(pipeline, large_file, large);
  expect_content(pipeline, small_file, small);
}

TEST(Committer, SaysWhichBytesAreLostWithAStagingFile) {
  Pipeline pipeline;
  const Bytes text = dump_text(30'000, 2);
  const InodeId inode = pipeline.copy_in("small", text);
  pipeline.close();
  for (const auto& file : std::filesystem::directory_iterator(pipeline.folder() / "staging")) {
    std::filesystem::resize_file(file.path(), 100);
  }
  pipeline.open();
  EXPECT_EQ(pipeline.committer->damage().size(), 1u);
  EXPECT_EQ(pipeline.committer->lost_chunks().size(), 1u);
  const auto content = pipeline.read_all(inode);
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().fault, Fault::corrupt);
  const auto again = pipeline.read_all(pipeline.copy_in("again", text));
  ASSERT_TRUE(again) << "the same content is not looked for in the lost chunk: " << again.error().what;
  EXPECT_TRUE(*again == text);
}

TEST(Committer, SaysWhichOwedChunkIsLostFromTheSpool) {
  Pipeline pipeline;
  pipeline.copy_in("large", noise(2'000'000, 1));
  ASSERT_FALSE(pipeline.owed().empty());
  ASSERT_TRUE(pipeline.spool->drop(pipeline.owed()[0].id));
  pipeline.crash();
  ASSERT_EQ(pipeline.committer->damage().size(), 1u);
  ASSERT_EQ(pipeline.committer->lost_chunks().size(), 1u);
  EXPECT_EQ(pipeline.committer->lost_chunks()[0].key, pipeline.owed()[0].key);
  EXPECT_NE(pipeline.committer->damage()[0].find(pipeline.owed()[0].id.hex()), std::string::npos);
  const auto again = pipeline.read_all(pipeline.copy_in("again", noise(2'000'000, 1)));
  ASSERT_TRUE(again) << "the same content is not looked for in the lost chunk: " << again.error().what;
  EXPECT_TRUE(*again == noise(2'000'000, 1));
}

TEST(Committer, OwesNothingOfFilesThatDieYoung) {
  Pipeline pipeline;
  pipeline.copy_in("large", noise(3'000'000, 1));
  pipeline.copy_in("small", dump_text(3000, 2));
  ASSERT_TRUE(pipeline.tree->unlink(kRootInode, "large"));
  ASSERT_TRUE(pipeline.tree->unlink(kRootInode, "small"));
  pipeline.seal_open();
  EXPECT_TRUE(pipeline.owed().empty());
  EXPECT_EQ(pipeline.spool->used_bytes(), 0u);
  const auto staged = pipeline.staging->chunks();
  ASSERT_TRUE(staged);
  EXPECT_TRUE(staged->empty());
}

TEST(Committer, SealsOnlyWhatIsAliveInAnOpenChunk) {
  Pipeline pipeline({.compression = {.codec = seal::Compression::Codec::zstd, .level = 3}});
  pipeline.copy_in("dead", noise(400'000, 1));
  const Bytes content = dump_text(3000, 2);
  const InodeId alive = pipeline.copy_in("alive", content);
  ASSERT_TRUE(pipeline.tree->unlink(kRootInode, "dead"));
  pipeline.seal_open();
  EXPECT_LT(pipeline.owed_bytes(), 20'000u);
  expect_content(pipeline, alive, content);
  // What was zeroed is not found as a piece any more.
  const InodeId again = pipeline.copy_in("again", noise(400'000, 1));
  pipeline.seal_open();
  expect_content(pipeline, again, noise(400'000, 1));
}

TEST(Committer, LeavesNoPlainContentOnTheDisk) {
  Pipeline pipeline({.compression = {.codec = seal::Compression::Codec::none, .level = 0}});
  const std::string marker = "MARKER-THAT-MUST-NOT-BE-FOUND";
  std::string text;
  while (text.size() < 3'000'000) text += marker;
  pipeline.copy_in("large", as_bytes(text));
  pipeline.copy_in("small", as_bytes(marker));
  ASSERT_TRUE(pipeline.staging->chunks());
  for (const bool sealed : {false, true}) {
    if (sealed) pipeline.seal_open();
    for (const auto& file : std::filesystem::recursive_directory_iterator(pipeline.folder())) {
      if (!file.is_regular_file()) continue;
      std::ifstream in(file.path(), std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
      EXPECT_EQ(bytes.find(marker), std::string::npos) << file.path();
    }
  }
}

TEST(Committer, KeepsEverythingWhenTheSpoolIsFullAndGoesOnWhenThereIsRoom) {
  Pipeline pipeline(
      {.spool_bytes_max = 8u << 20,
       .committer = {.open_chunk_delay = std::chrono::hours(1), .full_wait = std::chrono::milliseconds(1)}});
  const InodeId inode = pipeline.create("file");
  const Bytes content = noise(16u << 20, 1);
  std::size_t at = 0;
  std::optional<Error> refused;
  for (; at < content.size() && !refused; at += refused ? 0 : 256u << 10) {
    auto written = pipeline.committer->write(inode, FileOffset(at), ByteView(content).subspan(at, 256u << 10));
    if (!written) refused = written.error();
    if (written) pipeline.flush(inode);
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->fault, Fault::full);
  EXPECT_GT(at, 2u << 20);
  const Bytes accepted(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(at));
  expect_content(pipeline, inode, accepted);
  pipeline.seal_open();
  pipeline.upload();
  pipeline.write(inode, at, ByteView(content).subspan(at, 256u << 10));
  pipeline.flush(inode);
  expect_content(pipeline, inode,
                 Bytes(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(at + (256u << 10))));
}

// Claim: a kernel hears that room is short while what it holds back has room, however much is not sealed yet.
TEST(Committer, IsShortOfRoomWhileAKernelsPagesStillFit) {
  Pipeline pipeline({.spool_bytes_max = 8u << 20});
  pipeline.copy_in("first", noise(3'500'000, 1));
  pipeline.seal_open();
  EXPECT_FALSE(pipeline.committer->is_short_of_room());
  const InodeId inode = pipeline.create("second");
  const Bytes content = noise(2'500'000, 2);
  const auto write_pages = [&](std::size_t begin, std::size_t end) {
    const ByteView pages = ByteView(content).subspan(begin, end - begin);
    ASSERT_TRUE(pipeline.committer->write(inode, FileOffset(begin), pages, {}, WriteTimes::unchanged));
  };
  ASSERT_NO_FATAL_FAILURE(write_pages(0, 1'500'000));
  EXPECT_GT(pipeline.committer->buffered_bytes(), 0u);
  EXPECT_TRUE(pipeline.committer->is_short_of_room());
  ASSERT_NO_FATAL_FAILURE(write_pages(1'500'000, content.size()));
  pipeline.flush(inode);
  expect_content(pipeline, inode, content);
}

TEST(Committer, KeepsTheBytesOfAFlushThatFails) {
  Pipeline pipeline({.spool_bytes_max = 8u << 20});
  const InodeId inode = pipeline.create("file");
  const Bytes content = noise(1'200'000, 1);
  pipeline.write(inode, 0, content);
  // Someone else takes the room that write() had found.
  std::vector<seal::SealedChunk> others;
  while (true) {
    others.push_back(pipeline.sealer().seal(noise(1u << 18, 100 + others.size())));
    if (!pipeline.spool->put(others.back())) break;
  }
  const auto flushed = pipeline.committer->flush(inode);
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().fault, Fault::full);
  EXPECT_TRUE(pipeline.owed().empty());
  expect_content(pipeline, inode, content);
  for (const seal::SealedChunk& other : others) ASSERT_TRUE(pipeline.spool->drop(other.id()));
  pipeline.flush(inode);
  EXPECT_EQ(pipeline.committer->buffered_bytes(), 0u);
  expect_content(pipeline, inode, content);
}

// Claim: whoever closed a file that could not be kept need not come back for it.
TEST(Committer, FlushesAgainByItselfWhenThereIsRoom) {
  Pipeline pipeline({.spool_bytes_max = 8u << 20});
  const InodeId inode = pipeline.create("file");
  const Bytes content = noise(1'200'000, 1);
  pipeline.write(inode, 0, content);
  std::vector<seal::SealedChunk> others;
  while (true) {
    others.push_back(pipeline.sealer().seal(noise(1u << 18, 100 + others.size())));
    if (!pipeline.spool->put(others.back())) break;
  }
  ASSERT_FALSE(pipeline.committer->flush(inode));
  EXPECT_GT(pipeline.committer->buffered_bytes(), 0u);
  for (const seal::SealedChunk& other : others) ASSERT_TRUE(pipeline.spool->drop(other.id()));
  EXPECT_TRUE(eventually([&] { return pipeline.committer->buffered_bytes() == 0; }));
  expect_content(pipeline, inode, content);
}

TEST(Committer, EndsAWritersWaitWhenItStops) {
  Pipeline pipeline({.spool_bytes_max = 8u << 20, .committer = {.full_wait = std::chrono::minutes(5)}});
  const InodeId inode = pipeline.create("file");
  const Bytes content = noise(16u << 20, 1);
  std::optional<Error> ended;
  std::thread writer([&] {
    auto written = pipeline.committer->write(inode, FileOffset(0), content);
    if (!written) ended = written.error();
  });
  EXPECT_TRUE(eventually([&] { return pipeline.owed_bytes() > (1u << 20); }));
  pipeline.committer->stop();
  writer.join();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->fault, Fault::stopped);
}

TEST(Committer, ShowsSizeAndTimeOfWhatIsStillBuffered) {
  Pipeline pipeline;
  const InodeId inode = pipeline.create("file");
  pipeline.write(inode, 5000, as_bytes("end"));
  const auto attributes = pipeline.committer->attributes(inode);
  ASSERT_TRUE(attributes);
  EXPECT_EQ(attributes->bytes, 5003u);
  EXPECT_EQ(pipeline.committer->buffered(inode).bytes, 5003u);
  const auto recorded = pipeline.tree->attributes(inode);
  ASSERT_TRUE(recorded);
  EXPECT_EQ(recorded->bytes, 0u);
  EXPECT_GE(attributes->mtime_ns, recorded->mtime_ns);
}

TEST(Committer, KeepsATimeThatWasSetAfterTheWrites) {
  Pipeline pipeline;
  const InodeId inode = pipeline.create("file");
  pipeline.write(inode, 0, as_bytes("content"));
  meta::AttributeChange change;
  change.mtime_ns = 123'456'789;
  ASSERT_TRUE(pipeline.committer->change(inode, change));
  pipeline.flush(inode);
  EXPECT_EQ(pipeline.tree->attributes(inode)->mtime_ns, 123'456'789);
  pipeline.write(inode, 0, as_bytes("newer"));
  pipeline.flush(inode);
  EXPECT_NE(pipeline.tree->attributes(inode)->mtime_ns, 123'456'789);
}

TEST(Committer, DropsTheBytesOfAFileThatIsGone) {
  Pipeline pipeline;
  const InodeId inode = pipeline.create("file");
  pipeline.write(inode, 0, noise(3'000'000, 1));
  ASSERT_TRUE(pipeline.tree->unlink(kRootInode, "file"));
  EXPECT_TRUE(pipeline.committer->flush(inode));
  EXPECT_EQ(pipeline.committer->buffered_bytes(), 0u);
  EXPECT_EQ(pipeline.spool->used_bytes(), 0u);
}

TEST(Committer, FlushesEveryFileAndSealsWhatIsBatched) {
  Pipeline pipeline;
  const InodeId first = pipeline.create("first");
  const InodeId second = pipeline.create("second");
  pipeline.write(first, 0, noise(2'000'000, 1));
  pipeline.write(second, 0, as_bytes("small"));
  ASSERT_TRUE(pipeline.committer->flush_all());
  EXPECT_EQ(pipeline.committer->buffered_bytes(), 0u);
  EXPECT_EQ(pipeline.committer->open_chunk_bytes(), 0u);
}

}  // namespace
}  // namespace coffer::commit
