#include "fs/seal/sealer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "common/crypto/hash.h"
#include "fs/seal/padme.h"
#include "tests/fs/seal/example.h"

namespace coffer::seal {
namespace {

using limits::kChunkPlainBytesMax;
using limits::kFramePlainBytesMax;

class ASealer : public ::testing::Test {
 protected:
  testing::SeededRandom random_{11};
  Sealer sealer_{example::key(1), example::vault(1), random_, {Compression::Codec::zstd, 3}};
};

TEST_F(ASealer, OpensWhatItSealedWhateverTheSizeAndTheCodec) {
  for (const Compression& compression : example::all_compressions()) {
    const Sealer sealer(example::key(1), example::vault(1), random_, compression);
    for (const std::size_t bytes :
         {std::size_t{1}, std::size_t{2}, std::size_t{63}, std::size_t{4096}, kFramePlainBytesMax - 1,
          kFramePlainBytesMax, kFramePlainBytesMax + 1, 3 * kFramePlainBytesMax + 77}) {
      SCOPED_TRACE(::testing::Message() << to_text(compression) << ", " << bytes << " bytes");
      for (const Bytes& plain : {example::text(bytes, 1), example::noise(bytes, 2), Bytes(bytes, std::byte{0})}) {
        const SealedChunk chunk = sealer.seal(plain);
        EXPECT_EQ(chunk.plain_bytes(), bytes);
        const Result<Bytes> opened = sealer.open(chunk.bytes());
        ASSERT_TRUE(opened) << opened.error().what;
        EXPECT_TRUE(*opened == plain);
      }
    }
  }
}

TEST_F(ASealer, OpensTheLargestChunk) {
  const Sealer sealer(example::key(1), example::vault(1), random_, {Compression::Codec::automatic, 0});
  const Bytes plain = example::noise(kChunkPlainBytesMax, 3);
  const SealedChunk chunk = sealer.seal(plain);
  EXPECT_LE(chunk.bytes().size(), limits::kChunkSealedBytesMax);
  EXPECT_TRUE(sealer.open(chunk.bytes()).value() == plain);
}

TEST_F(ASealer, OpensWhatWasSealedWithAnotherCodec) {
  const Bytes plain = example::text(300'000, 1);
  for (const Compression& compression : example::all_compressions()) {
    const Sealer other(example::key(1), example::vault(1), random_, compression);
    EXPECT_TRUE(sealer_.open(other.seal(plain).bytes()).value() == plain) << to_text(compression);
  }
}

TEST_F(ASealer, NamesAChunkByTheHashOfItsSealedBytes) {
  const SealedChunk chunk = sealer_.seal(example::text(5000, 1));
  EXPECT_EQ(chunk.id(), object::ChunkId(crypto::sha256(chunk.bytes())));
}

TEST_F(ASealer, NamesManyChunksAtOnceAsItNamesEach) {
  std::vector<UnnamedChunk> unnamed;
  std::vector<Bytes> plains;
  for (unsigned i = 0; i < 20; ++i) plains.push_back(example::noise(1000 + i * 7919, i));
  for (const Bytes& plain : plains) unnamed.push_back(sealer_.seal_unnamed(plain));
  const std::vector<SealedChunk> chunks = Sealer::name(unnamed);
  ASSERT_EQ(chunks.size(), plains.size());
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i].id(), object::ChunkId(crypto::sha256(chunks[i].bytes()))) << i;
    EXPECT_EQ(chunks[i].plain_bytes(), plains[i].size());
    const Result<Bytes> opened = sealer_.open(chunks[i].bytes());
    ASSERT_TRUE(opened) << i;
    EXPECT_TRUE(*opened == plains[i]) << i;
  }
}

TEST_F(ASealer, NeverSealsTheSameBytesAlike) {
  const Bytes plain = example::text(5000, 1);
  std::set<object::ChunkId> ids;
  for (int i = 0; i < 100; ++i) ids.insert(sealer_.seal(plain).id());
  EXPECT_EQ(ids.size(), 100u);
}

