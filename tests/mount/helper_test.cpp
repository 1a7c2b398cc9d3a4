// packaging/mount.coffer, which mount(8) calls.
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/command.h"

namespace coffer {
namespace {

/// The command line that the helper makes of its own.
std::string command_of(const std::string& arguments) {
  const testing::Finished finished =
      testing::shell("COFFER=echo " COFFER_VECTORS "/../../packaging/mount.coffer " + arguments);
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  return finished.out;
}

TEST(TheMountHelper, HandsOnWhatIsForCoffer) {
  EXPECT_EQ(command_of("photos /mnt/p"), "mount /mnt/p --vault photos\n");
  EXPECT_EQ(command_of("photos /mnt/p -o rw,noauto,_netdev,x-systemd.automount,home=/var/lib/c,ro,compression=zstd:3"),
            "mount /mnt/p --vault photos --home /var/lib/c -o ro,compression=zstd:3\n");
  EXPECT_EQ(command_of("none '/mnt/a b' -s -n -o allow_other"), "mount /mnt/a b -o allow_other\n");
}

TEST(TheMountHelper, DoesNothingWhenOnlyAskedToPretend) { EXPECT_EQ(command_of("photos /mnt/p -f"), ""); }

TEST(TheMountHelper, SaysHowItIsCalled) {
  const testing::Finished finished = testing::shell(COFFER_VECTORS "/../../packaging/mount.coffer photos");
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_NE(finished.err.find("usage: mount.coffer"), std::string::npos);
}

}  // namespace
}  // namespace coffer
