#include "fs/chunk/chunker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "common/base/limits.h"
#include "fs/chunk/piece_hash.h"
#include "tests/testing/seeded_random.h"

namespace coffer::chunk {
namespace {

using limits::kPieceBytesMax;
using limits::kPieceBytesMin;

crypto::Secret key(unsigned seed) {
  testing::SeededRandom random(seed);
  return crypto::Secret::copy_of(random.bytes(32));
}

std::vector<std::size_t> lengths(Chunker& chunker, ByteView data) {
  std::vector<std::size_t> pieces;
  while (!data.empty()) {
    pieces.push_back(chunker.cut(data, true));
    data = data.subspan(pieces.back());
  }
  return pieces;
}

std::vector<PieceHash> hashes(Chunker& chunker, ByteView data) {
  const PieceHasher hasher(key(99));
  std::vector<PieceHash> names;
  for (const std::size_t piece : lengths(chunker, data)) {
    names.push_back(hasher.hash(data.first(piece)));
    data = data.subspan(piece);
  }
  return names;
}

std::size_t known(const std::vector<PieceHash>& names, const std::vector<PieceHash>& among) {
  const std::set<PieceHash> all(among.begin(), among.end());
  return static_cast<std::size_t>(
      std::ranges::count_if(names, [&](const PieceHash& name) { return all.contains(name); }));
}

const Bytes& random_data() {
  static const Bytes data = testing::SeededRandom(1).bytes(32u << 20);
  return data;
}

TEST(Chunker, CutsRandomDataIntoPiecesOfAQuarterMebibyteOnAverage) {
  Chunker chunker(key(1));
  const auto pieces = lengths(chunker, random_data());
  const std::size_t mean = random_data().size() / pieces.size();
  EXPECT_GE(mean, 200u << 10);
  EXPECT_LE(mean, 320u << 10);
}

TEST(Chunker, KeepsEveryPieceButTheLastWithinItsBounds) {
  Chunker chunker(key(2));
  const Bytes zeros(5u << 20, std::byte{0});
  for (const ByteView data : {ByteView(random_data()), ByteView(zeros)}) {
    const auto pieces = lengths(chunker, data);
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
      EXPECT_GE(pieces[i], kPieceBytesMin);
      EXPECT_LE(pieces[i], kPieceBytesMax);
    }
    EXPECT_LE(pieces.back(), kPieceBytesMax);
  }
}

TEST(Chunker, FindsMostOfWhatItKnewAfterALineWasInserted) {
  Chunker chunker(key(3));
  const auto before = hashes(chunker, random_data());
  Bytes changed = copy_of(as_bytes("-- dumped on another day\n"));
  append(changed, random_data());
  const auto after = hashes(chunker, changed);
  // Every candidate falls out of step only until the first cut that both have in common.
  EXPECT_GE(known(after, before) + 6, after.size());

  Bytes middle = copy_of(ByteView(random_data()).first(16u << 20));
  append(middle, as_bytes("one more row\n"));
  append(middle, ByteView(random_data()).subspan(16u << 20));
  EXPECT_GE(known(hashes(chunker, middle), before) + 6, before.size());
}

TEST(Chunker, CutsTheSameWayEachTimeAndDifferentlyUnderAnotherKey) {
  Chunker one(key(4));
  Chunker same(key(4));
  Chunker other(key(5));
  const ByteView data = ByteView(random_data()).first(16u << 20);
  EXPECT_EQ(lengths(one, data), lengths(same, data));
  const auto mine = hashes(one, data);
  EXPECT_LE(known(hashes(other, data), mine), 1u);  // A last piece may coincide where both cut at the maximum.
}

// Claim: how the bytes arrive changes nothing; a 0 says only that too few have come.
TEST(Chunker, CutsTheSameWayHoweverTheBytesArrive) {
  Chunker chunker(key(6));
  const ByteView data = ByteView(random_data()).first(8u << 20);
  const auto expected = lengths(chunker, data);
  for (unsigned seed = 0; seed < 10; ++seed) {
    SCOPED_TRACE(seed);
    testing::SeededRandom random(seed);
    std::vector<std::size_t> pieces;
    std::size_t begin = 0;
    std::size_t end = 0;
    while (begin < data.size()) {
      const std::size_t length = chunker.cut(data.subspan(begin, end - begin), end == data.size());
      if (length == 0) {
        ASSERT_LT(end - begin, kPieceBytesMax);
        end = std::min<std::size_t>(data.size(), end + 1 + random.below(300'000));
        continue;
      }
      pieces.push_back(length);
      begin += length;
    }
    EXPECT_EQ(pieces, expected);
  }
}

TEST(Chunker, IsCertainExactlyWhenTheBytesUpToTheCutAreThere) {
  Chunker chunker(key(7));
  const std::size_t length = chunker.cut(random_data(), false);
  ASSERT_GT(length, kPieceBytesMin);
  EXPECT_EQ(chunker.cut(ByteView(random_data()).first(length), false), length);
  EXPECT_EQ(chunker.cut(ByteView(random_data()).first(length - 1), false), 0);
  EXPECT_EQ(chunker.cut(ByteView(random_data()).first(length - 1), true), length - 1);
}

// Claim: who comes in at any place soon finds a cut of the whole content, without knowing what stands before.
TEST(Chunker, FindsACutOfTheWholeContentFromAnyPlaceInIt) {
  Chunker chunker(key(10));
  std::set<std::size_t> cuts;
  std::size_t end = 0;
  for (const std::size_t piece : lengths(chunker, random_data())) cuts.insert(end += piece);
  testing::SeededRandom random(10);
  std::size_t skipped = 0, wrong = 0;
  for (unsigned i = 0; i < 200; ++i) {
    const std::size_t begin = random.below(random_data().size() - (4u << 20));
    const std::size_t found = chunker.synchronize(ByteView(random_data()).subspan(begin, 4u << 20));
    ASSERT_GT(found, 0u) << begin;
    wrong += cuts.contains(begin + found) ? 0 : 1;
    skipped += found;
  }
  EXPECT_LE(wrong, 1u);
  EXPECT_LE(skipped / 200, 512u << 10);
}

TEST(Chunker, FindsNoCutOfTheWholeWhereThereIsNone) {
  Chunker chunker(key(11));
  EXPECT_EQ(chunker.synchronize({}), 0u);
  EXPECT_EQ(chunker.synchronize(ByteView(random_data()).first(kPieceBytesMin - 1)), 0u);
  EXPECT_EQ(chunker.synchronize(Bytes(4u << 20, std::byte{1})), 0u);
}

TEST(Chunker, TakesShortDataAsOnePieceOnceItIsAll) {
  Chunker chunker(key(8));
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, kPieceBytesMin - 1, kPieceBytesMin}) {
    const ByteView data = ByteView(random_data()).first(bytes);
    EXPECT_EQ(chunker.cut(data, true), bytes);
    EXPECT_EQ(chunker.cut(data, false), 0);
  }
}

TEST(Chunker, CutsAtTheMaximumWhereContentNeverSaysSo) {
  Chunker chunker(key(9));
  const Bytes zeros(kPieceBytesMax, std::byte{0});
  const std::size_t length = chunker.cut(zeros, false);
  EXPECT_TRUE(length == kPieceBytesMax || length == kPieceBytesMin) << length;
  EXPECT_EQ(chunker.cut(zeros, true), length);
}

TEST(PieceHasher, NamesEqualContentEquallyUnderOneKeyOnly) {
  const PieceHasher one(key(1));
  const PieceHasher other(key(2));
  EXPECT_EQ(one.hash(as_bytes("content")), one.hash(as_bytes("content")));
  EXPECT_NE(one.hash(as_bytes("content")), one.hash(as_bytes("contend")));
  EXPECT_NE(one.hash(as_bytes("content")), other.hash(as_bytes("content")));
}

TEST(PieceHasher, NamesManyPiecesAtOnceAsItNamesEach) {
  const PieceHasher hasher(key(3));
  std::vector<ByteView> pieces;
  for (std::size_t i = 0; i < 40; ++i) pieces.push_back(ByteView(random_data()).subspan(i * 1000, 100 + i * i * 97));
  const std::vector<PieceHash> names = hasher.hash_each(pieces);
  ASSERT_EQ(names.size(), pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) EXPECT_EQ(names[i], hasher.hash(pieces[i])) << i;
  EXPECT_TRUE(hasher.hash_each({}).empty());
}

}  // namespace
}  // namespace coffer::chunk
