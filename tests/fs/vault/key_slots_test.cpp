// Removing a key slot, cut off at any point; and taking another receipt key.
#include "fs/vault/key_slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "common/crypto/fingerprint.h"
#include "fs/vault/enrollment.h"
#include "fs/vault/receipt_key.h"
#include "fs/vault/server_call.h"
#include "fs/vault/vault.h"
#include "tests/testing/stage.h"

namespace coffer::vault {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
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
  EXPECT_TRUE(list_slots(folder_));  // A mount would learn of it anew.
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

// Claim: nothing but the fingerprint of the server's new receipt key, told by the user, makes a machine hold to it.
TEST_F(EnrolledVault, TakesAnotherReceiptKeyByItsFingerprintAlone) {
  const auto held_to = settings().receipt_key;
  ASSERT_TRUE(held_to);
  EXPECT_FALSE(ask_receipt_keys(folder_)->differ());
  stage_.stop_server();
  std::ofstream(stage_.server_dir() + "/receipt.key") << std::string(64, 'a') << "\n";
  stage_.start_server();
  const auto keys = ask_receipt_keys(folder_);
  ASSERT_TRUE(keys) << keys.error().what;
  EXPECT_TRUE(keys->differ());
  EXPECT_EQ(keys->held_to, held_to);

  EXPECT_TRUE(mount_once());
  for (const std::string& wrong : {std::string(), crypto::fingerprint_of(*held_to), std::string(64, '0')}) {
    const Result<void> taken = accept_receipt_key(folder_, wrong);
    EXPECT_EQ(taken ? 0 : taken.error().code, EACCES);
  }
  EXPECT_EQ(settings().receipt_key, held_to);
  const std::string fingerprint = crypto::fingerprint_of(keys->shown);
  EXPECT_THAT(stage_.cofferd({"check"}).out, HasSubstr(fingerprint)) << "where its owner finds it";
  const auto problems = [&] {
    const auto vault = Vault::open(folder_, {}, key_);
    EXPECT_TRUE(vault);
    const Result<void> busy = accept_receipt_key(folder_, fingerprint);
    EXPECT_EQ(busy ? 0 : busy.error().code, EBUSY) << "it is in use";
    return (*vault)->status().problems;
  };
  EXPECT_THAT(problems(), Contains(HasSubstr("--accept-receipt-key")));
  ASSERT_TRUE(accept_receipt_key(folder_, fingerprint));
  EXPECT_EQ(settings().receipt_key, keys->shown);
  EXPECT_THAT(problems(), IsEmpty());
}

}  // namespace
}  // namespace coffer::vault
