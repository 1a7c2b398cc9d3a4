#include "common/object/commit.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/limits.h"
#include "tests/testing/hex.h"
#include "tests/testing/seeded_random.h"

namespace coffer::object {
namespace {

using testing::SeededRandom;

template <class Id>
Id random_id(SeededRandom& random) {
  return Id::from(random.bytes(Id::kSize)).value();
}

std::vector<ChunkId> random_ids(SeededRandom& random, std::size_t count) {
  std::vector<ChunkId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(random_id<ChunkId>(random));
  std::ranges::sort(ids);
  return ids;
}

Commit some_commit(std::uint64_t seed, std::size_t added = 3, std::size_t released = 2) {
  SeededRandom random(seed);
  return {.vault = random_id<VaultId>(random),
          .seq = 7,
          .previous = random_id<CommitHash>(random),
          .epoch = 5,
          .added = random_ids(random, added),
          .released = random_ids(random, released),
          .payload = random.bytes(20)};
}

void expect_equal(const Commit& a, const Commit& b) {
  EXPECT_EQ(a.vault, b.vault);
  EXPECT_EQ(a.seq, b.seq);
  EXPECT_EQ(a.previous, b.previous);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.added, b.added);
  EXPECT_EQ(a.released, b.released);
  EXPECT_EQ(a.payload, b.payload);
}

void expect_corrupt(ByteView bytes) {
  const Result<Commit> commit = decode_commit(bytes);
  ASSERT_FALSE(commit);
  EXPECT_EQ(commit.error().fault, Fault::corrupt);
}

void put_u32(Bytes& bytes, std::size_t at, std::uint32_t value) { std::memcpy(bytes.data() + at, &value, 4); }

TEST(Commit, ComesBackAsItWasEncoded) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    const Commit commit = some_commit(seed, seed % 4, seed / 4);
    const Result<Commit> decoded = decode_commit(encode(commit));
    ASSERT_TRUE(decoded);
    expect_equal(*decoded, commit);
  }
}

TEST(Commit, LiesInItsBytesAsTheHeaderSays) {
  Commit commit;
  commit.vault = VaultId::from(testing::hex("000102030405060708090a0b0c0d0e0f")).value();
  commit.seq = 1;
  commit.epoch = 2;
  commit.added = {ChunkId::from(Bytes(32, std::byte{0xaa})).value()};
  commit.released = {ChunkId::from(Bytes(32, std::byte{0xbb})).value()};
  commit.payload = copy_of(as_bytes("xyz"));
  const std::string zeros(64, '0');
  std::string a;
  std::string b;
  for (int i = 0; i < 32; ++i) a += "aa";
  for (int i = 0; i < 32; ++i) b += "bb";
  EXPECT_EQ(base::to_hex(encode(commit)), "434652434d543031000102030405060708090a0b0c0d0e0f0100000000000000" + zeros +
                                              "0200000000000000"
                                              "01000000"
                                              "01000000"
                                              "03000000"
                                              "00000000" +
                                              a + b + "78797a");
}

TEST(Commit, IsRefusedAtEveryTruncationAndWithBytesBehindIt) {
  Bytes bytes = encode(some_commit(1));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    SCOPED_TRACE(size);
    expect_corrupt(ByteView(bytes).first(size));
  }
  bytes.push_back(std::byte{0});
  expect_corrupt(bytes);
}

TEST(Commit, IsRefusedWithIdsThatAreNotAscending) {
  for (const std::size_t first : {std::size_t{88}, std::size_t{88 + 3 * 32}}) {
    Bytes swapped = encode(some_commit(1));
    std::swap_ranges(swapped.begin() + first, swapped.begin() + first + 32, swapped.begin() + first + 32);
    expect_corrupt(swapped);
    Bytes repeated = encode(some_commit(1));
    std::copy_n(repeated.begin() + first, 32, repeated.begin() + first + 32);
    expect_corrupt(repeated);
  }
}

TEST(Commit, IsRefusedWithFieldsThatNoCommitHas) {
  const Bytes good = encode(some_commit(1));
  Bytes magic = good;
  magic[0] ^= std::byte{1};
  expect_corrupt(magic);
  Bytes seq = good;
  std::fill_n(seq.begin() + 24, 8, std::byte{0});
  expect_corrupt(seq);
  seq[24] = std::byte{1};  // The first commit, yet with a previous one.
  expect_corrupt(seq);
  Bytes reserved = good;
  put_u32(reserved, 84, 1);
  expect_corrupt(reserved);
}

