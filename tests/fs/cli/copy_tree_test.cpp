#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "fs/cli/side.h"
#include "tests/testing/temp_dir.h"

namespace coffer::cli {
namespace {

TEST(ACopy, LeavesTheGoodFileWhereTheNewOneCannotBeRead) {
  const testing::TempDir folder;
  const std::string good = (folder / "good").string();
  std::ofstream(good) << "content";
  const std::unique_ptr<Side> local = local_side();
  // A regular file that opens and whose first byte cannot be read.
  const Result<Copied> copied = copy_tree(*local, "/proc/self/mem", *local, good, "", [](const Copied&) {});
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, EIO) << copied.error().what;
  std::ifstream file(good);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "content");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "nothing is left beside it";
}

}  // namespace
}  // namespace coffer::cli