TEST_F(ASealer, ShowsNothingOfThePlainBytes) {
  const Sealer sealer(example::key(1), example::vault(1), random_, {Compression::Codec::none, 0});
  const std::string marker = "a marker that is easily found";
  Bytes plain(200'000, std::byte{' '});
  std::ranges::copy(as_bytes(marker), plain.begin() + 1000);
  std::ranges::copy(as_bytes(marker), plain.end() - 100);
  EXPECT_EQ(as_text(sealer.seal(plain).bytes()).find(marker), std::string_view::npos);
}

TEST_F(ASealer, PadsEveryChunkToALengthThatManyShare) {
  for (std::size_t bytes = 1; bytes < 400'000; bytes = bytes * 3 / 2 + 1) {
    const std::size_t sealed_bytes = sealer_.seal(example::text(bytes, 5)).bytes().size();
    EXPECT_EQ(sealed_bytes, padme(sealed_bytes));
  }
}

// Claim: the padding cannot be told from content: no long run of one byte ends a sealed chunk.
TEST_F(ASealer, HidesThePaddingInTheEncryption) {
  const Sealer sealer(example::key(1), example::vault(1), random_, {Compression::Codec::none, 0});
  const SealedChunk chunk = sealer.seal(example::noise((1u << 20) + 10'000, 1));
  ASSERT_GT(chunk.bytes().size(), (1u << 20) + 20'000u);
  const ByteView tail = chunk.bytes().last(4096);
  EXPECT_LT(std::ranges::count(tail, std::byte{0}), 100);
}

TEST_F(ASealer, CompressesWhatCompresses) {
  const Bytes plain = example::text(1u << 20, 1);
  EXPECT_LT(sealer_.seal(plain).bytes().size(), plain.size() / 2);
}

TEST_F(ASealer, StoresAFrameThatDoesNotShrink) {
  Bytes plain = example::noise(kFramePlainBytesMax, 1);
  append(plain, example::text(kFramePlainBytesMax, 1));
  for (const Compression& compression : example::all_compressions()) {
    if (compression.codec == Compression::Codec::none) continue;
    const Sealer sealer(example::key(1), example::vault(1), random_, compression);
    const SealedHeader header = sealer.read_header(sealer.seal(plain).bytes()).value();
    EXPECT_EQ(header.frames[0].codec, 0) << to_text(compression);
    EXPECT_NE(header.frames[1].codec, 0) << to_text(compression);
  }
}

// Claim: the header and one frame's bytes are enough; nothing else of the chunk is looked at.
TEST_F(ASealer, OpensOneFrameWithoutTheOthers) {
  Bytes plain = example::text(2 * kFramePlainBytesMax, 1);
  append(plain, example::noise(kFramePlainBytesMax, 2));
  append(plain, example::text(1000, 3));
  const SealedChunk chunk = sealer_.seal(plain);
  const SealedHeader header = sealer_.read_header(chunk.bytes().first(kHeaderBytesMax)).value();
  ASSERT_EQ(header.plain_bytes, plain.size());
  ASSERT_EQ(header.sealed_bytes, chunk.bytes().size());
  ASSERT_EQ(header.frames.size(), 4u);
  for (std::size_t i = 0; i < header.frames.size(); ++i) {
    const SealedFrame& frame = header.frames[i];
    const Bytes frame_bytes = copy_of(chunk.bytes().subspan(frame.sealed_offset, frame.sealed_bytes));
    const Result<Bytes> opened = sealer_.open_frame(header, i, frame_bytes);
    ASSERT_TRUE(opened) << opened.error().what;
    EXPECT_TRUE(std::ranges::equal(*opened, ByteView(plain).subspan(frame.plain_offset, frame.plain_bytes)));
    EXPECT_EQ(header.frame_index_at(frame.plain_offset), i);
    EXPECT_EQ(header.frame_index_at(frame.plain_offset + frame.plain_bytes - 1), i);
  }
}

TEST_F(ASealer, DoesNotTakeOneFrameForAnother) {
  const Sealer sealer(example::key(1), example::vault(1), random_, {Compression::Codec::none, 0});
  const SealedChunk chunk = sealer.seal(example::noise(3 * kFramePlainBytesMax, 1));
  const SealedHeader header = sealer.read_header(chunk.bytes()).value();
  const SealedFrame& first = header.frames[0];
  const ByteView first_bytes = chunk.bytes().subspan(first.sealed_offset, first.sealed_bytes);
  EXPECT_TRUE(sealer.open_frame(header, 0, first_bytes));
  EXPECT_EQ(sealer.open_frame(header, 1, first_bytes).error().fault, Fault::corrupt);
  EXPECT_EQ(sealer.open_frame(header, 0, first_bytes.first(100)).error().fault, Fault::corrupt);
  EXPECT_EQ(sealer.open_frame(header, 0, {}).error().fault, Fault::corrupt);
}

// Claim: each bit of a sealed chunk is under a tag or checked.
TEST_F(ASealer, NeverOpensAChunkWithABitChanged) {
  const SealedChunk chunk = sealer_.seal(example::text(2000, 1));
  for (std::size_t bit = 0; bit < chunk.bytes().size() * 8; ++bit) {
    Bytes changed = copy_of(chunk.bytes());
    changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    const Result<Bytes> opened = sealer_.open(changed);
    ASSERT_FALSE(opened) << "bit " << bit;
    EXPECT_EQ(opened.error().fault, Fault::corrupt);
  }
}

TEST_F(ASealer, NeverOpensAChunkThatWasCutShortOrMadeLonger) {
  const SealedChunk chunk = sealer_.seal(example::text(2000, 1));
  for (std::size_t bytes = 0; bytes <= chunk.bytes().size() + 40; ++bytes) {
    if (bytes == chunk.bytes().size()) continue;
    Bytes changed = copy_of(chunk.bytes());
    changed.resize(bytes, std::byte{0});
    const Result<Bytes> opened = sealer_.open(changed);
    ASSERT_FALSE(opened) << bytes;
    EXPECT_EQ(opened.error().fault, Fault::corrupt);
  }
}

TEST_F(ASealer, OpensNothingOfAnotherVaultOrKey) {
  const SealedChunk chunk = sealer_.seal(example::text(2000, 1));
  const Sealer other_vault(example::key(1), example::vault(2), random_, {});
  const Sealer other_key(example::key(2), example::vault(1), random_, {});
  EXPECT_EQ(other_vault.open(chunk.bytes()).error().fault, Fault::corrupt);
  EXPECT_EQ(other_key.open(chunk.bytes()).error().fault, Fault::corrupt);
}

TEST_F(ASealer, MayBeUsedByManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::vector<int> good(4);
  for (unsigned t = 0; t < good.size(); ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 20; ++i) {
        const Bytes plain = example::text(200'000 + 1000 * t, i);
        const Result<Bytes> opened = sealer_.open(sealer_.seal(plain).bytes());
        if (opened && *opened == plain) ++good[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, std::vector<int>(4, 20));
}

}  // namespace
}  // namespace coffer::seal