TEST(Commit, IsRefusedWithCountsBeyondTheLimits) {
  const Bytes good = encode(some_commit(1));
  for (const std::size_t at : {72u, 76u, 80u}) {
    for (const std::uint32_t count : {std::uint32_t{0}, std::uint32_t{4}, ~std::uint32_t{0}}) {
      Bytes bytes = good;
      put_u32(bytes, at, count);
      expect_corrupt(bytes);
    }
  }
  const std::size_t count = limits::kIdsPerMessageMax + 1;
  Bytes many = good;
  many.resize(88 + count * 32);
  put_u32(many, 72, static_cast<std::uint32_t>(count));
  put_u32(many, 76, 0);
  put_u32(many, 80, 0);
  expect_corrupt(many);
  Bytes long_payload = good;
  long_payload.resize(88 + limits::kCommitPayloadBytesMax + 1);
  put_u32(long_payload, 72, 0);
  put_u32(long_payload, 76, 0);
  put_u32(long_payload, 80, limits::kCommitPayloadBytesMax + 1);
  expect_corrupt(long_payload);
}

TEST(Commit, FitsOneFrameAtItsLargest) {
  Commit commit = some_commit(1, limits::kIdsPerMessageMax, limits::kIdsPerMessageMax);
  commit.payload.resize(limits::kCommitPayloadBytesMax);
  const Bytes bytes = encode(commit);
  EXPECT_LE(bytes.size(), limits::kWireBodyBytesMax);
  EXPECT_TRUE(decode_commit(bytes));
}

TEST(CommitDeathTest, StopsWhoEncodesUnsortedIds) {
  Commit commit = some_commit(1);
  std::swap(commit.added[0], commit.added[1]);
  EXPECT_DEATH(encode(commit), "broken invariant");
}

TEST(CommitHash, IsTheSha256OfTheBytes) {
  EXPECT_EQ(hash_of(as_bytes("abc")).hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Receipt some_receipt(const crypto::SigningKey& key) {
  SeededRandom random(3);
  Receipt receipt{.vault = random_id<VaultId>(random),
                  .seq = 9,
                  .hash = random_id<CommitHash>(random),
                  .server_time_ns = 1'700'000'000'000'000'000,
                  .chunk_count = 12};
  sign(receipt, key);
  return receipt;
}

TEST(Receipt, ComesBackAndHolds) {
  SeededRandom random(4);
  const crypto::SigningKey key = crypto::SigningKey::generate(random);
  const Receipt receipt = some_receipt(key);
  const Bytes bytes = encode(receipt);
  EXPECT_EQ(bytes.size(), 144u);
  const Result<Receipt> decoded = decode_receipt(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->vault, receipt.vault);
  EXPECT_EQ(decoded->seq, receipt.seq);
  EXPECT_EQ(decoded->hash, receipt.hash);
  EXPECT_EQ(decoded->server_time_ns, receipt.server_time_ns);
  EXPECT_EQ(decoded->chunk_count, receipt.chunk_count);
  EXPECT_TRUE(holds(*decoded, key.public_key()));
}

TEST(Receipt, DoesNotHoldWithAnyOtherByteOrKey) {
  SeededRandom random(4);
  const crypto::SigningKey key = crypto::SigningKey::generate(random);
  const Bytes bytes = encode(some_receipt(key));
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    Bytes bent = bytes;
    bent[at] ^= std::byte{0x10};
    const Result<Receipt> receipt = decode_receipt(bent);
    EXPECT_EQ(receipt.has_value(), at >= 8) << at;
    EXPECT_FALSE(receipt && holds(*receipt, key.public_key())) << at;
  }
  EXPECT_FALSE(holds(*decode_receipt(bytes), crypto::SigningKey::generate(random).public_key()));
}

TEST(Receipt, IsRefusedAtEveryTruncationAndWithBytesBehindIt) {
  SeededRandom random(4);
  Bytes bytes = encode(some_receipt(crypto::SigningKey::generate(random)));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(decode_receipt(ByteView(bytes).first(size)).error().fault, Fault::corrupt) << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_EQ(decode_receipt(bytes).error().fault, Fault::corrupt);
}

TEST(Id, IsMadeFromItsOwnLengthOnlyAndShownInHexadecimal) {
  EXPECT_EQ(VaultId::from(Bytes(15)).error().fault, Fault::corrupt);
  EXPECT_EQ(VaultId::from(Bytes(17)).error().fault, Fault::corrupt);
  const VaultId id = VaultId::from(testing::hex("00112233445566778899aabbccddeeff")).value();
  EXPECT_EQ(id.hex(), "00112233445566778899aabbccddeeff");
  EXPECT_EQ(short_hex(id.bytes()), "00112233");
  EXPECT_EQ(short_hex({}), "");
}

}  // namespace
}  // namespace coffer::object
