#include "fs/spool/staging.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::spool {
namespace {

constexpr ChunkKey kChunk{42};

class StagingTest : public ::testing::Test {
 protected:
  StagingTest() { reopen(); }

  crypto::Secret key() { return crypto::Secret::copy_of(Bytes(32, std::byte{9})); }
  void reopen() {
    auto opened = Staging::open(os::real_disk(), (folder_ / "staging").string(), key(), random_);
    ASSERT_TRUE(opened);
    staging_ = std::move(*opened);
  }
  std::string path() { return (folder_ / "staging" / "42").string(); }
  Bytes file() {
    std::ifstream in(path(), std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    return copy_of(as_bytes(all));
  }

  testing::TempDir folder_;
  testing::SeededRandom random_{1};
  std::unique_ptr<Staging> staging_;
};

TEST_F(StagingTest, GivesBackAfterARestartWhatWasAppended) {
  const Bytes first = random_.bytes(1000);
  const Bytes second = random_.bytes(5);
  ASSERT_TRUE(staging_->append(kChunk, 0, first));
  ASSERT_TRUE(staging_->append(kChunk, 1000, second));
  reopen();
  const auto chunks = staging_->chunks();
  ASSERT_TRUE(chunks);
  EXPECT_EQ(*chunks, std::vector<ChunkKey>{kChunk});
  const auto staged = staging_->read(kChunk);
  ASSERT_TRUE(staged);
  EXPECT_FALSE(staged->is_damaged);
  ASSERT_EQ(staged->plain.size(), 1005u);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), staged->plain.begin()));
  EXPECT_TRUE(std::equal(second.begin(), second.end(), staged->plain.begin() + 1000));
}

TEST_F(StagingTest, ShowsNothingOfThePlainBytes) {
  ASSERT_TRUE(staging_->append(kChunk, 0, as_bytes("a marker that must not be found")));
  const Bytes bytes = file();
  EXPECT_EQ(as_text(bytes).find("marker"), std::string_view::npos);
}

TEST_F(StagingTest, EncryptsTheSameBytesDifferentlyInEachFile) {
  ASSERT_TRUE(staging_->append(kChunk, 0, as_bytes("the same bytes")));
  const Bytes first = file();
  ASSERT_TRUE(staging_->remove(kChunk));
  ASSERT_TRUE(staging_->append(kChunk, 0, as_bytes("the same bytes")));
  const Bytes second = file();
  EXPECT_FALSE(std::ranges::equal(ByteView(first).subspan(48), ByteView(second).subspan(48)));
}

// Claim: wherever a crash tears the file, the records before the tear are read, and nothing is called damage.
TEST_F(StagingTest, LeavesATornLastRecordOut) {
  ASSERT_TRUE(staging_->append(kChunk, 0, random_.bytes(20)));
  const std::size_t whole = file().size();
  ASSERT_TRUE(staging_->append(kChunk, 20, random_.bytes(30)));
  const Bytes bytes = file();
  for (std::size_t count = whole; count < bytes.size(); ++count) {
    const auto staged = decode_staging(ByteView(bytes).first(count), kChunk, key());
    ASSERT_TRUE(staged) << count;
    EXPECT_EQ(staged->plain.size(), 20u) << count;
    EXPECT_FALSE(staged->is_damaged) << count;
  }
}

// Claim: no changed bit goes unnoticed.
TEST_F(StagingTest, SaysThatAChangedRecordIsDamaged) {
  ASSERT_TRUE(staging_->append(kChunk, 0, random_.bytes(20)));
  ASSERT_TRUE(staging_->append(kChunk, 20, random_.bytes(30)));
  const Bytes good = file();
  for (std::size_t at = 0; at < good.size(); ++at) {
    SCOPED_TRACE(at);
    Bytes bad = good;
    bad[at] ^= std::byte{4};
    const auto staged = decode_staging(bad, kChunk, key());
    if (at < 8) {
      ASSERT_FALSE(staged);
      EXPECT_EQ(staged.error().fault, Fault::corrupt);
    } else {
      ASSERT_TRUE(staged);
      EXPECT_LT(staged->plain.size(), 50u);  // A length that was made larger looks like a torn record.
    }
  }
  const auto other_number = decode_staging(good, ChunkKey(43), key());
  ASSERT_TRUE(other_number);
  EXPECT_TRUE(other_number->is_damaged);
}

// Claim: SPOOL.md says how a staging file is made: these were made from it by other code (AES-GCM and HKDF of Python's
// cryptography), for chunk 1 under a key of zeros.
TEST_F(StagingTest, ReadsTheGoldenFiles) {
  const auto decode = [](const char* name) {
    const auto file = os::read_file(os::real_disk(), std::string(COFFER_VECTORS) + "/staging/" + name, 1u << 20);
    EXPECT_TRUE(file);
    return decode_staging(*file, ChunkKey(1), crypto::Secret(32));
  };
  const auto good = decode("two_records.bin");
  ASSERT_TRUE(good);
  EXPECT_EQ(as_text(good->plain), "the first small file\nand the second\n");
  EXPECT_FALSE(good->is_damaged);
  const auto torn = decode("torn.bin");
  ASSERT_TRUE(torn);
  EXPECT_EQ(as_text(torn->plain), "the first small file\n");
  EXPECT_FALSE(torn->is_damaged);
  const auto changed = decode("changed.bin");
  ASSERT_TRUE(changed);
  EXPECT_EQ(as_text(changed->plain), "");
  EXPECT_TRUE(changed->is_damaged);
}

TEST_F(StagingTest, IsQuietAboutRemovingWhatIsNotThere) {
  EXPECT_TRUE(staging_->remove(kChunk));
  ASSERT_TRUE(staging_->append(kChunk, 0, as_bytes("x")));
  EXPECT_TRUE(staging_->remove(kChunk));
  const auto chunks = staging_->chunks();
  ASSERT_TRUE(chunks);
  EXPECT_TRUE(chunks->empty());
}

}  // namespace
}  // namespace coffer::spool
