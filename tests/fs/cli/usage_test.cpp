// `coffer` as it is typed, with arguments that cannot work: one clear sentence on stderr, and the right exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"

namespace coffer::cli {
namespace {

using testing::Finished;
using ::testing::HasSubstr;

Finished coffer(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), testing::bin_folder() + "/coffer");
  return testing::run(arguments);
}

/// Not a heap of usage text, nor a name of ours.
void expect_one_sentence(const Finished& finished, int exit_code, const std::string& part) {
  EXPECT_EQ(finished.exit_code, exit_code) << finished.out << finished.err;
  EXPECT_THAT(finished.err, HasSubstr(part));
  EXPECT_EQ(std::ranges::count(finished.err, '\n'), 1) << finished.err;
  EXPECT_TRUE(finished.err.starts_with("coffer: ")) << finished.err;
}

class Usage : public ::testing::Test {
 protected:
  std::string home() const { return (dir_ / "home").string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    return (dir_ / name).string();
  }

  testing::TempDir dir_;
};

TEST_F(Usage, IsWrongWithoutACommandOrWithAnUnknownOne) {
  EXPECT_EQ(coffer({}).exit_code, 2);
  expect_one_sentence(coffer({"frobnicate"}), 2, "frobnicate");
  expect_one_sentence(coffer({"status", "--frobnicate"}), 2, "--frobnicate");
  expect_one_sentence(coffer({"mount"}), 2, "mountpoint");
  expect_one_sentence(coffer({"sync", "--timeout", "soon"}), 2, "timeout");
}

TEST_F(Usage, HelpsWhenAsked) {
  const Finished help = coffer({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command : {"enroll", "mount", "umount", "status", "sync", "verify", "put", "get", "ls", "spool",
                              "key", "inspect", "doctor"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
    EXPECT_EQ(coffer({command, "--help"}).exit_code, 0) << command;
  }
}

TEST_F(Usage, SaysThatNothingIsEnrolledYet) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"mount", "/mnt"},
                                                  {"status"},
                                                  {"sync"},
                                                  {"verify"},
                                                  {"ls"},
                                                  {"get", "/a"},
                                                  {"spool", "clear"},
                                                  {"key", "list"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--home", home()});
    expect_one_sentence(coffer(arguments), 1, "coffer enroll TOKEN");
  }
}

TEST_F(Usage, WantsATokenOrACompleteHandmadeIdentity) {
  expect_one_sentence(coffer({"enroll", "--home", home()}), 2, "token");
  expect_one_sentence(coffer({"enroll", "--home", home(), "--certificate", "c.pem"}), 2, "go together");
  expect_one_sentence(coffer({"enroll", "TOKEN", "--home", home(), "--certificate", "c.pem"}), 2, "not both");
  const std::string file = write("c.pem", "nonsense");
  expect_one_sentence(coffer({"enroll", "--home", home(), "--certificate", file, "--certificate-key", file, "--ca",
                              file, "--server", "host:nonsense"}),
                      2, "HOST:PORT");
  expect_one_sentence(coffer({"enroll", "--home", home(), "--certificate", file, "--certificate-key", file, "--ca",
                              file, "--server", "host:1"}),
                      1, "c.pem");
}

TEST_F(Usage, RefusesATokenThatWasCopiedWrongly) {
  expect_one_sentence(coffer({"enroll", "coffer1.NOTATOKEN", "--home", home(), "--key-file", home() + ".key"}), 1,
                      "token");
  EXPECT_FALSE(std::filesystem::exists(home()));
}

TEST_F(Usage, NamesAFileThatIsMissingBeforeTheTokenIsUsed) {
  // Of tests/vectors/wire: whole, and for a server that is nowhere.
  const std::string token =
      "coffer1."
      "CJRGCY3LOVYC4ZLYMFWXA3DFFZXXEZZJDUANESLLAAAAAAAAAEBAGBAFAYDQQCIKBMGA2DQPCAIREEYUCULBOGAZDINRYHI6D5SGKZTHNBU"
      "WU23MNVXG64DROJZXI5LWO54HS6T3PR6X474AQGBIHWJ3OC5ZNMXLIU";
  expect_one_sentence(coffer({"enroll", token, "--home", home(), "--passphrase-file", "/nowhere/phrase"}), 1,
                      "/nowhere/phrase");
  expect_one_sentence(coffer({"enroll", token, "--home", home(), "--key-file", "/nowhere/at/all/key"}), 1,
                      "/nowhere/at/all");
  expect_one_sentence(coffer({"enroll", token, "--home", home(), "--passphrase-file", write("empty", "")}), 1, "empty");
  expect_one_sentence(coffer({"enroll", token, "--home", home(), "--key-file", write("key", "no key at all\n")}), 1,
                      "key");
}

