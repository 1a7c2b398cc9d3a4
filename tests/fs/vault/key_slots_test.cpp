// Removing a key slot, cut off at any point.
#include "fs/vault/key_slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "fs/vault/enrollment.h"
#include "fs/vault/server_call.h"
#include "fs/vault/vault.h"
#include "tests/testing/stage.h"

namespace coffer::vault {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

class EnrolledVault : public ::testing::Test {
 protected:
  void SetUp() override {
    key_.key_file = stage_.folder() + "/vault.key";
    EnrollmentRequest request;
    request.token = stage_.cofferd({"invite", "first"}).out;
    request.key.key_file = key_.key_file;
    const auto enrolled = vault::enroll(Home(stage_.folder() + "/home"), request);
    ASSERT_TRUE(enrolled) << enrolled.error().what;
    folder_ = enrolled->folder;
  }
  VaultSettings settings() const { return read_settings(folder_).value(); }
  Result<void> mount_once() {
    COFFER_TRY(const auto vault, Vault::open(folder_, {}, key_));
    return vault->close();
  }
  /// One more key slot, which this machine has seen; its number and bytes.
  rpc::KeySlot add_slot() {
    const auto number = add_key_file(folder_, key_, stage_.folder() + "/other.key");
    EXPECT_TRUE(number) << number.error().what;
    EXPECT_TRUE(mount_once());
    for (const rpc::KeySlot& slot : on_server()) {
      if (slot.number == *number) return slot;
    }
    ADD_FAILURE() << "the server has no such slot";
    return {};
  }
  std::vector<rpc::KeySlot> on_server() {
    ServerCall server(folder_, settings());
    EXPECT_TRUE(server.wait_online());
    return server.key_slots().value();
  }
  /// As a kill leaves it that came after the first step of remove_slot(), and perhaps after the server's.
  void cut_removal_off(const rpc::KeySlot& slot, bool server_has_done_it) {
    VaultSettings noted = settings();
    noted.removing_slots.push_back(slot.slot);
    ASSERT_TRUE(write_settings(folder_, noted));
    if (!server_has_done_it) return;
    ServerCall server(folder_, noted);
    ASSERT_TRUE(server.wait_online());
    ASSERT_TRUE(server.remove_key_slot(slot.number));
  }

  testing::Stage stage_;
  KeySource key_;
  VaultFolder folder_;
};

// Claim: a slot whose removal was cut off behind the server is forgotten at the next use, of the keys or of the vault.
TEST_F(EnrolledVault, ForgetsASlotThatTheServerRemovedBeforeAKill) {
  for (const bool by_mount : {false, true}) {
    SCOPED_TRACE(by_mount);
    std::filesystem::remove(stage_.folder() + "/other.key");
    const rpc::KeySlot slot = add_slot();
    ASSERT_THAT(settings().key_slots, Contains(slot.slot));
    cut_removal_off(slot, true);
    if (by_mount) {
      EXPECT_TRUE(mount_once());
    } else {
      EXPECT_TRUE(list_slots(folder_));
    }
    EXPECT_THAT(settings().key_slots, Not(Contains(slot.slot)));
    EXPECT_THAT(settings().removing_slots, IsEmpty());
    EXPECT_TRUE(mount_once());
  }
}

TEST_F(EnrolledVault, KeepsASlotWhoseRemovalDidNotReachTheServer) {
  const rpc::KeySlot slot = add_slot();
  cut_removal_off(slot, false);
  EXPECT_TRUE(mount_once());
  EXPECT_THAT(settings().key_slots, Contains(slot.slot));
  EXPECT_THAT(settings().removing_slots, IsEmpty());
}

TEST_F(EnrolledVault, ForgetsASlotThatItRemoves) {
  const rpc::KeySlot slot = add_slot();
  ASSERT_TRUE(remove_slot(folder_, slot.number));
  EXPECT_THAT(settings().key_slots, Not(Contains(slot.slot)));
  EXPECT_THAT(settings().removing_slots, IsEmpty());
  EXPECT_EQ(on_server().size(), 2u);
}

}  // namespace
}  // namespace coffer::vault
