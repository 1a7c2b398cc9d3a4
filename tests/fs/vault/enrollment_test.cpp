// Enrolment that is cut off, wherever, against a real cofferd on loopback.
#include "fs/vault/enrollment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "fs/vault/key_slots.h"
#include "tests/testing/fault_proxy.h"
#include "tests/testing/stage.h"

namespace coffer::vault {
namespace {

using ::testing::HasSubstr;

class EnrolmentThatIsCutOff : public ::testing::Test {
 protected:
  Home home(const std::string& name) const { return Home(stage_.folder() + "/home-" + name); }
  EnrollmentRequest request(const std::string& name) {
    EnrollmentRequest request;
    const std::string proxy = "127.0.0.1:" + std::to_string(proxy_.port());
    request.token = stage_.cofferd({"invite", name, "--address", proxy}).out;
    request.key.key_file = stage_.folder() + "/" + name + ".key";
    request.show_recovery_key = [this](const crypto::Secret& text) -> Result<void> {
      shown_ = std::string(as_text(text.bytes()));
      return {};
    };
    return request;
  }
  static KeySource recovery(std::string_view text) {
    KeySource source;
    source.recovery_key = crypto::Secret::copy_of(as_bytes(text));
    return source;
  }
  /// What a person has in his hands opens the vault, and nothing else does.
  void expect_whole(const Enrollment& enrolled, const EnrollmentRequest& request) const {
    EXPECT_TRUE(enrolled.is_new_vault);
    EXPECT_TRUE(open_slots(enrolled.settings.key_slots, enrolled.settings.id, request.key));
    EXPECT_TRUE(open_slots(enrolled.settings.key_slots, enrolled.settings.id, recovery(shown_)));
    EXPECT_EQ(enrolled.settings.key_slots.size(), 2u);
    EXPECT_TRUE(read_settings(enrolled.folder)->own_slots.empty());
  }
  /// Loses what the server sends over one of the connections behind its first `at` bytes, from `from` on until all of
  /// it goes through; the same command is run again where it failed.
  void lose_answers(unsigned connection, std::uint64_t from, std::uint64_t step) {
    bool is_struck = true;
    for (std::uint64_t at = from; is_struck; at += step) {
      SCOPED_TRACE(::testing::Message() << "connection " << connection << " cut at " << at);
      const std::string name = "c" + std::to_string(connection) + "-" + std::to_string(at);
      const EnrollmentRequest command = request(name);
      const testing::FaultProxy::Counts before = proxy_.counts();
      proxy_.plan([spoilt = before.connections + connection, at](unsigned number) {
        testing::Faults faults;
        if (number == spoilt) faults.to_client.cut_at = at;
        return faults;
      });
      Result<Enrollment> enrolled = enroll(home(name), command);
      is_struck = proxy_.counts().cuts > before.cuts;
      proxy_.plan({});
      if (!enrolled) enrolled = enroll(home(name), command);
      ASSERT_TRUE(enrolled) << enrolled.error().what;
      expect_whole(*enrolled, command);
    }
  }