TEST_F(Usage, ListsTheMountOptionsThatItKnows) {
  for (const char* options :
       {"frobnicate", "compression=lzma", "compression=zstd:99", "fsync=never", "cache_size=much", "cache_size=1K",
        "compression", "uid=me", "uid=-1", "gid=4294967295", "umask=9", "umask=7777", "umask=", "full_wait=2d",
        "read_timeout=soon", "fsync_timeout=25h", "fsync_timeout=-1", "noatime=1", "ro=yes"}) {
    const Finished finished = coffer({"mount", "/mnt", "--home", home(), "-o", options});
    EXPECT_EQ(finished.exit_code, 2) << options << finished.err;
    EXPECT_EQ(std::ranges::count(finished.err, '\n'), 1) << finished.err;
  }
  expect_one_sentence(coffer({"mount", "/mnt", "--home", home(), "-o", "frobnicate"}), 2, "compression=");
  expect_one_sentence(coffer({"mount", "/mnt", "--home", home(), "-o", "umask=x"}), 2, "octal");
}

TEST_F(Usage, TakesTheMountOptionsOfFstab) {
  // Nothing is enrolled, which is what it says once the options are read.
  expect_one_sentence(
      coffer({"mount", "/mnt", "--home", home(), "-o",
              "defaults,rw,noauto,user,users,nofail,_netdev,x-systemd.automount,X-mount.mkdir,comment=c,noatime,"
              "nodiratime,"
              "relatime,strictatime,suid,dev,exec,sync,async,uid=0,gid=4294967294,umask=0022,read_timeout=5m,"
              "fsync_timeout=90,cache_size=10G,fsync=local,compression=zstd:3,default_permissions,allow_other"}),
      1, "enroll");
}

TEST_F(Usage, TakesTheTimeoutOfSyncAsItTakesThoseOfMount) {
  for (const char* timeout : {"2s", "5m", "90", "24h", "7d"}) {
    expect_one_sentence(coffer({"sync", "--home", home(), "--timeout", timeout}), 1, "enroll");
  }
  for (const char* timeout : {"soon", "-1", "0", "0.5s", "5x", "", "9999d"}) {
    const Finished finished = coffer({"sync", "--home", home(), "--timeout", timeout});
    EXPECT_EQ(finished.exit_code, 2) << timeout << finished.err;
  }
  expect_one_sentence(coffer({"sync", "--home", home(), "--timeout", "soon"}), 2, "a time such as 30s or 5m");
}

TEST_F(Usage, SaysThatNothingIsMountedThere) {
  expect_one_sentence(coffer({"umount", "/usr", "--home", home()}), 1, "nothing is mounted at /usr");
  expect_one_sentence(coffer({"umount", "/nowhere", "--home", home()}), 1, "nothing is mounted at /nowhere");
}

TEST_F(Usage, NamesALocalFileThatIsNotThere) {
  expect_one_sentence(coffer({"put", "/nowhere/file", "--home", home()}), 1, "/nowhere/file");
}

// ---- with a server and a vault -------------------------------------------------------------------------------------

class EnrolledUsage : public ::testing::Test {
 protected:
  testing::Stage stage_;
  testing::Client& client_ = stage_.client("first");
};

TEST_F(EnrolledUsage, RefusesATokenThatWasUsedBefore) {
  std::string token = stage_.cofferd({"invite", "second"}).out;
  token.pop_back();
  const std::string home = stage_.folder() + "/h2";
  EXPECT_EQ(coffer({"enroll", token, "--home", home, "--key-file", home + ".key"}).exit_code, 0);
  expect_one_sentence(coffer({"enroll", token, "--home", home + "x", "--key-file", home + "x.key"}), 1, "token");
  EXPECT_FALSE(std::filesystem::exists(home + "x"));
  EXPECT_FALSE(std::filesystem::exists(home + "x.key"));
}

