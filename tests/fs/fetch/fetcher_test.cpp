#include "fs/fetch/fetcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/crypto/hash.h"
#include "common/os/long_wait.h"
#include "fs/fetch/flights.h"
#include "fs/fetch/read_ahead.h"
#include "tests/fs/commit/pipeline.h"
#include "tests/testing/eventually.h"

namespace coffer::fetch {
namespace {

using namespace std::chrono_literals;
using testing::dump_text;
using testing::eventually;
using testing::Pipeline;
using testing::PipelineOptions;
using testing::SeededRandom;

Bytes noise(std::size_t count, std::uint64_t seed) { return SeededRandom(seed).bytes(count); }

PipelineOptions without_read_ahead() {
  PipelineOptions options;
  options.fetcher.read_ahead_bytes_max = 0;
  return options;
}

bool starts_with(const Bytes& content, std::size_t at, const Bytes& part) {
  return std::equal(part.begin(), part.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
}

TEST(Fetcher, ReadsZerosWhereAFileHasHoles) {
  Pipeline pipeline;
  const InodeId inode = pipeline.create("sparse");
  pipeline.write(inode, 100'000, as_bytes("island"));
  pipeline.flush(inode);
  pipeline.truncate(inode, 200'000);
  const auto content = pipeline.read_all(inode);
  ASSERT_TRUE(content);
  Bytes expected(200'000, std::byte{0});
  std::ranges::copy(as_bytes("island"), expected.begin() + 100'000);
  EXPECT_TRUE(*content == expected);
}

TEST(Fetcher, AsksTheServerForNothingThatIsLocal) {
  Pipeline pipeline;
  const Bytes large = noise(3'000'000, 1);
  const InodeId inode = pipeline.copy_in("large", large);
  pipeline.copy_in("small", dump_text(100, 2));
  ASSERT_TRUE(pipeline.read_all(inode));
  pipeline.seal_open();
  pipeline.upload();
  pipeline.fetcher->forget_decoded();
  ASSERT_TRUE(pipeline.read_all(inode));
  EXPECT_EQ(pipeline.server.asked_count(), 0u);
}

TEST(Fetcher, PutsWhatItFetchedIntoTheSpool) {
  Pipeline pipeline(without_read_ahead());
  const Bytes content = noise(3'000'000, 1);
  const InodeId inode = pipeline.copy_in("file", content);
  pipeline.upload_and_clear();
  const auto found = pipeline.read_all(inode);
  ASSERT_TRUE(found);
  EXPECT_TRUE(*found == content);
  EXPECT_TRUE(eventually([&] { return pipeline.spool->used_bytes() == pipeline.server.stored_bytes(); }));
  pipeline.fetcher->forget_decoded();
  pipeline.server.forget_asked();
  ASSERT_TRUE(pipeline.read_all(inode));
  EXPECT_EQ(pipeline.server.asked_count(), 0u);
  EXPECT_EQ(pipeline.fetcher->progress().chunks_fetched, pipeline.server.chunk_count());
}

// Claim: what came lately is read on from memory, whatever became of the spool's copy.
TEST(Fetcher, ReadsOnInAChunkThatCameLately) {
  Pipeline pipeline(without_read_ahead());
  const Bytes content = noise(900'000, 1);
  const InodeId inode = pipeline.copy_in("file", content);
  pipeline.upload_and_clear();
  ASSERT_TRUE(pipeline.read(inode, 0, 4096));
  ASSERT_TRUE(eventually([&] { return pipeline.fetcher->progress().bytes_in_flight == 0; }));
  for (const auto& file : std::filesystem::recursive_directory_iterator(pipeline.folder() / "spool")) {
    if (file.path().extension() == ".pack") std::filesystem::resize_file(file.path(), 0);
  }
  const auto rest = pipeline.read(inode, 4096, 800'000);
  ASSERT_TRUE(rest) << rest.error().what;
  EXPECT_TRUE(starts_with(content, 4096, *rest));
  EXPECT_EQ(pipeline.server.asked_count(), 1u);
}

TEST(Fetcher, AsksForAChunkOnceHoweverManyWaitForIt) {
  Pipeline pipeline(without_read_ahead());
  const Bytes content = noise(900'000, 1);
  const InodeId inode = pipeline.copy_in("file", content);
  pipeline.upload_and_clear();
  ASSERT_EQ(pipeline.server.chunk_count(), 1u);
  pipeline.server.hold();
  std::atomic<int> waiting = 0;
  std::vector<std::thread> readers;
  for (std::size_t i = 0; i < 8; ++i) {
    readers.emplace_back([&, i] {
      ++waiting;
      const auto part = pipeline.read(inode, i * 100'000, 100'000);
      ASSERT_TRUE(part) << part.error().what;
      EXPECT_TRUE(starts_with(content, i * 100'000, *part));
    });
  }
  EXPECT_TRUE(eventually([&] { return waiting == 8 && pipeline.server.held_count() == 1; }));
  pipeline.server.answer_all();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(pipeline.server.asked_count(), 1u);
}

// Claim: a thread leaves its pool before it waits for the server, and only then. Method: it says so to this test.
TEST(Fetcher, SaysThatItWillWaitForLong) {
  Pipeline pipeline(without_read_ahead());
  const InodeId inode = pipeline.copy_in("file", noise(900'000, 1));
  pipeline.upload_and_clear();
  std::atomic<int> waits = 0;
  const auto read_in_pool = [&](std::uint64_t at) {
    os::on_long_wait([](void* counter) { ++*static_cast<std::atomic<int>*>(counter); }, &waits);
    EXPECT_TRUE(pipeline.read(inode, at, 100'000));
  };
  pipeline.server.hold();
  std::thread waiting([&] { read_in_pool(0); });
  EXPECT_TRUE(eventually([&] { return waits == 1; }));
  pipeline.server.answer_all();
  waiting.join();
  std::thread([&] { read_in_pool(500'000); }).join();  // From the chunk that came.
  EXPECT_EQ(waits, 1);
}

TEST(Fetcher, OpensOneFrameOfASpooledChunkForASmallRead) {
  Pipeline pipeline(without_read_ahead());
  const Bytes content = noise(900'000, 1);
  const InodeId inode = pipeline.copy_in("file", content);
  // Every frame but the one that is read is damaged: a read that opened another one would fail.
  const ChunkRow chunk = pipeline.owed().at(0);
  const auto sealed = pipeline.spool->get(chunk.id);
  ASSERT_TRUE(sealed);
  const auto header = pipeline.sealer().read_header(**sealed);
  ASSERT_TRUE(header);
  const std::string needle(as_text(ByteView(**sealed).subspan(header->frames[1].sealed_offset, 64)));
  pipeline.close();
  bool is_damaged = false;
  for (const auto& file : std::filesystem::recursive_directory_iterator(pipeline.folder() / "spool")) {
    if (file.path().extension() != ".pack") continue;
    std::fstream pack(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(pack)), std::istreambuf_iterator<char>());
    const std::size_t at = bytes.find(needle);
    if (at == std::string::npos) continue;
    pack.seekp(static_cast<std::streamoff>(at));
    pack.put(static_cast<char>(bytes[at] ^ 1));
    is_damaged = true;
  }
  ASSERT_TRUE(is_damaged);
  pipeline.open();
  const auto part = pipeline.read(inode, 10'000, 4096);
  ASSERT_TRUE(part) << part.error().what;
  EXPECT_TRUE(starts_with(content, 10'000, *part));
  // The damaged frame of an owed chunk has no other copy.
  const auto damaged = pipeline.read(inode, 140'000, 4096);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().fault, Fault::corrupt);
  // Once the server has it, the damaged copy is dropped, and the good one fetched.
  pipeline.server.store(chunk.id, Bytes(**sealed));
  const std::vector<ChunkKey> stored{chunk.key};
  ASSERT_TRUE(pipeline.tree->chunks_stored(stored));
  pipeline.spool->release(chunk.id);
  const auto healed = pipeline.read(inode, 140'000, 4096);
  ASSERT_TRUE(healed) << healed.error().what;
  EXPECT_TRUE(starts_with(content, 140'000, *healed));
  EXPECT_EQ(pipeline.server.asked_count(), 1u);
}

TEST(Fetcher, FailsAReadWithOfflineAtItsDeadline) {
  Pipeline pipeline(without_read_ahead());
  const InodeId inode = pipeline.copy_in("file", noise(900'000, 1));
  pipeline.upload_and_clear();
  pipeline.server.hold();
  const auto found = pipeline.read(inode, 0, 1000, 20ms);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().fault, Fault::offline);
  // The answer that comes later is not lost on the next reader.
  pipeline.server.answer_all();
  EXPECT_TRUE(pipeline.read(inode, 0, 1000));
  EXPECT_EQ(pipeline.server.asked_count(), 1u);
}

TEST(Fetcher, AsksAgainForWhomThereIsTimeLeftWhenTheFirstRequestRanOut) {
  Pipeline pipeline(without_read_ahead());
  const InodeId inode = pipeline.copy_in("file", noise(900'000, 1));
  pipeline.upload_and_clear();
  pipeline.server.hold();
  std::thread hasty([&] {
    const auto found = pipeline.read(inode, 0, 1000);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().fault, Fault::offline);
  });
  EXPECT_TRUE(eventually([&] { return pipeline.server.held_count() == 1; }));
  std::atomic<bool> is_there = false;
  std::thread patient([&] {
    Bytes into(1000);
    is_there = true;
    EXPECT_TRUE(pipeline.fetcher->read(inode, FileOffset(0), into, std::chrono::steady_clock::now() + 1h));
  });
  EXPECT_TRUE(eventually([&] { return is_there.load(); }));
  pipeline.server.fail_with(Error{Fault::offline, 0, "away"});
  pipeline.server.answer_held();
  hasty.join();
  pipeline.server.fail_with(std::nullopt);
  pipeline.server.answer_all();
  patient.join();
}

TEST(Fetcher, EndsAWaitWhenItIsInterruptedAndWhenItStops) {
  Pipeline pipeline(without_read_ahead());
  const InodeId inode = pipeline.copy_in("file", noise(900'000, 1));
  pipeline.upload_and_clear();
  pipeline.server.hold();
  std::stop_source interrupt;
  for (const bool by_user : {true, false}) {
    std::thread reader([&] {
      Bytes into(1000);
      const auto found = pipeline.fetcher->read(inode, FileOffset(0), into, std::chrono::steady_clock::now() + 1h,
                                                by_user ? interrupt.get_token() : std::stop_token());
      ASSERT_FALSE(found);
      EXPECT_EQ(found.error().fault, Fault::stopped);
    });
    EXPECT_TRUE(eventually([&] { return pipeline.server.held_count() == 1; }));
    if (by_user) {
      interrupt.request_stop();
    } else {
      pipeline.fetcher->stop();
    }
    reader.join();
  }
  pipeline.fetcher.reset();
  pipeline.server.answer_all();  // Nobody is left to hear it.
}

TEST(Fetcher, SaysCorruptWhereTheServerHasNoGoodCopy) {
  Pipeline pipeline(without_read_ahead());
  const InodeId inode = pipeline.copy_in("file", noise(900'000, 1));
  pipeline.seal_open();
  const object::ChunkId id = pipeline.owed().at(0).id;
  pipeline.upload_and_clear();
  pipeline.server.fail_with(Error{Fault::corrupt, 0, "damaged there"});
  auto found = pipeline.read(inode, 0, 1000);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().fault, Fault::corrupt);
  pipeline.server.fail_with(std::nullopt);
  pipeline.server.lose(id);
  found = pipeline.read(inode, 0, 1000);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().fault, Fault::corrupt);
}

// Claim: a copy of the same content mends it. The lost chunk is not used for it, although its pieces were known.
TEST(Fetcher, ReadsContentThatWasWrittenAgainAfterItsChunkWasFoundLost) {
  Pipeline pipeline(without_read_ahead());
  const Bytes content = noise(900'000, 1);
  const InodeId inode = pipeline.copy_in("file", content);
  pipeline.seal_open();
  const object::ChunkId id = pipeline.owed().at(0).id;
  pipeline.upload_and_clear();
  pipeline.server.lose(id);
  ASSERT_FALSE(pipeline.read(inode, 0, 1000));
  const auto mended = pipeline.read_all(pipeline.copy_in("again", content));
  ASSERT_TRUE(mended) << mended.error().what;
  EXPECT_TRUE(*mended == content);
}

TEST(Fetcher, AsksOnceForAChunkThatTheSpoolHasNoRoomFor) {
  PipelineOptions options = without_read_ahead();
  options.spool_bytes_max = 4u << 20;
  Pipeline pipeline(options);
  const Bytes content = noise(900'000, 1);
  const InodeId inode = pipeline.copy_in("file", content);
  pipeline.upload_and_clear();
  for (std::uint64_t seed = 0;; ++seed) {
    if (!pipeline.spool->put(pipeline.sealer().seal(noise(500'000, 50 + seed)))) break;
  }
  ASSERT_TRUE(pipeline.read(inode, 0, 1000));
  EXPECT_TRUE(eventually([&] { return pipeline.fetcher->progress().bytes_in_flight == 0; }));
  const auto found = pipeline.read_all(inode);
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_TRUE(*found == content);
  EXPECT_EQ(pipeline.server.asked_count(), pipeline.server.asked_chunks());
}

TEST(Fetcher, AsksAheadOfAReaderWhoGoesThroughAFile) {
  Pipeline pipeline;
  const Bytes content = noise(24u << 20, 1);
  const InodeId inode = pipeline.create("file");
  // Written from its end to its start: going on in the order in which the chunks were made would not help.
  for (std::size_t end = content.size(); end > 0; end -= 1u << 20) {
    pipeline.write(inode, end - (1u << 20), ByteView(content).subspan(end - (1u << 20), 1u << 20));
    pipeline.flush(inode);
  }
  pipeline.upload_and_clear();
  pipeline.server.hold();
  std::thread reader([&] {
    for (std::size_t at = 0; at + 131'072 <= content.size(); at += 131'072) {
      const auto part = pipeline.read(inode, at, 131'072);
      ASSERT_TRUE(part) << part.error().what;
      ASSERT_TRUE(starts_with(content, at, *part));
    }
  });
  // Answers come only in bundles: with one request at a time the bundles would hold one chunk each.
  std::size_t bundles = 0;
  std::size_t largest = 0;
  while (pipeline.server.asked_chunks() < pipeline.server.chunk_count()) {
    ASSERT_TRUE(eventually([&] { return pipeline.server.held_count() > 0; }));
    largest = std::max(largest, pipeline.server.held_count());
    ++bundles;
    pipeline.server.answer_all();
    if (pipeline.server.asked_chunks() < pipeline.server.chunk_count()) pipeline.server.hold();
  }
  reader.join();
  EXPECT_EQ(pipeline.server.asked_count(), pipeline.server.chunk_count());
  EXPECT_GE(largest, 2u);
}

// Claim: what comes next is on its way before what is needed has come: no round trip is spent without a chunk.
TEST(Fetcher, AsksAheadBeforeItWaits) {
  PipelineOptions options;
  options.compression = {.codec = seal::Compression::Codec::none, .level = 0};
  Pipeline pipeline(options);
  const InodeId large = pipeline.copy_in("large", noise(8'000'000, 1));
  pipeline.seal_open();
  std::vector<InodeId> small;
  for (unsigned i = 0; i < 60; ++i) small.push_back(pipeline.copy_in("small" + std::to_string(i), noise(200'000, i)));
  pipeline.upload_and_clear();
  const auto expect_asked = [&](InodeId inode, std::uint64_t at, std::size_t bytes, std::size_t chunks) {
    pipeline.server.hold();
    std::thread reader([&] { EXPECT_TRUE(pipeline.read(inode, at, bytes)); });
    EXPECT_TRUE(eventually([&] { return pipeline.server.held_count() >= chunks; }, 5s));
    pipeline.server.answer_all();
    reader.join();
  };
  expect_asked(large, 0, 1u << 20, 2);
  ASSERT_TRUE(pipeline.read(small[20], 0, 200'000));
  expect_asked(small[30], 0, 200'000, 3);
}

TEST(Fetcher, AsksForNothingAheadOfRandomReads) {
  Pipeline pipeline;
  const Bytes content = noise(20'000'000, 1);
  const InodeId inode = pipeline.copy_in("file", content);
  pipeline.upload_and_clear();
  for (const std::size_t at : {15'000'000u, 2'000'000u, 11'000'000u, 7'000'000u}) {
    ASSERT_TRUE(pipeline.read(inode, at, 4096));
  }
  EXPECT_LE(pipeline.server.asked_count(), 4u);
}

// Claim: small files that were written together are fetched together when they are read one after the other.
TEST(Fetcher, AsksAheadWhenAFolderOfSmallFilesIsRead) {
  PipelineOptions options;
  options.compression = {.codec = seal::Compression::Codec::none, .level = 0};
  Pipeline pipeline(options);
  std::vector<std::pair<InodeId, Bytes>> files;
  for (unsigned i = 0; i < 60; ++i) {
    Bytes content = noise(300'000, i);
    const InodeId inode = pipeline.copy_in("file" + std::to_string(i), content);
    files.emplace_back(inode, std::move(content));
  }
  pipeline.upload_and_clear();
  const std::size_t chunks = pipeline.server.chunk_count();
  ASSERT_GE(chunks, 14u);
  std::size_t waits = 0;
  for (const auto& [inode, content] : files) {
    const std::size_t before = pipeline.server.asked_chunks();
    const auto found = pipeline.read_all(inode);
    ASSERT_TRUE(found);
    ASSERT_TRUE(*found == content);
    if (pipeline.server.asked_chunks() > before) ++waits;
  }
  EXPECT_EQ(pipeline.server.asked_count(), chunks);
  EXPECT_LT(waits, chunks);
}

/// Open chunks whose first reader is overtaken by a writer, between the tree's extents and the spool.
class Overtaken : public spool::PlainChunks {
 public:
  Overtaken(spool::PlainChunks& chunks, std::function<void()> writer) : chunks_(chunks), writer_(std::move(writer)) {}
  Result<bool> read_open(ChunkKey chunk, std::uint32_t offset, MutableByteView into) override {
    if (auto writer = std::exchange(writer_, nullptr)) writer();
    return chunks_.read_open(chunk, offset, into);
  }

 private:
  spool::PlainChunks& chunks_;
  std::function<void()> writer_;
};

// Claim: a reader whose extents are replaced under him gets the old or the new content, though the old one is zeroed
// or gone by the time when he comes to the chunk.
TEST(Fetcher, ReadsOldOrNewContentWhenAWriterOvertakesIt) {
  for (const bool chunk_survives : {true, false}) {
    Pipeline pipeline;
    const InodeId inode = pipeline.copy_in("file", dump_text(5000, 1));
    if (chunk_survives) pipeline.copy_in("neighbour", dump_text(5000, 2));
    const Bytes changed = dump_text(5000, 3);
    Overtaken chunks(*pipeline.committer, [&] {
      if (!chunk_survives) pipeline.seal_open();
      pipeline.write(inode, 0, changed);
      pipeline.flush(inode);
      pipeline.seal_open();
    });
    Fetcher fetcher({*pipeline.tree, *pipeline.spool, chunks, pipeline.sealer(), pipeline.server}, {});
    Bytes into(5000);
    ASSERT_TRUE(fetcher.read(inode, FileOffset(0), into, std::chrono::steady_clock::now() + 20s));
    EXPECT_TRUE(into == changed);
    EXPECT_EQ(pipeline.server.asked_count(), 0u);
  }
}

TEST(Fetcher, SaysStaleOfAChunkThatNoFileUses) {
  Pipeline pipeline;
  Bytes into(10);
  const auto found = pipeline.fetcher->read_chunk(ChunkKey(777), 0, into, std::chrono::steady_clock::now() + 1s);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ESTALE);
}

// Claim: memory stays bounded where the network is faster than the disk of the spool.
TEST(Flights, AskForNoFurtherChunkWhileTooMuchThatLandedIsNotKept) {
  testing::FakeServer server;
  std::vector<object::ChunkId> ids;
  for (const char* text : {"first", "second", "third"}) {
    ids.emplace_back(crypto::sha256(as_bytes(text)));
    server.store(ids.back(), copy_of(as_bytes(text)));
  }
  const auto flights = std::make_shared<Flights>(server, 0);
  const auto fetch = [&](std::size_t which) {
    return flights->fetch(ids[which], 20u << 20, std::chrono::steady_clock::now() + 20ms, {}, [] {});
  };
  ASSERT_TRUE(fetch(0));
  ASSERT_TRUE(fetch(1));
  const auto third = fetch(2);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().fault, Fault::offline);
  EXPECT_EQ(server.asked_count(ids[2]), 0u);
  EXPECT_TRUE(fetch(0)) << "what has landed can be read";
  ASSERT_TRUE(flights->land_next([](const object::ChunkId&, const Flights::Sealed&) {}));
  EXPECT_TRUE(fetch(2));
}

TEST(FileWalks, GoTwiceAsFarEachTimeUpToTheirBudget) {
  FileWalks walks(8u << 20);
  const InodeId inode{1};
  std::uint64_t asked = 0;
  std::uint64_t last_window = 0;
  for (std::uint64_t at = 0; at < (64u << 20); at += 128u << 10) {
    const auto ahead = walks.was_read(inode, at, 128u << 10);
    if (!ahead) continue;
    EXPECT_GE(ahead->begin, asked);
    asked = ahead->end;
    const std::uint64_t window = ahead->end - (at + (128u << 10));
    EXPECT_GE(window, last_window);
    EXPECT_LE(window, 8u << 20);
    last_window = window;
  }
  EXPECT_EQ(last_window, 8u << 20);
}

TEST(ChunkWalks, BeginOnlyWhereChunksHadToBeWaitedFor) {
  ChunkWalks walks;
  for (std::int64_t key = 1; key < 20; ++key) EXPECT_TRUE(walks.was_read(ChunkKey(key), false).empty());
  EXPECT_TRUE(walks.was_read(ChunkKey(20), true).empty());
  EXPECT_FALSE(walks.was_read(ChunkKey(21), true).empty());
}

}  // namespace
}  // namespace coffer::fetch
