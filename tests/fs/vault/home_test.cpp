#include "fs/vault/home.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/temp_dir.h"

namespace coffer::vault {
namespace {

using ::testing::HasSubstr;

class FolderLockTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  VaultFolder folder_{dir_.path().string()};
};

TEST_F(FolderLockTest, NamesItsHolderForAsLongAsItIsHeld) {
  EXPECT_FALSE(holder_of(folder_));
  {
    const Result<FolderLock> lock = FolderLock::take(folder_, "/mnt/with space");
    ASSERT_TRUE(lock);
    const std::optional<Holder> holder = holder_of(folder_);
    ASSERT_TRUE(holder);
    EXPECT_EQ(holder->pid, ::getpid());
    EXPECT_EQ(holder->mountpoint, "/mnt/with space");
  }
  EXPECT_FALSE(holder_of(folder_));
}

// Claim: who comes too late changes nothing, so that `coffer umount` still finds the process that serves the mount.
TEST_F(FolderLockTest, StaysWithItsHolderWhoeverElseTries) {
  const Result<FolderLock> lock = FolderLock::take(folder_, "/mnt");
  ASSERT_TRUE(lock);
  for (int i = 0; i < 3; ++i) {
    const Result<FolderLock> second = FolderLock::take(folder_, "/other");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
    EXPECT_THAT(second.error().what, HasSubstr("already mounted at /mnt by process " + std::to_string(::getpid())));
  }
  EXPECT_EQ(holder_of(folder_)->mountpoint, "/mnt");
}

TEST_F(FolderLockTest, IsNotTakenByAskingForItsHolder) {
  EXPECT_FALSE(holder_of(folder_));
  EXPECT_TRUE(FolderLock::take(folder_, ""));
  EXPECT_FALSE(holder_of(folder_));
  EXPECT_TRUE(FolderLock::take(folder_, ""));
}

VaultSettings some_settings() {
  VaultSettings settings;
  settings.name = "photos";
  settings.server = {"host", 7465};
  settings.key_file = "/keys/with \"quotes\"";
  settings.key_slots = {copy_of(as_bytes("one")), copy_of(as_bytes("two"))};
  return settings;
}

TEST(VaultSettings, AreTheSameAfterTheyWereWritten) {
  testing::TempDir dir;
  const VaultFolder folder{dir.path().string()};
  ASSERT_TRUE(write_settings(folder, some_settings()));
  const Result<VaultSettings> again = read_settings(folder);
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(again->name, "photos");
  EXPECT_EQ(again->server.port, 7465);
  EXPECT_EQ(again->key_file, some_settings().key_file);
  EXPECT_EQ(again->key_slots, some_settings().key_slots);
}

// Claim: what would not be read again is not written: what was there stays.
TEST(VaultSettings, AreNotWrittenWhereTheyWouldBeTooLongToBeRead) {
  testing::TempDir dir;
  const VaultFolder folder{dir.path().string()};
  VaultSettings settings = some_settings();
  ASSERT_TRUE(write_settings(folder, settings));
  settings.key_slots.emplace_back(600'000);
  const Result<void> written = write_settings(folder, settings);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().fault, Fault::refused);
  EXPECT_EQ(read_settings(folder)->key_slots, some_settings().key_slots);
}

TEST(VaultSettings, AreCalledDamagedWhereTheyCannotBeRead) {
  testing::TempDir dir;
  const VaultFolder folder{dir.path().string()};
  for (const char* text : {"", "nonsense", "{}", "[]", R"({"name":1})"}) {
    std::ofstream(folder.settings()) << text;
    const Result<VaultSettings> settings = read_settings(folder);
    ASSERT_FALSE(settings) << text;
    EXPECT_EQ(settings.error().fault, Fault::corrupt);
  }
}

TEST(Home, ChoosesTheOnlyVaultAndAsksForANameWhereThereAreSeveral) {
  testing::TempDir dir;
  const Home home(dir.path().string());
  EXPECT_THAT(home.choose("").error().what, HasSubstr("coffer enroll TOKEN"));
  const auto add = [&](const std::string& name) {
    std::filesystem::create_directories(home.folder(name).path);
    ASSERT_TRUE(write_settings(home.folder(name), some_settings()));
  };
  add("one");
  EXPECT_EQ(home.choose("")->path, home.folder("one").path);
  add("two");
  EXPECT_THAT(home.choose("").error().what, HasSubstr("one, two"));
  EXPECT_EQ(home.choose("two")->path, home.folder("two").path);
  EXPECT_FALSE(home.choose("three"));
}

}  // namespace
}  // namespace coffer::vault
