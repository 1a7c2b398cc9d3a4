// Content that the vault has is not sent again: through a real mount, whatever order the kernel writes it back in.
//
// COFFER_EQUAL_MIB is the size of the files, 48 by default; the long form takes 1024.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/testing/command.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;

constexpr seconds kLong{900};

std::uint64_t file_bytes() {
  const char* const mib = std::getenv("COFFER_EQUAL_MIB");
  return (mib == nullptr ? std::uint64_t{48} : std::stoull(mib)) << 20;
}

/// Noise, or lines of a dump that repeat nothing.
void make_file(const std::string& path, bool is_text) {
  SeededRandom random(17);
  std::ofstream file(path, std::ios::binary);
  for (std::uint64_t left = file_bytes(); left > 0;) {
    std::string part;
    if (is_text) {
      while (part.size() < (1u << 20)) {
        part += "INSERT INTO measurements VALUES (" + std::to_string(random.below(1'000'000'000)) + ", 'sensor-" +
                std::to_string(random.below(100)) + "', " + std::to_string(random.below(100'000)) + ");\n";
      }
    } else {
      const Bytes noise = random.bytes(1u << 20);
      part.assign(reinterpret_cast<const char*>(noise.data()), noise.size());
    }
    part.resize(std::min<std::uint64_t>(part.size(), left));
    file << part;
    left -= part.size();
  }
}

class EqualContent : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
    make_file(source(), GetParam());
    ASSERT_NO_FATAL_FAILURE(client().mount());
  }
  Client& client() { return stage_.client("first"); }
  std::string source() const { return stage_.folder() + "/source"; }

  /// What `script`, in the mounted folder, makes the client send; $S is the source.
  std::uint64_t sent_by(const std::string& script) {
    const std::uint64_t before = stored_bytes(stage_);
    const Finished done = shell("cd " + client().mountpoint() + "; S=" + source() + "; " + script, kLong);
    EXPECT_TRUE(succeeded(done));
    EXPECT_TRUE(succeeded(client().coffer({"sync", client().mountpoint()}, kLong)));
    return stored_bytes(stage_) - before;
  }

 private:
  Stage stage_;
};

// Claim: a second copy sends less than 1 %, and one with a line inserted, at its start or in its middle, less than 5 %.
// (Of a short file these are small numbers of pieces: so much is added.)
TEST_P(EqualContent, IsSentOnce) {
  constexpr std::uint64_t kSomePieces = 2u << 20;
  const std::uint64_t bytes = file_bytes();
  EXPECT_GT(sent_by("cp $S one"), bytes / 20);
  EXPECT_LT(sent_by("cp $S two"), bytes / 100);
  EXPECT_LT(sent_by("(echo a line; cat $S) > three"), bytes / 100 + kSomePieces);
  EXPECT_LT(sent_by("(head -c 7777777 $S; echo a line; tail -c +7777778 $S) > four"), bytes / 100 + kSomePieces);
  EXPECT_LT(sent_by("dd if=$S of=five bs=300007 status=none"), bytes / 100);
  EXPECT_TRUE(
      succeeded(shell("cd " + client().mountpoint() + "; cmp one two; cmp three <(echo a line; cat one)", kLong)));
  EXPECT_TRUE(succeeded(client().umount()));
}

// Claim: a copy within the vault sends nothing, and a hole stays one.
TEST_P(EqualContent, IsClonedWithinTheVault) {
  sent_by("cp $S one; truncate -s 10G sparse; head -c 100000 $S >> sparse");
  const Finished copied =
      shell("cd " + client().mountpoint() + "; cp --reflink=auto one two; cp sparse sparse2", kLong);
  EXPECT_TRUE(succeeded(copied));
  EXPECT_EQ(sent_by(":"), 0u);
  EXPECT_TRUE(
      succeeded(shell("cd " + client().mountpoint() +
                          "; cmp one two; test $(stat -c %s sparse2) = $(stat -c %s sparse)"
                          "; test $(stat -c %b sparse2) -lt 1000; cmp <(tail -c 100000 sparse2) <(head -c 100000 one)",
                      kLong)));
  EXPECT_TRUE(succeeded(client().umount()));
}

INSTANTIATE_TEST_SUITE_P(All, EqualContent, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Text" : "Noise"; });

}  // namespace
}  // namespace coffer::testing