  testing::Stage stage_;
  testing::FaultProxy proxy_{static_cast<std::uint16_t>(std::stoi(stage_.address().substr(10)))};
  std::string shown_;
};

// Claim: a certificate whose answer was lost is given again: token, client name and vault name are not used up.
TEST_F(EnrolmentThatIsCutOff, GetsTheCertificateThatTheTokenWasUsedUpFor) { lose_answers(0, 500, 600); }

// Claim: a key slot whose answer was lost, or which the server has twice, is the vault's all the same, and the key file
// that opens it stays.
TEST_F(EnrolmentThatIsCutOff, KeepsTheKeyOfASlotThatTheServerStored) { lose_answers(2, 1300, 30); }

// Claim: a recovery key that was not shown is not the vault's last word: the same command shows one that opens it.
TEST_F(EnrolmentThatIsCutOff, ShowsARecoveryKeyWhenItIsRunAgain) {
  EnrollmentRequest command = request("first");
  const auto show = command.show_recovery_key;
  command.show_recovery_key = [&](const crypto::Secret& text) -> Result<void> {
    EXPECT_TRUE(show(text));
    return Error{Fault::local_io, EPIPE, "killed"};
  };
  ASSERT_FALSE(enroll(home("first"), command));
  EXPECT_TRUE(home("first").vault_names()->empty());
  const std::string unseen = shown_;
  command.show_recovery_key = show;
  const auto enrolled = enroll(home("first"), command);
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  EXPECT_NE(shown_, unseen);
  expect_whole(*enrolled, command);
  EXPECT_FALSE(open_slots(enrolled->settings.key_slots, enrolled->settings.id, recovery(unseen)));
}

// Claim: of a vault that another made, an enrolment that is run again makes no recovery key, and removes none.
TEST_F(EnrolmentThatIsCutOff, LeavesTheRecoveryKeyOfAVaultThatAnotherMade) {
  const EnrollmentRequest maker = request("first");
  ASSERT_TRUE(enroll(home("first"), maker));
  EnrollmentRequest joiner = request("first");
  joiner.token = stage_.cofferd({"invite", "second", "--vault", "first"}).out;
  joiner.key.key_file = stage_.folder() + "/nowhere.key";
  ASSERT_FALSE(enroll(home("second"), joiner));
  joiner.key.key_file = maker.key.key_file;
  const auto enrolled = enroll(home("second"), joiner);
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  EXPECT_FALSE(enrolled->is_new_vault);
  EXPECT_TRUE(open_slots(enrolled->settings.key_slots, enrolled->settings.id, recovery(shown_)));
}

TEST_F(EnrolmentThatIsCutOff, TakesNoKeyFileThatItDidNotMake) {
  const EnrollmentRequest command = request("first");
  ASSERT_TRUE(enroll(home("first"), command));
  EnrollmentRequest other = request("second");
  other.key.key_file = command.key.key_file;
  for (int i = 0; i < 2; ++i) {
    const auto refused = enroll(home("second"), other);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().what, HasSubstr("exists already"));
  }
  EXPECT_TRUE(std::filesystem::exists(command.key.key_file));
}

// Claim: the old recovery key opens the vault until the new one was shown, and not after.
TEST_F(EnrolmentThatIsCutOff, KeepsTheOldRecoveryKeyUntilTheNewOneWasShown) {
  const EnrollmentRequest command = request("first");
  const auto enrolled = enroll(home("first"), command);
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  const std::string old = shown_;
  const auto opens = [&](const std::string& text) {
    return renew_recovery_key(enrolled->folder, recovery(text),
                              [](const crypto::Secret&) -> Result<void> {
                                return Error{Fault::local_io, EPIPE, "killed"};
                              })
               .error()
               .code == EPIPE;  // It was opened, and changed nothing that anybody knows of.
  };
  EXPECT_TRUE(opens(old));
  EXPECT_TRUE(opens(old)) << "the first try removed it, and showed no other";
  const auto left = renew_recovery_key(enrolled->folder, command.key, command.show_recovery_key);
  ASSERT_TRUE(left) << left.error().what;
  EXPECT_TRUE(left->empty());
  EXPECT_NE(shown_, old);
  EXPECT_FALSE(opens(old));
  EXPECT_TRUE(opens(shown_));
}

// Claim: where the old recovery key could not be removed, the new one was shown all the same, and the old one is named.
TEST_F(EnrolmentThatIsCutOff, NamesTheOldRecoveryKeyThatCouldNotBeRemoved) {
  const EnrollmentRequest command = request("first");
  const auto enrolled = enroll(home("first"), command);
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  const auto left = renew_recovery_key(enrolled->folder, command.key, [&](const crypto::Secret& text) {
    for (const std::uint64_t other : {1, 3}) EXPECT_TRUE(remove_slot(enrolled->folder, other));  // The last one stays.
    return command.show_recovery_key(text);
  });
  ASSERT_TRUE(left) << left.error().what;
  EXPECT_THAT(*left, ::testing::ElementsAre(2u));
  EXPECT_EQ(list_slots(enrolled->folder)->size(), 1u);
}

}  // namespace
}  // namespace coffer::vault
