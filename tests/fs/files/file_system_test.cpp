#include "fs/files/file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_vault.h"

namespace coffer {
namespace {

using files::FileSystem;
using files::HandleId;
using testing::LocalVault;
using testing::TempDir;

meta::NewInode file_mode() {
  meta::NewInode what;
  what.mode = S_IFREG | 0644;
  return what;
}

class AFileSystem : public ::testing::Test {
 protected:
  void open(files::FileSystemOptions options = {}) {
    vault_.reset();
    vault_ = std::make_unique<LocalVault>((folder_ / "vault").string(), options);
  }
  LocalVault& vault() {
    if (!vault_) open();
    return *vault_;
  }
  FileSystem& files() { return vault().file_system(); }
  files::Opened make(const std::string& name) { return *files().create_open(kRootInode, name, file_mode(), O_RDWR); }
  std::string folder() const { return folder_.path().string(); }
  void write(HandleId handle, const std::string& text) { ASSERT_TRUE(files().write(handle, 0, as_bytes(text))); }

 private:
  TempDir folder_;
  std::unique_ptr<LocalVault> vault_;
};

template <class T>
int code(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

TEST_F(AFileSystem, FindsItsOwnFolderAndDoesNotListIt) {
  EXPECT_EQ(files().lookup(kRootInode, ".coffer")->inode, files::kVirtualFolder);
  EXPECT_TRUE(files().entries(kRootInode, 0, 100)->empty());
  const std::vector<files::Entry> entries = *files().entries(files::kVirtualFolder, 0, 100);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "status");
  EXPECT_EQ(entries[1].name, "barrier");
  EXPECT_EQ(*files().parent_of(files::kVirtualFolder), kRootInode);
  EXPECT_EQ(code(files().lookup(files::kVirtualFolder, "other")), ENOENT);
  EXPECT_EQ(code(files().create(kRootInode, ".coffer", file_mode())), EEXIST);
  EXPECT_EQ(code(files().create(files::kVirtualFolder, "new", file_mode())), EPERM);
  EXPECT_EQ(code(files().open(files::kStatusFile, O_RDWR)), EACCES);
}

TEST_F(AFileSystem, ShowsStatusAndBarrierToWhoMountedAlone) {
  meta::AttributeChange given_away;
  given_away.uid = given_away.gid = 1234;
  ASSERT_TRUE(files().change(kRootInode, given_away));
  for (const auto& [inode, mode] : {std::pair(files::kStatusFile, 0400), std::pair(files::kBarrierFile, 0600)}) {
    const Attributes attributes = *files().attributes(inode);
    EXPECT_EQ(attributes.mode, S_IFREG | static_cast<unsigned>(mode));
    EXPECT_EQ(attributes.uid, ::geteuid()) << "and not whose the vault's root is";
  }
}

TEST_F(AFileSystem, TellsStatusAsItWasWhenItWasOpened) {
  const HandleId handle = *files().open(files::kStatusFile, O_RDONLY);
  Bytes into(100);
  const std::size_t count = *files().read(handle, 0, into);
  EXPECT_EQ(as_text(ByteView(into).first(count)), "{\"server\":\"none\"}\n");
  EXPECT_EQ(*files().read(handle, count, into), 0u);
  files().release(handle);
  EXPECT_EQ(code(files().read(handle, 0, into)), EBADF);
}

TEST_F(AFileSystem, ShowsSizeAndTimeOfWhatIsOnlyBuffered) {
  const files::Opened opened = make("file");
  const std::int64_t before = files().now_ns();
  write(opened.handle, "hello");
  EXPECT_EQ(files().attributes(opened.attributes.inode)->bytes, 5u);
  EXPECT_GE(files().attributes(opened.attributes.inode)->mtime_ns, before);
  EXPECT_EQ(files().lookup(kRootInode, "file")->bytes, 5u);
  EXPECT_EQ(files().entries(kRootInode, 0, 10)->front().attributes.bytes, 5u);
  EXPECT_EQ(vault().tree().attributes(opened.attributes.inode)->bytes, 0u);
  EXPECT_EQ(*files().xattr(opened.attributes.inode, files::kLevelXattr), "memory");
  ASSERT_TRUE(files().flush(opened.handle));
  EXPECT_EQ(vault().tree().attributes(opened.attributes.inode)->bytes, 5u);
  EXPECT_EQ(*files().xattr(opened.attributes.inode, files::kLevelXattr), "spooled");
  files().release(opened.handle);
}

TEST_F(AFileSystem, KeepsATimeThatWasSetAfterTheLastWrite) {
  const files::Opened opened = make("file");
  write(opened.handle, "hello");
  meta::AttributeChange change;
  change.mtime_ns = 1'234'567'890'123'456'789;
  ASSERT_TRUE(files().change(opened.attributes.inode, change));
  files().release(opened.handle);
  EXPECT_EQ(files().attributes(opened.attributes.inode)->mtime_ns, 1'234'567'890'123'456'789);
}

TEST_F(AFileSystem, WaitsForTheServerInFsyncUnlessLocalIsEnough) {
  files::Opened opened = make("file");
  write(opened.handle, "x");
  ASSERT_TRUE(files().fsync(opened.attributes.inode));
  EXPECT_EQ(vault().waits, 1);
  EXPECT_EQ(vault().power_safe_calls, 0);
  vault().server = LocalVault::Server::refuses;
  EXPECT_EQ(code(files().fsync(opened.attributes.inode)), EDQUOT);
  files().release(opened.handle);

  files::FileSystemOptions options;
  options.fsync = files::FsyncMode::local;
  open(options);
  opened = make("other");
  write(opened.handle, "x");
  ASSERT_TRUE(files().fsync(opened.attributes.inode));
  EXPECT_EQ(vault().waits, 0);
  EXPECT_EQ(vault().power_safe_calls, 1);
  files().release(opened.handle);
}

TEST_F(AFileSystem, SealsWhatIsBatchedBeforeItWaits) {
  const files::Opened opened = make("file");
  write(opened.handle, "x");
  ASSERT_TRUE(files().flush(opened.handle));
  EXPECT_FALSE(vault().tree().open_chunks()->empty());
  ASSERT_TRUE(files().fsync(opened.attributes.inode));
  EXPECT_TRUE(vault().tree().open_chunks()->empty());
  files().release(opened.handle);
}

TEST_F(AFileSystem, TakesFsyncOfTheBarrierForEverything) {
  const files::Opened opened = make("file");
  write(opened.handle, "x");
  ASSERT_TRUE(files().fsync(files::kBarrierFile));
  EXPECT_EQ(vault().waits_for_all, 1);
  EXPECT_EQ(vault().tree().attributes(opened.attributes.inode)->bytes, 1u);
  EXPECT_TRUE(vault().tree().open_chunks()->empty());
  files().release(opened.handle);
}

TEST_F(AFileSystem, EndsAWaitWhenAskedTo) {
  vault().server = LocalVault::Server::never_answers;
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(files().fsync(kRootInode, stop.get_token()).error().fault, Fault::stopped);
}

TEST_F(AFileSystem, ChangesNothingWhenReadOnly) {
  const files::Opened opened = make("file");
  write(opened.handle, "x");
  files().release(opened.handle);
  files::FileSystemOptions options;
  options.read_only = true;
  open(options);
  const InodeId inode = *files().resolve("/file");
  EXPECT_EQ(code(files().open(inode, O_WRONLY)), EROFS);
  EXPECT_EQ(code(files().open(inode, O_RDONLY | O_TRUNC)), EROFS);
  EXPECT_EQ(code(files().create(kRootInode, "new", file_mode())), EROFS);
  EXPECT_EQ(code(files().unlink(kRootInode, "file")), EROFS);
  EXPECT_EQ(code(files().rename(kRootInode, "file", kRootInode, "other", meta::RenameMode::replace)), EROFS);
  EXPECT_EQ(code(files().set_xattr(inode, "user.a", {}, meta::XattrMode::either)), EROFS);
  EXPECT_EQ(code(files().change(inode, {})), EROFS);
  EXPECT_TRUE(files().fsync(inode));
}

TEST_F(AFileSystem, TakesNoContentBeyondTheQuotaAndStillRemoves) {
  const files::Opened opened = make("file");
  vault().is_quota_full = true;
  EXPECT_EQ(code(files().write(opened.handle, 0, as_bytes("x"))), EDQUOT);
  EXPECT_EQ(code(files().allocate(opened.handle, FileSystem::Allocate::extend, 0, 100)), EDQUOT);
  EXPECT_TRUE(files().unlink(kRootInode, "file"));
  files().release(opened.handle);
}

TEST_F(AFileSystem, AllocatesWhatItCallsFree) {
  const files::Opened opened = make("file");
  vault().quota_bytes = 1'000'000;
  const std::uint64_t free = files().totals()->free_bytes;
  EXPECT_EQ(code(files().allocate(opened.handle, FileSystem::Allocate::extend, 0, free + 1)), EDQUOT);
  EXPECT_EQ(files().attributes(opened.attributes.inode)->bytes, 0u);
  EXPECT_TRUE(files().allocate(opened.handle, FileSystem::Allocate::extend, 0, free));
  EXPECT_TRUE(files().allocate(opened.handle, FileSystem::Allocate::keep_size, free, free));
  EXPECT_EQ(files().attributes(opened.attributes.inode)->bytes, free);
  files().release(opened.handle);
}

TEST_F(AFileSystem, ForgetsAnUnlinkedFileWithItsLastHandle) {
  const files::Opened opened = make("file");
  ASSERT_TRUE(files().unlink(kRootInode, "file"));
  write(opened.handle, std::string(3'000'000, 'x'));
  ASSERT_TRUE(files().flush(opened.handle));
  EXPECT_EQ(vault().tree().totals()->sealed_bytes, 0u) << "nobody will ever need it on a disk";
  Bytes into(10);
  EXPECT_EQ(*files().read(opened.handle, 2'999'995, into), 5u);
  files().release(opened.handle);
  EXPECT_EQ(code(files().attributes(opened.attributes.inode)), ENOENT);
  EXPECT_EQ(vault().committer().buffered_bytes(), 0u);
  EXPECT_EQ(vault().tree().totals()->sealed_bytes, 0u);
}

TEST_F(AFileSystem, FindsDataAndHoles) {
  const files::Opened opened = make("file");
  ASSERT_TRUE(files().write(opened.handle, 10'000'000, as_bytes("middle")));
  meta::AttributeChange longer;
  longer.bytes = std::uint64_t{1} << 40;
  ASSERT_TRUE(files().change(opened.attributes.inode, longer));
  EXPECT_EQ(*files().seek(opened.handle, FileSystem::Seek::data, 0), 10'000'000u);
  EXPECT_EQ(*files().seek(opened.handle, FileSystem::Seek::hole, 0), 0u);
  EXPECT_EQ(*files().seek(opened.handle, FileSystem::Seek::hole, 10'000'003), 10'000'006u);
  EXPECT_EQ(code(files().seek(opened.handle, FileSystem::Seek::data, 10'000'006)), ENXIO);
  EXPECT_EQ(*files().seek(opened.handle, FileSystem::Seek::hole, std::uint64_t{1} << 39), std::uint64_t{1} << 39);
  EXPECT_EQ(code(files().seek(opened.handle, FileSystem::Seek::hole, std::uint64_t{1} << 40)), ENXIO);
  files().release(opened.handle);
}

TEST_F(AFileSystem, CopiesARangeWithoutNewContent) {
  const files::Opened from = make("from");
  const files::Opened to = make("to");
  const std::string content(1'000'000, 'x');
  write(from.handle, content);
  ASSERT_TRUE(files().flush(from.handle));
  ASSERT_TRUE(vault().committer().seal_open_chunks());
  const std::uint64_t before = vault().tree().totals()->sealed_bytes;
  EXPECT_EQ(*files().copy_range(from.handle, 1000, to.handle, 5, 2'000'000), 999'000u);
  EXPECT_EQ(files().attributes(to.attributes.inode)->bytes, 999'005u);
  EXPECT_EQ(vault().tree().totals()->sealed_bytes, before);
  EXPECT_EQ(*files().copy_range(from.handle, 1'000'000, to.handle, 0, 1), 0u);
  files().release(from.handle);
  files().release(to.handle);
}

TEST_F(AFileSystem, KeepsNothingOfACopiedRangeOnceItsFilesAreGone) {
  const files::Opened from = make("from");
  const files::Opened to = make("to");
  write(from.handle, std::string(1'000'000, 'x'));
  ASSERT_TRUE(files().flush(from.handle));
  ASSERT_TRUE(files().copy_range(from.handle, 0, to.handle, 0, 1'000'000));
  files().release(from.handle);
  files().release(to.handle);
  ASSERT_TRUE(vault().committer().seal_open_chunks());
  EXPECT_FALSE(vault().tree().chunks_after(ChunkKey(0), 10)->empty());
  ASSERT_TRUE(files().unlink(kRootInode, "from"));
  ASSERT_TRUE(files().unlink(kRootInode, "to"));
  EXPECT_TRUE(vault().tree().chunks_after(ChunkKey(0), 10)->empty());
}

TEST_F(AFileSystem, TakesAPriorityAndNoOtherXattrOfItsOwn) {
  const InodeId inode = files().create(kRootInode, "file", file_mode())->inode;
  const auto set = [&](std::string_view name, std::string_view value) {
    return code(files().set_xattr(inode, name, as_bytes(value), meta::XattrMode::either));
  };
  EXPECT_EQ(set(files::kPriorityXattr, "high"), 0);
  EXPECT_EQ(set(files::kPriorityXattr, "highest"), EINVAL);
  EXPECT_EQ(set(files::kLevelXattr, "committed"), EPERM);
  EXPECT_EQ(set("user.other", "x"), 0);
  EXPECT_EQ(*files().xattr(inode, files::kPriorityXattr), "high");
  EXPECT_EQ(*files().xattrs(inode), std::vector<std::string>{"user.other"});
  EXPECT_EQ(code(files().remove_xattr(inode, files::kPriorityXattr)), 0);
}

TEST_F(AFileSystem, TellsPathsOfOpenFilesForTheBarrier) {
  meta::NewInode folder;
  folder.mode = S_IFDIR | 0755;
  const InodeId parent = files().create(kRootInode, "folder", folder)->inode;
  const files::Opened opened = *files().create_open(parent, "file", file_mode(), O_WRONLY);
  EXPECT_EQ(files().open_for_writing(), std::vector<InodeId>{opened.attributes.inode});
  EXPECT_EQ(*files().path_of(opened.attributes.inode), "folder/file");
  EXPECT_EQ(*files().path_of(kRootInode), "");
  files().release(opened.handle);
  EXPECT_TRUE(files().open_for_writing().empty());
  ASSERT_TRUE(files().unlink(parent, "file"));
  EXPECT_EQ(code(files().path_of(opened.attributes.inode)), ENOENT);
}

TEST_F(AFileSystem, TellsTheLevelMemoryWhileAKernelMayHoldMoreOfTheFile) {
  const files::Opened opened = make("file");
  const InodeId inode = opened.attributes.inode;
  EXPECT_EQ(*files().xattr(inode, files::kLevelXattr), "memory");
  ASSERT_TRUE(files().flush(opened.handle));
  EXPECT_NE(*files().xattr(inode, files::kLevelXattr), "memory");
  const HandleId reader = *files().open(inode, O_RDONLY);
  EXPECT_NE(*files().xattr(inode, files::kLevelXattr), "memory");
  write(opened.handle, "x");
  EXPECT_EQ(*files().xattr(inode, files::kLevelXattr), "memory");
  files().release(opened.handle);
  EXPECT_NE(*files().xattr(inode, files::kLevelXattr), "memory");
  files().release(reader);
}

class ARenameOfAnOpenFile : public AFileSystem {
 protected:
  void SetUp() override {
    files().release(make("good").handle);
    settle();
    moved_ = make("tmp");
    ASSERT_TRUE(rename());
  }
  Result<void> rename() { return files().rename(kRootInode, "tmp", kRootInode, "good", meta::RenameMode::replace); }
  /// Commits all that may be.
  void settle() {
    while (true) {
      const Result<std::optional<Bytes>> commit =
          vault().tree().draft_commit([](const meta::Draft&) -> Result<Bytes> { return Bytes(1); });
      ASSERT_TRUE(commit);
      if (!commit->has_value()) return;
      ASSERT_TRUE(vault().tree().commit_done(vault().tree().head()->seq + 1, {}));
    }
  }
  bool is_owed() {
    settle();
    return vault().tree().owed()->names > 0;
  }

  files::Opened moved_;
};

TEST_F(ARenameOfAnOpenFile, IsNotCommittedBeforeTheFileIsFlushed) {
  EXPECT_TRUE(is_owed()) << "an empty file would replace a good one";
  ASSERT_TRUE(files().flush(moved_.handle));
  EXPECT_TRUE(is_owed()) << "one descriptor of several was closed, and nothing is in it yet";
  ASSERT_TRUE(files().change(moved_.attributes.inode, {.bytes = 10}));
  ASSERT_TRUE(files().flush(moved_.handle));
  EXPECT_FALSE(is_owed());
  files().release(moved_.handle);
}

TEST_F(ARenameOfAnOpenFile, IsCommittedWhenTheFileIsReleased) {
  files().release(moved_.handle);
  EXPECT_FALSE(is_owed());
}

TEST_F(ARenameOfAnOpenFile, KeepsNobodyWaitingWhoAsksForItsNames) {
  EXPECT_TRUE(is_owed());
  ASSERT_TRUE(files().fsync(kRootInode));
  EXPECT_FALSE(is_owed());
  files().release(moved_.handle);
}

TEST_F(AFileSystem, TellsOfAFileThatCouldNotBeKeptUntilItIs) {
  const files::Opened opened = make("file");
  write(opened.handle, "content");
  const std::string spool = folder() + "/vault/spool";
  std::filesystem::rename(spool, spool + ".away");
  files().release(opened.handle);
  ASSERT_EQ(files().problems().size(), 1u);
  EXPECT_NE(files().problems()[0].find("/file "), std::string::npos);
  std::filesystem::remove_all(spool);
  std::filesystem::rename(spool + ".away", spool);
  ASSERT_TRUE(files().flush_all());
  EXPECT_TRUE(files().problems().empty());
}

}  // namespace
}  // namespace coffer
