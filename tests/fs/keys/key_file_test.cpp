#include "fs/keys/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::keys {
namespace {

class KeyFileOnDisk : public ::testing::Test {
 protected:
  Result<KeyFile> make() { return KeyFile::make(os::real_disk(), path_, random_); }
  Result<KeyFile> read() { return KeyFile::read(os::real_disk(), path_); }
  std::string content() {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  void write(const std::string& text) { std::ofstream(path_, std::ios::trunc) << text; }

  testing::TempDir folder_;
  std::string path_ = folder_ / "key";
  testing::SeededRandom random_{5};
};

TEST_F(KeyFileOnDisk, HoldsWhatMakeReturned) {
  const KeyFile made = make().value();
  const KeyFile found = read().value();
  EXPECT_EQ(found.bytes().size(), 32);
  EXPECT_TRUE(std::ranges::equal(made.bytes(), found.bytes()));
}

TEST_F(KeyFileOnDisk, IsOneLineThatOnlyItsOwnerMayRead) {
  ASSERT_TRUE(make());
  const std::string text = content();
  EXPECT_TRUE(text.starts_with("coffer-key-file-1 "));
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  EXPECT_EQ(text.back(), '\n');
  struct stat facts {};
  ASSERT_EQ(stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600);
}

TEST_F(KeyFileOnDisk, IsNeverWrittenOverAnother) {
  write("something else");
  const Result<KeyFile> made = make();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().fault, Fault::refused);
  EXPECT_EQ(made.error().code, EEXIST);
  EXPECT_EQ(content(), "something else");
}

TEST_F(KeyFileOnDisk, MayEndInAnyLineEnd) {
  const KeyFile made = make().value();
  std::string text = content();
  text.pop_back();
  for (const char* end : {"", "\n", "\r\n", "\n\n"}) {
    write(text + end);
    ASSERT_TRUE(read()) << text.size();
    EXPECT_TRUE(std::ranges::equal(made.bytes(), read()->bytes()));
  }
}

TEST_F(KeyFileOnDisk, IsNotReadWhenDamaged) {
  ASSERT_TRUE(make());
  const std::string text = content();
  const auto expect_damaged = [&](const std::string& changed) {
    write(changed);
    const Result<KeyFile> found = read();
    ASSERT_FALSE(found) << changed;
    EXPECT_EQ(found.error().fault, Fault::corrupt);
  };
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    expect_damaged(changed);
  }
  expect_damaged("");
  expect_damaged(text.substr(0, text.size() - 2));
  expect_damaged(" " + text);
  expect_damaged(text + text);
  expect_damaged(std::string(100'000, 'A'));
}

TEST_F(KeyFileOnDisk, IsMissedWithTheDisksOwnError) {
  const Result<KeyFile> found = read();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ENOENT);
}

}  // namespace
}  // namespace coffer::keys
