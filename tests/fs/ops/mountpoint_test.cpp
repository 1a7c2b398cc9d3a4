#include "fs/ops/mountpoint.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "fs/ops/mount.h"
#include "tests/testing/temp_dir.h"

namespace coffer::ops {
namespace {

using testing::TempDir;

void expect_refused(const std::string& mountpoint, int code, const std::string& text) {
  const Result<std::string> prepared = prepare_mountpoint(mountpoint);
  ASSERT_FALSE(prepared.has_value()) << mountpoint;
  EXPECT_EQ(prepared.error().fault, Fault::refused);
  EXPECT_EQ(prepared.error().code, code) << prepared.error().what;
  EXPECT_NE(prepared.error().what.find(text), std::string::npos) << prepared.error().what;
}

TEST(AMountpoint, IsAnEmptyFolderByItsAbsolutePath) {
  const TempDir folder;
  ::mkdir((folder / "a").c_str(), 0755);
  EXPECT_EQ(*prepare_mountpoint((folder / "a/../a/.").string()), (folder / "a").string());
}

TEST(AMountpoint, IsRefusedWithWhatToDo) {
  const TempDir folder;
  std::ofstream(folder / "file") << "x";
  expect_refused((folder / "nothing").string(), ENOENT, "make it with mkdir");
  expect_refused((folder / "file").string(), ENOTDIR, "is not a folder");
  expect_refused(folder.path().string(), ENOTEMPTY, "is not an empty folder");
  expect_refused("/proc", EBUSY, "something is mounted on /proc already");
}

TEST(AMountpoint, IsRefusedWhereSomethingIsMountedWhateverItIsCalled) {
  const TempDir folder;
  const std::string path = (folder / "with space\\and\nnewline").string();
  ::mkdir(path.c_str(), 0755);
  if (::mount("none", path.c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "only root may mount";
  expect_refused(path, EBUSY, "is mounted on");
  EXPECT_TRUE(unmount(path, false).has_value());
  EXPECT_TRUE(prepare_mountpoint(path).has_value());
}

TEST(Unmounting, SaysThatNothingIsMounted) {
  const TempDir folder;
  const Result<void> unmounted = unmount(folder.path().string(), false);
  ASSERT_FALSE(unmounted.has_value());
  EXPECT_EQ(unmounted.error().code, EINVAL);
}

}  // namespace
}  // namespace coffer::ops
