#include "server/scrub/check_vault.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "common/crypto/hash.h"
#include "common/os/clock.h"
#include "common/pack/pack_store.h"
#include "common/pack/record.h"
#include "server/oplog/oplog.h"
#include "tests/testing/faulty_disk.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::scrub {
namespace {

/// A vault with three chunks of 1,000 bytes and a commit that names the first two.
class CheckVault : public ::testing::Test {
 protected:
  void SetUp() override {
    open_packs();
    for (int i = 0; i < 3; ++i) {
      const Bytes sealed = random_.bytes(1000);
      ids_.emplace_back(crypto::sha256(sealed));
      ASSERT_TRUE(packs_->append(ids_.back(), sealed));
    }
    ASSERT_TRUE(packs_->sync());
    auto log = oplog::OpLog::open(folder() + "/oplog.db", vault_, key_, os::real_clock());
    ASSERT_TRUE(log);
    const object::ClientId client;
    object::Commit commit{.vault = vault_,
                          .seq = 1,
                          .previous = {},
                          .epoch = (*log)->acquire_lease(client, true)->epoch,
                          .added = {ids_[0], ids_[1]},
                          .released = {},
                          .payload = {}};
    std::ranges::sort(commit.added);
    const auto stored = [](const object::ChunkId&) -> Result<bool> { return true; };
    ASSERT_TRUE((*log)->append(object::encode(commit), client, stored));
  }

  std::string folder() const { return dir_.path().string(); }
  void open_packs() {
    auto packs = pack::PackStore::open(os::real_disk(), folder() + "/packs", {});
    ASSERT_TRUE(packs);
    packs_ = *std::move(packs);
  }
  VaultReport check(bool read_data) {
    auto report = check_vault(os::real_disk(), folder(), vault_, key_.public_key(), read_data);
    EXPECT_TRUE(report) << report.error().what;
    return *std::move(report);
  }
  std::string only_pack() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder() + "/packs")) {
      if (entry.path().extension() == ".pack") return entry.path().string();
    }
    return "";
  }
  /// Where the payload of chunk `index` begins: the records lie in the order of their appends.
  static std::uint64_t payload_at(std::size_t index) {
    return pack::kPackHeaderBytes + index * (pack::kRecordHeaderBytes + 1000) + pack::kRecordHeaderBytes;
  }
  void flip(std::uint64_t offset) {
    packs_.reset();
    const auto file = os::real_disk().open(only_pack(), os::Open::write);
    ASSERT_TRUE(file);
    std::byte one{};
    ASSERT_TRUE((*file)->read_at({&one, 1}, offset));
    one ^= std::byte{1};
    ASSERT_TRUE((*file)->write_at({&one, 1}, offset));
  }

  testing::TempDir dir_;
  testing::SeededRandom random_{1};
  crypto::SigningKey key_ = crypto::SigningKey::generate(random_);
  object::VaultId vault_;
  std::vector<object::ChunkId> ids_;
  std::unique_ptr<pack::PackStore> packs_;
};

TEST_F(CheckVault, FindsAWholeVaultWellBesideAnOpenStore) {
  const VaultReport report = check(true);
  EXPECT_TRUE(report.is_well());
  EXPECT_EQ(report.commits, 1u);
  EXPECT_EQ(report.chunks, 3u);
  EXPECT_EQ(report.bytes, 3000u);
  EXPECT_EQ(report.needed, 2u);
}

TEST_F(CheckVault, NamesTheChunkWithAFlippedByte) {
  flip(payload_at(1) + 500);
  EXPECT_TRUE(check(false).is_well()) << "payloads are not read without read_data";
  const VaultReport report = check(true);
  ASSERT_EQ(report.bad.size(), 1u);
  EXPECT_EQ(report.bad[0].id, ids_[1]);
  EXPECT_NE(report.bad[0].what.find(".pack"), std::string::npos);
}

TEST_F(CheckVault, NamesAChunkWhoseRecordCannotBeRead) {
  flip(payload_at(0) - pack::kRecordHeaderBytes);
  const VaultReport report = check(false);
  ASSERT_EQ(report.bad.size(), 1u);
  EXPECT_EQ(report.bad[0].id, ids_[0]);
  EXPECT_EQ(report.bad[0].what, "is missing");
  EXPECT_FALSE(report.damage.empty()) << "bytes that are no record";
}

TEST_F(CheckVault, NamesEveryChunkOfAPackThatIsGone) {
  packs_.reset();
  std::filesystem::remove(only_pack());
  EXPECT_EQ(check(false).bad.size(), 2u) << "those that commits name";
}

TEST_F(CheckVault, MissesNothingWhereTheIndexIsGoneOrATailIsTorn) {
  packs_.reset();
  std::filesystem::remove(folder() + "/packs/index.db");
  const auto file = os::real_disk().open(only_pack(), os::Open::write);
  ASSERT_TRUE((*file)->write_at(random_.bytes(100), *(*file)->size()));
  EXPECT_TRUE(check(true).is_well()) << "a torn tail was never acknowledged";
}

TEST_F(CheckVault, IsContentWithOneGoodCopy) {
  flip(payload_at(1) + 500);
  const Bytes again = [&] {
    testing::SeededRandom same(1);
    (void)crypto::SigningKey::generate(same);
    (void)same.bytes(1000);
    return same.bytes(1000);
  }();
  ASSERT_EQ(object::ChunkId(crypto::sha256(again)), ids_[1]);
  const auto file = os::real_disk().open(only_pack(), os::Open::write);
  const std::uint64_t end = *(*file)->size();
  ASSERT_TRUE((*file)->write_at(pack::encode_record_header(ids_[1], 1000), end));
  ASSERT_TRUE((*file)->write_at(again, end + pack::kRecordHeaderBytes));
  EXPECT_TRUE(check(true).is_well());
}

TEST_F(CheckVault, FailsWhereTheLogIsMissing) {
  std::filesystem::remove(folder() + "/oplog.db");
  EXPECT_FALSE(check_vault(os::real_disk(), folder(), vault_, key_.public_key(), false));
}

// Claim: what the disk cannot read, and what is known of that, is named without reading everything back.
TEST_F(CheckVault, NamesAChunkThatTheDiskCouldNotReadThoughItsHeaderIsGood) {
  testing::FaultyDisk disk;
  disk.fail_reads(".pack", payload_at(0) + 500);
  packs_.reset();
  {
    const auto packs = pack::PackStore::open(disk, folder() + "/packs", {});
    ASSERT_TRUE(packs) << packs.error().what;
    EXPECT_EQ(*(*packs)->examine(ids_[0]), pack::Soundness::damaged);
  }
  const auto report = check_vault(disk, folder(), vault_, key_.public_key(), false);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->bad.size(), 1u);
  EXPECT_EQ(report->bad[0].id, ids_[0]);
  EXPECT_NE(report->bad[0].what.find("cannot be read"), std::string::npos) << report->bad[0].what;
}

}  // namespace
}  // namespace coffer::scrub
