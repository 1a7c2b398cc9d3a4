// The independent reader gets every file back: the documents are true, and nobody depends on our code.

#include <gtest/gtest.h>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;

// Claim: a reader in Python, written from the documents, writes out the same tree as the one that was copied in.
TEST(Interop, ReadsAWholeVaultWithNothingOfOurs) {
  if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  Stage stage;
  const std::string source = stage.folder() + "/source";
  const Finished made = shell("mkdir " + source + " && cd " + source + R"sh( && cp -a /usr/include/openssl . &&
      head -c 9000000 /dev/urandom > random && yes text | head -c 5000000 > text && ln -s text link && ln text hard &&
      truncate -s 3000000 sparse && printf end >> sparse && setfattr -n user.colour -v blue text &&
      touch -d '2001-02-03 04:05:06.123456789' text && chmod 2750 openssl)sh");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  Client& client = stage.client("first");
  for (const char* options : {"compression=zstd:5", "compression=zlib:6", "compression=none"}) {
    ASSERT_NO_FATAL_FAILURE(client.mount(options));
    const std::string to = client.mountpoint() + "/" + std::string(options).substr(12);
    ASSERT_EQ(run({"cp", "-a", source, to}, seconds(120)).exit_code, 0);
    // Overwritten, cut and removed again: the reader must follow changes too.
    ASSERT_EQ(shell("cd " + to +
                    " && printf CHANGED | dd of=random bs=1 seek=4000000 conv=notrunc status=none && truncate -s "
                    "8000000 random" +
                    " && mkdir gone && cp text gone/ && rm -r gone && mv link moved")
                  .exit_code,
              0);
    ASSERT_TRUE(succeeded(client.umount()));
  }
  ASSERT_NO_FATAL_FAILURE(client.mount());
  const std::string expected = listing(client.mountpoint());

  const Finished invited = stage.cofferd({"invite", "python", "--vault", "first"});
  ASSERT_EQ(invited.exit_code, 0) << invited.err;
  const std::string token = invited.out.substr(0, invited.out.find('\n'));
  const std::string out = stage.folder() + "/out";
  const Finished read = run({"/usr/bin/python3", COFFER_INTEROP "/reader.py", "--token", token, "--key-file",
                             stage.key_file("first"), "--out", out},
                            seconds(300));
  ASSERT_EQ(read.exit_code, 0) << read.out << read.err;
  EXPECT_EQ(listing(out), expected);
  EXPECT_EQ(shell("getfattr --only-values -n user.colour " + out + "/none/text").out, "blue");
}

// Claim: the reader refuses a wrong key instead of writing rubbish.
TEST(Interop, RefusesAWrongKey) {
  if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  Stage stage;
  stage.client("first");
  stage.client("other");
  const Finished invited = stage.cofferd({"invite", "python", "--vault", "first"});
  const std::string token = invited.out.substr(0, invited.out.find('\n'));
  const Finished read = run({"/usr/bin/python3", COFFER_INTEROP "/reader.py", "--token", token, "--key-file",
                             stage.key_file("other"), "--out", stage.folder() + "/out"},
                            seconds(60));
  EXPECT_EQ(read.exit_code, 1);
  EXPECT_NE(read.err.find("no key slot opens"), std::string::npos) << read.err;
}

}  // namespace
}  // namespace coffer::testing
