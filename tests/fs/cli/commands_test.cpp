// The commands on a vault that is not mounted: put, get, ls, status, verify, spool clear, key, inspect, doctor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"

namespace coffer::cli {
namespace {

using testing::Finished;
using ::testing::HasSubstr;
using testing::shell;

class Commands : public ::testing::Test {
 protected:
  void make_tree() const {
    const Finished made = shell(
        "mkdir -p '" + local() + "/sub' && cd '" + local() +
        "' && echo hello > a && head -c 3000000 /dev/urandom > large && ln a hard && ln -s a soft && : > empty && "
        "chmod 751 sub && chmod 4755 a && touch -d '2001-02-03 04:05:06.789012345' a large sub && "
        "mkfifo fifo && setfattr -n user.note -v kept large 2>/dev/null || true");
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  std::string local() const { return stage_.folder() + "/tree"; }
  std::string out() const { return stage_.folder() + "/out"; }

  testing::Stage stage_;
  testing::Client& client_ = stage_.client("first");
};

TEST_F(Commands, GiveBackATreeJustAsItWasPut) {
  make_tree();
  const Finished put = client_.coffer({"put", local(), "--to", "/some/where"});
  ASSERT_EQ(put.exit_code, 0) << put.err;
  EXPECT_THAT(put.out, HasSubstr("committed"));
  const Finished get = client_.coffer({"get", "/some/where/tree", "-o", out()});
  ASSERT_EQ(get.exit_code, 0) << get.err;
  EXPECT_EQ(testing::listing(out() + "/tree"), testing::listing(local()));
}

TEST_F(Commands, GiveATreeToASecondClientWithTheKeyFile) {
  make_tree();
  ASSERT_EQ(client_.coffer({"put", local()}).exit_code, 0);
  testing::Client& second = stage_.client("second", "first");
  const Finished get = second.coffer({"get", "/", "-o", out()});
  ASSERT_EQ(get.exit_code, 0) << get.err;
  EXPECT_EQ(testing::listing(out() + "/tree"), testing::listing(local()));
}

TEST_F(Commands, ReplaceATreeThatIsThere) {
  make_tree();
  ASSERT_EQ(client_.coffer({"put", local()}).exit_code, 0);
  const Finished again = client_.coffer({"put", local()});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(client_.coffer({"ls", "tree"}).out, "a\nempty\nfifo\nhard\nlarge\nsoft\nsub\n");
  for (int i = 0; i < 2; ++i) {
    const Finished get = client_.coffer({"get", "tree", "-o", out()});
    ASSERT_EQ(get.exit_code, 0) << get.err;
    EXPECT_EQ(testing::listing(out() + "/tree"), testing::listing(local()));
  }
}

TEST_F(Commands, ListAFolder) {
  make_tree();
  ASSERT_EQ(client_.coffer({"put", local()}).exit_code, 0);
  EXPECT_EQ(client_.coffer({"ls"}).out, "tree\n");
  EXPECT_EQ(client_.coffer({"ls", "tree"}).out, "a\nempty\nfifo\nhard\nlarge\nsoft\nsub\n");
  EXPECT_THAT(client_.coffer({"ls", "-l", "/tree"}).out, HasSubstr("soft -> a"));
}

TEST_F(Commands, SayThatEverythingIsCommitted) {
  make_tree();
  ASSERT_EQ(client_.coffer({"put", local()}).exit_code, 0);
  const Finished status = client_.coffer({"status"});
  EXPECT_EQ(status.exit_code, 0);
  EXPECT_THAT(status.out, HasSubstr("everything is committed"));
  EXPECT_THAT(client_.coffer({"status", "--json"}).out, HasSubstr("\"all_committed\":true"));
}

TEST_F(Commands, VerifyAgainstTheFolderThatWasPut) {
  make_tree();
  ASSERT_EQ(client_.coffer({"put", local()}).exit_code, 0);
  const Finished good = client_.coffer({"verify", "--read-data", "--against", local(), "/tree"});
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;
  std::ofstream(local() + "/large", std::ios::app) << "more";
  const Finished different = client_.coffer({"verify", "--against", local(), "/tree"});
  EXPECT_EQ(different.exit_code, 1);
  EXPECT_THAT(different.out, HasSubstr("/tree/large: has other content"));
}

TEST_F(Commands, EndWith4WhereTheServerHoldsDamagedData) {
  make_tree();
  ASSERT_EQ(client_.coffer({"put", local()}).exit_code, 0);
  stage_.stop_server();
  const Finished flipped = shell("for p in $(find '" + stage_.server_dir() +
                                 "/vaults' -path '*packs*' -type f -size +1000k); do printf '!' | dd of=$p bs=1 "
                                 "seek=500000 conv=notrunc 2>/dev/null; done");
  ASSERT_EQ(flipped.exit_code, 0);
  stage_.start_server();
  const Finished verify = client_.coffer({"verify", "--read-data"});
  EXPECT_EQ(verify.exit_code, 4) << verify.out << verify.err;
  EXPECT_THAT(verify.out, HasSubstr("chunk "));
}

TEST_F(Commands, FetchTheTreeAgainAfterItWasCleared) {
  make_tree();
  ASSERT_EQ(client_.coffer({"put", local()}).exit_code, 0);
  const Finished cleared = client_.coffer({"spool", "clear", "--tree"});
  ASSERT_EQ(cleared.exit_code, 0) << cleared.err;
  ASSERT_EQ(client_.coffer({"get", "tree", "-o", out()}).exit_code, 0);
  EXPECT_EQ(testing::listing(out() + "/tree"), testing::listing(local()));
}

TEST_F(Commands, AddListAndRemoveKeys) {
  EXPECT_EQ(client_.coffer({"key", "list"}).out, "1  key file\n2  recovery key\n");
  const std::string phrase = stage_.folder() + "/phrase";
  std::ofstream(phrase) << "correct horse\n";
  ASSERT_EQ(client_.coffer({"key", "add", "--new-passphrase-file", phrase}).exit_code, 0);
  EXPECT_EQ(client_.coffer({"ls", "--passphrase-file", phrase}).exit_code, 0);
  EXPECT_THAT(client_.coffer({"key", "recovery"}).out, HasSubstr("New recovery key"));
  ASSERT_EQ(client_.coffer({"key", "remove", "1"}).exit_code, 0);
  EXPECT_EQ(client_.coffer({"ls"}).exit_code, 1);
  EXPECT_EQ(client_.coffer({"ls", "--passphrase-file", phrase}).exit_code, 0);
}

// Claim: the keys are shown, and the new one is taken only with the fingerprint that the server's owner sees.
TEST_F(Commands, TakeAnotherReceiptKeyOnlyByItsFingerprint) {
  EXPECT_EQ(client_.coffer({"recover", "--accept-receipt-key"}).exit_code, 0) << "it is the old one";
  stage_.stop_server();
  std::ofstream(stage_.server_dir() + "/receipt.key") << std::string(64, 'a') << "\n";
  stage_.start_server();
  const Finished shown = client_.coffer({"recover", "--accept-receipt-key"});
  EXPECT_EQ(shown.exit_code, 4) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("Nothing was changed"));
  const std::string check = stage_.cofferd({"check"}).out;
  const std::size_t at = check.find("fingerprint ");
  ASSERT_NE(at, std::string::npos) << check;
  const std::string fingerprint = check.substr(at + 12, 64);
  EXPECT_THAT(shown.out, HasSubstr(fingerprint));
  const Finished wrong = client_.coffer({"recover", "--accept-receipt-key", "--fingerprint", std::string(64, '0')});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.err, HasSubstr("cofferd check"));
  EXPECT_EQ(client_.coffer({"recover", "--fingerprint", fingerprint}).exit_code, 2);
  EXPECT_EQ(client_.coffer({"recover", "--accept-receipt-key"}).exit_code, 4);
  EXPECT_EQ(client_.coffer({"recover", "--accept-receipt-key", "--fingerprint", fingerprint}).exit_code, 0);
  EXPECT_EQ(client_.coffer({"recover", "--accept-receipt-key"}).exit_code, 0);
}

TEST_F(Commands, DiagnoseTheMachine) {
  const Finished doctor = client_.coffer({"doctor"});
  EXPECT_THAT(doctor.out, HasSubstr("answers and knows this client"));
  EXPECT_THAT(doctor.out, HasSubstr("certificate is good until"));
  stage_.stop_server();
  EXPECT_EQ(client_.coffer({"doctor"}).exit_code, 1);
}

}  // namespace
}  // namespace coffer::cli