// Claim: a token need not stand on the command line, where every user of the machine can read it.
TEST_F(EnrolledUsage, TakesATokenFromStandardInputOrAFile) {
  const std::string home = stage_.folder() + "/h2";
  const std::string file = stage_.folder() + "/token";
  std::ofstream(file) << stage_.cofferd({"invite", "second"}).out;
  const Finished piped = testing::shell(testing::bin_folder() + "/coffer enroll - --home " + home + " --key-file " +
                                        home + ".key < " + file);
  EXPECT_EQ(piped.exit_code, 0) << piped.err;
  std::ofstream(file) << stage_.cofferd({"invite", "third"}).out;
  const Finished from_file =
      coffer({"enroll", "--token-file", file, "--home", home + "3", "--key-file", home + "3.key"});
  EXPECT_EQ(from_file.exit_code, 0) << from_file.err;
  expect_one_sentence(coffer({"enroll", "-", "--home", home + "4", "--key-file", home + "4.key"}), 1, "token");
  expect_one_sentence(coffer({"enroll", "--token-file", home + "/nowhere", "--home", home + "4"}), 1, "token file");
  expect_one_sentence(coffer({"enroll", "x", "--token-file", file, "--home", home + "4"}), 2, "--token-file");
}

TEST_F(EnrolledUsage, PrintsTheRecoveryKeyOnceAndOnlyOfANewVault) {
  std::string token = stage_.cofferd({"invite", "second"}).out;
  token.pop_back();
  const std::string home = stage_.folder() + "/h2";
  EXPECT_THAT(coffer({"enroll", token, "--home", home, "--key-file", home + ".key"}).out, HasSubstr("Recovery key"));
  token = stage_.cofferd({"invite", "third", "--vault", "second"}).out;
  token.pop_back();
  const Finished joined = coffer({"enroll", token, "--home", home + "3", "--key-file", home + ".key"});
  EXPECT_EQ(joined.exit_code, 0);
  EXPECT_THAT(joined.out, ::testing::Not(HasSubstr("Recovery key")));
}

TEST_F(EnrolledUsage, WantsTheKeyOfAVaultThatHasOne) {
  std::string token = stage_.cofferd({"invite", "second", "--vault", "first"}).out;
  token.pop_back();
  const std::string home = stage_.folder() + "/h2";
  const std::string wrong = stage_.folder() + "/wrong";
  std::ofstream(wrong) << "wrong horse\n";
  expect_one_sentence(coffer({"enroll", token, "--home", home, "--key-file", home + ".key"}), 1, "has a key already");
  expect_one_sentence(coffer({"enroll", token, "--home", home, "--passphrase-file", wrong}), 1, "passphrase");
  EXPECT_EQ(coffer({"enroll", token, "--home", home, "--key-file", stage_.key_file("first")}).exit_code, 0);
}

TEST_F(EnrolledUsage, SaysWhatIsWrongWithAMountpoint) {
  expect_one_sentence(client_.coffer({"mount", "/nowhere/at/all"}), 1, "/nowhere/at/all");
  expect_one_sentence(client_.coffer({"mount", "/usr"}), 1, "/usr");
  expect_one_sentence(client_.coffer({"mount", "/proc"}), 1, "/proc");
  const std::string file = stage_.folder() + "/file";
  std::ofstream(file) << "x";
  expect_one_sentence(client_.coffer({"mount", file}), 1, file);
}

TEST_F(EnrolledUsage, SaysThatTheKeyFileIsGone) {
  std::filesystem::rename(stage_.key_file("first"), stage_.folder() + "/elsewhere");
  expect_one_sentence(client_.coffer({"ls"}), 1, "key file");
  EXPECT_EQ(client_.coffer({"ls", "--key-file", stage_.folder() + "/elsewhere"}).exit_code, 0);
}

TEST_F(EnrolledUsage, SaysThatTheServerCannotBeReached) {
  stage_.stop_server();
  expect_one_sentence(client_.coffer({"ls"}), 1, "server");
}

TEST_F(EnrolledUsage, SaysThatAPathIsNotInTheVault) {
  expect_one_sentence(client_.coffer({"ls", "/nothing"}), 1, "/nothing is not in the vault");
  expect_one_sentence(client_.coffer({"get", "/nothing", "-o", stage_.folder()}), 1, "/nothing is not in the vault");
  expect_one_sentence(client_.coffer({"verify", "/nothing"}), 1, "/nothing");
}

TEST_F(EnrolledUsage, SaysThatAVaultIsUnknown) {
  expect_one_sentence(client_.coffer({"ls", "--vault", "other"}), 1, "no vault other");
}

}  // namespace
}  // namespace coffer::cli
