// A good file is replaced by a whole one, whatever the kernel still holds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <span>
#include <string>

#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_mount.h"

namespace coffer {
namespace {

class AReplacedFileInAMount : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse here";
    mount_ = std::make_unique<testing::LocalMount>((folder_ / "vault").string());
    std::ofstream(at("good")) << "good";
  }
  std::string at(const std::string& name) { return *mount_ / name; }
  meta::Tree& tree() { return mount_->vault().tree(); }
  std::string text(const std::string& name) {
    std::ifstream file(at(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool store() {
    if (!mount_->vault().committer().seal_open_chunks()) return false;
    const std::vector<ChunkRow> owed = *tree().owed_chunks(100, nullptr);
    for (const ChunkRow& chunk : owed) {
      if (!tree().chunks_stored(std::span(&chunk.key, 1))) return false;
    }
    return true;
  }
  /// Commits what may be; true if that was anything.
  bool commit() {
    EXPECT_TRUE(store());
    const Result<std::optional<Bytes>> commit =
        tree().draft_commit([](const meta::Draft&) -> Result<Bytes> { return Bytes(1); });
    EXPECT_TRUE(commit.has_value());
    if (!commit || !*commit) return false;
    EXPECT_TRUE(tree().commit_done(tree().head()->seq + 1, {}).has_value());
    return true;
  }
  void settle() {
    while (commit()) {
    }
  }

 private:
  testing::TempDir folder_;
  std::unique_ptr<testing::LocalMount> mount_;
};

// Claim: what O_TRUNC emptied is not drafted for the server before it is closed, nor when a shell that redirects into
// it closes one descriptor of two before the program writes.
TEST_F(AReplacedFileInAMount, IsNotCommittedWhileItIsEmptiedToBeFilled) {
  settle();
  const int fd = ::open(at("good").c_str(), O_WRONLY | O_TRUNC);
  EXPECT_FALSE(commit());
  const int standard_output = ::dup(fd);
  ::close(fd);
  EXPECT_FALSE(commit());
  ASSERT_EQ(::write(standard_output, "new", 3), 3);
  ::close(standard_output);
  EXPECT_TRUE(testing::eventually([&] { return commit(); }));
}

TEST_F(AReplacedFileInAMount, IsCommittedWhenItWasEmptiedAndClosed) {
  settle();
  ::close(::open(at("good").c_str(), O_WRONLY | O_TRUNC));
  EXPECT_TRUE(testing::eventually([&] { return commit(); }));  // release() comes behind close(2).
}

// Claim: no commit shows the file that takes its place before that was flushed, also where what was written is in the
// kernel alone, and an earlier close(2) of another descriptor has flushed a part of it.
TEST_F(AReplacedFileInAMount, IsNotCommittedBeforeWhatTakesItsPlaceIsFlushed) {
  settle();
  const int fd = ::open(at("new").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "part", 4), 4);
  ::close(::dup(fd));
  settle();
  const std::string content(1'000'000, 'n');
  ASSERT_EQ(::pwrite(fd, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  EXPECT_EQ(tree().attributes(*tree().resolve("/new"))->bytes, 4u) << "else the kernel holds nothing back";
  ASSERT_EQ(::rename(at("new").c_str(), at("good").c_str()), 0);
  settle();
  EXPECT_GT(tree().owed()->names, 0u) << "half a file would replace a good one";
  ::close(fd);
  EXPECT_TRUE(testing::eventually([&] { return commit(); }));
  EXPECT_TRUE(text("good") == content);
}

// Claim: an fsync that waits for a name of it brings what the kernel holds first.
TEST_F(AReplacedFileInAMount, IsWholeWhenAnFsyncOfTheFolderAsksForIt) {
  settle();
  const int fd = ::open(at("new").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::rename(at("new").c_str(), at("good").c_str()), 0);
  ASSERT_EQ(::write(fd, "content", 7), 7);
  const int folder = ::open(at("").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::fsync(folder), 0);
  ::close(folder);
  EXPECT_EQ(tree().attributes(*tree().resolve("/good"))->allocated_bytes, 7u);
  EXPECT_TRUE(commit());
  EXPECT_EQ(tree().owed()->names, 0u);
  ::close(fd);
}

}  // namespace
}  // namespace coffer
