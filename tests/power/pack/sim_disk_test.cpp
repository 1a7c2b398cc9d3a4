// The disk that the other tests trust: it must lose what a real one may, or they prove nothing.
#include "tests/testing/sim_disk.h"

#include <gtest/gtest.h>

#include <set>

#include "common/db/database.h"

namespace coffer::power {
namespace {

using testing::SimDisk;

constexpr unsigned kSeeds = 60;

std::string content(SimDisk& disk, const std::string& path) {
  const Result<Bytes> bytes = os::read_file(disk, path, 1u << 20);
  return bytes ? std::string(as_text(*bytes)) : "absent";
}

/// What the file may hold after a cut, over many seeds.
template <class Use>
std::set<std::string> outcomes(Use use) {
  std::set<std::string> seen;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk(seed);
    use(disk);
    disk.cut_power();
    disk.restart();
    seen.insert(content(disk, "/file"));
  }
  return seen;
}

TEST(ASimDisk, KeepsWhatWasSyncedWithItsName) {
  EXPECT_EQ(outcomes([](SimDisk& disk) { (void)os::replace_file(disk, "/file", as_bytes("good")); }),
            std::set<std::string>{"good"});
}

TEST(ASimDisk, MayLoseANameWhoseFileWasSyncedAndContentWhoseNameWas) {
  const auto without_folder = outcomes([](SimDisk& disk) {
    const auto file = *disk.open("/file", os::Open::create);
    (void)file->write_at(as_bytes("good"), 0);
    (void)file->sync();
  });
  EXPECT_EQ(without_folder, (std::set<std::string>{"absent", "good"}));
  const auto without_file = outcomes([](SimDisk& disk) {
    const auto file = *disk.open("/file", os::Open::create);
    (void)file->write_at(as_bytes("good"), 0);
    (void)disk.sync_folder("/");
  });
  EXPECT_TRUE(without_file.contains("")) << "nothing of the content";
  EXPECT_TRUE(without_file.contains("good"));
  EXPECT_FALSE(without_file.contains("absent"));
}

TEST(ASimDisk, MayKeepALaterWriteWithoutAnEarlierOne) {
  const std::string old(512, 'o'), first(512, '1'), second(512, '2');
  const auto seen = outcomes([&](SimDisk& disk) {
    (void)os::replace_file(disk, "/file", as_bytes(old + old));
    const auto file = *disk.open("/file", os::Open::write);
    (void)file->write_at(as_bytes(first), 0);
    (void)file->write_at(as_bytes(second), 512);
  });
  EXPECT_EQ(seen, (std::set<std::string>{old + old, first + old, old + second, first + second}));
}

TEST(ASimDisk, LosesForGoodWhatASyncFailedToWrite) {
  const auto seen = outcomes([](SimDisk& disk) {
    (void)os::replace_file(disk, "/file", as_bytes("old"));
    const auto file = *disk.open("/file", os::Open::write);
    (void)file->write_at(as_bytes("new"), 0);
    disk.fail_sync(1);
    EXPECT_FALSE(file->sync());
    EXPECT_TRUE(file->sync());
    EXPECT_EQ(content(disk, "/file"), "new");
  });
  EXPECT_EQ(seen, std::set<std::string>{"old"});
}

TEST(ASimDisk, HasAFileThatMovedInOneFolderOrTheOther) {
  std::set<std::string> seen;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk(seed);
    EXPECT_TRUE(disk.make_folder("/a"));
    EXPECT_TRUE(disk.make_folder("/b"));
    EXPECT_TRUE(os::replace_file(disk, "/a/file", as_bytes("x")));
    EXPECT_TRUE(disk.rename("/a/file", "/b/file"));
    if (seed % 2 == 0) {
      EXPECT_TRUE(disk.sync_folder("/b"));
    }
    disk.cut_power();
    disk.restart();
    const bool is_in_a = disk.list("/a")->size() == 1;
    EXPECT_NE(is_in_a, disk.list("/b")->size() == 1) << "seed " << seed;
    seen.insert(std::string(seed % 2 == 0 ? "synced" : "not synced") + (is_in_a ? ", old" : ", new"));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"synced, new", "not synced, new", "not synced, old"}));
}

/// How many rows a database holds after a cut, over many seeds.
std::set<std::int64_t> rows_after_a_cut(db::Sync sync) {
  std::set<std::int64_t> seen;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk(seed);
    {
      auto db = db::Database::open("/db", {.disk = &disk});
      EXPECT_TRUE(db->execute("CREATE TABLE t (x)"));
      EXPECT_TRUE(db->execute(sync == db::Sync::full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(db->execute("INSERT INTO t VALUES (zeroblob(3000))"));
      disk.cut_power();
    }
    disk.restart();
    auto db = db::Database::open("/db", {.disk = &disk});
    EXPECT_TRUE(db);
    auto count = db->prepare("SELECT count(*) FROM t");
    EXPECT_TRUE(*count->step());
    seen.insert(count->integer(0));
  }
  return seen;
}

TEST(ASimDisk, TakesSqlitesUnsyncedTransactionsAndLeavesTheSyncedOnes) {
  EXPECT_EQ(rows_after_a_cut(db::Sync::full), std::set<std::int64_t>{5});
  const std::set<std::int64_t> normal = rows_after_a_cut(db::Sync::normal);
  EXPECT_TRUE(normal.contains(0));
  EXPECT_TRUE(normal.contains(5));
  EXPECT_GT(normal.size(), 2u);
}

}  // namespace
}  // namespace coffer::power
