// Whole vaults against a real cofferd on loopback, without FUSE.
// tidy: long because the tests share a fixture, and the syncs that fail are those of the whole process.
#include "fs/vault/vault.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>

#include "common/base/mutex.h"
#include "common/db/database.h"
#include "common/object/commit.h"
#include "common/os/clock.h"
#include "fs/vault/enrollment.h"
#include "fs/vault/key_slots.h"
#include "tests/testing/eventually.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/without_chown.h"

namespace {

/// Syncs of files whose path holds this fail with EIO; none where it is null.
std::atomic<const char*> syncs_that_fail = nullptr;
/// So many of them succeed before.
std::atomic<int> syncs_to_pass = 0;

int sync_or_fail(int fd, long call) {
  const char* const part = syncs_that_fail;
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const bool is_known = part != nullptr && ::readlink(link.c_str(), path.data(), path.size() - 1) > 0;
  if (!is_known || std::string_view(path.data()).find(part) == std::string_view::npos) {
    return static_cast<int>(::syscall(call, fd));
  }
  if (syncs_to_pass > 0 && syncs_to_pass-- > 0) return static_cast<int>(::syscall(call, fd));
  errno = EIO;
  return -1;
}

}  // namespace

// In place of the C library's, for SQLite too.
extern "C" int fsync(int fd) { return sync_or_fail(fd, SYS_fsync); }
extern "C" int fdatasync(int fd) { return sync_or_fail(fd, SYS_fdatasync); }

namespace coffer::vault {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

class VaultTest : public ::testing::Test {
 protected:
  /// Enrols HOME-`name` for a new vault `name`, or with `vault` for that one, with the one key file.
  Result<Enrollment> enroll(const std::string& name, const std::string& vault = "",
                            const std::vector<std::string>& more = {}) {
    std::vector<std::string> invite = {"invite", name};
    invite.insert(invite.end(), more.begin(), more.end());
    if (!vault.empty()) invite.insert(invite.end(), {"--vault", vault});
    EnrollmentRequest request;
    request.token = stage_.cofferd(invite).out;
    request.key.key_file = key_file();
    return vault::enroll(home(name), request);
  }
  Home home(const std::string& name) const { return Home(stage_.folder() + "/home-" + name); }
  VaultFolder folder(const std::string& name, const std::string& vault) const { return home(name).folder(vault); }
  std::string key_file() const { return stage_.folder() + "/shared.key"; }
  KeySource key() const {
    KeySource source;
    source.key_file = key_file();
    return source;
  }
  Result<std::unique_ptr<Vault>> open(const VaultFolder& folder, bool read_only = false) {
    Options options;
    options.read_only = read_only;
    return Vault::open(folder, options, key());
  }
  static Result<void> sync(Vault& vault) { return vault.sync(steady_clock::now() + 30s); }

  static void write(Vault& vault, const std::string& name, ByteView bytes) {
    meta::NewInode what;
    what.mode = S_IFREG | 0640;
    const Result<files::Opened> opened = vault.file_system().create_open(kRootInode, name, what, O_WRONLY);
    ASSERT_TRUE(opened) << opened.error().what;
    ASSERT_TRUE(vault.file_system().write(opened->handle, 0, bytes));
    ASSERT_TRUE(vault.file_system().flush(opened->handle));
    vault.file_system().release(opened->handle);
  }
  static Result<Bytes> read(Vault& vault, const std::string& name) {
    COFFER_TRY(const Attributes found, vault.file_system().lookup(kRootInode, name));
    COFFER_TRY(const files::HandleId handle, vault.file_system().open(found.inode, O_RDONLY));
    Bytes bytes(found.bytes);
    std::size_t at = 0;
    Result<std::size_t> got = std::size_t{1};
    while (got && *got > 0 && at < bytes.size()) {
      got = vault.file_system().read(handle, at, MutableByteView(bytes).subspan(at));
      if (got) at += *got;
    }
    vault.file_system().release(handle);
    if (!got) return std::move(got).error();
    bytes.resize(at);
    return bytes;
  }

  void expect_read_only_where_syncs_fail_of(const char* part);

  testing::Stage stage_;
  testing::SeededRandom random_{7};
};

TEST_F(VaultTest, ShowsASecondClientTheSameTreeAndBytes) {
  ASSERT_TRUE(enroll("first"));
  const Bytes large = random_.bytes(5'000'000);
  const Bytes small = random_.bytes(1234);
  {
    const auto vault = open(folder("first", "first"));
    ASSERT_TRUE(vault) << vault.error().what;
    write(**vault, "large", large);
    write(**vault, "small", small);
    write(**vault, "empty", {});
    ASSERT_TRUE(sync(**vault));
    EXPECT_TRUE((*vault)->status().all_committed());
    ASSERT_TRUE((*vault)->close());
  }
  ASSERT_TRUE(enroll("second", "first"));
  const auto second = open(folder("second", "first"), true);
  ASSERT_TRUE(second) << second.error().what;
  EXPECT_EQ(*read(**second, "large"), large);
  EXPECT_EQ(*read(**second, "small"), small);
  EXPECT_EQ(*read(**second, "empty"), Bytes());
  EXPECT_EQ((*second)->file_system().lookup(kRootInode, "small")->mode, S_IFREG | 0640u);
}

// Claim: what close() said is safe survives kill -9, and ends committed at the next opening.
TEST_F(VaultTest, KeepsAllThatWasFlushedWhenItsProcessIsKilled) {
  ASSERT_TRUE(enroll("first"));
  const Bytes large = random_.bytes(3'000'000);
  const Bytes small = random_.bytes(777);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();  // Before this process has threads.
  if (child == 0) {
    auto vault = open(folder("first", "first"));
    if (!vault) ::_exit(1);
    write(**vault, "large", large);
    write(**vault, "small", small);
    (void)!::write(ends[1], "x", 1);
    ::pause();
  }
  char said = 0;
  ::close(ends[1]);
  ASSERT_EQ(::read(ends[0], &said, 1), 1);
  ::close(ends[0]);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);

  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault) << vault.error().what;
  EXPECT_EQ(*read(**vault, "large"), large);
  EXPECT_EQ(*read(**vault, "small"), small);
  ASSERT_TRUE(sync(**vault));
  EXPECT_TRUE((*vault)->status().all_committed());
}

// Claim: what a killed process left in staging files counts as owed where nobody has the vault open.
TEST_F(VaultTest, CountsAsOwedWhatAKilledProcessWasBatching) {
  ASSERT_TRUE(enroll("first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  stage_.stop_server();
  const std::array<Bytes, 2> contents{random_.bytes(5000), random_.bytes(5000)};
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto vault = open(folder("first", "first"));
    if (!vault) ::_exit(1);
    write(**vault, "a", contents[0]);
    write(**vault, "b", contents[1]);
    (void)!::write(ends[1], "x", 1);
    ::pause();
  }
  char said = 0;
  ::close(ends[1]);
  ASSERT_EQ(::read(ends[0], &said, 1), 1);
  ::close(ends[0]);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);

  const Result<Status> status = status_unmounted(folder("first", "first"));
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_GE(status->owed_bytes, 10'000u);
  EXPECT_LT(status->owed_bytes, 12'000u);
}

TEST_F(VaultTest, OpensOfflineOnceItHasATreeAndGoesOnWhenTheServerIsBack) {
  ASSERT_TRUE(enroll("first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  stage_.stop_server();
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault) << vault.error().what;
  const Bytes bytes = random_.bytes(2000);
  write(**vault, "offline", bytes);
  EXPECT_EQ(*read(**vault, "offline"), bytes);
  EXPECT_FALSE((*vault)->status().all_committed());
  EXPECT_EQ((*vault)->sync(steady_clock::now() + 100ms).error().fault, Fault::offline);
  stage_.start_server();
  const Result<void> synced = sync(**vault);
  EXPECT_TRUE(synced) << synced.error().what;
}

TEST_F(VaultTest, OpensReadOnlyWhileAnotherClientWritesAndFollowsIt) {
  ASSERT_TRUE(enroll("first"));
  ASSERT_TRUE(enroll("second", "first"));
  const auto first = open(folder("first", "first"));
  ASSERT_TRUE(first);
  const auto second = open(folder("second", "first"));
  ASSERT_TRUE(second) << second.error().what;
  EXPECT_TRUE((*second)->is_read_only());
  EXPECT_EQ((*second)->status().lease_holder, "first");
  meta::NewInode what;
  what.mode = S_IFREG | 0600;
  EXPECT_EQ((*second)->file_system().create(kRootInode, "x", what).error().code, EROFS);

  write(**first, "news", random_.bytes(100));
  ASSERT_TRUE(sync(**first));
  EXPECT_TRUE(testing::eventually([&] { return (*second)->file_system().lookup(kRootInode, "news").has_value(); }));
}

TEST_F(VaultTest, HandsTheLeaseOverWhenItIsClosed) {
  ASSERT_TRUE(enroll("first"));
  ASSERT_TRUE(enroll("second", "first"));
  {
    const auto first = open(folder("first", "first"));
    ASSERT_TRUE(first);
    write(**first, "a", random_.bytes(10));
    ASSERT_TRUE(sync(**first));
  }
  {
    const auto second = open(folder("second", "first"));
    ASSERT_TRUE(second);
    EXPECT_FALSE((*second)->is_read_only());
    write(**second, "b", random_.bytes(10));
    ASSERT_TRUE(sync(**second));
  }
  const auto first = open(folder("first", "first"));
  ASSERT_TRUE(first);
  EXPECT_TRUE((*first)->file_system().lookup(kRootInode, "b"));
}

// Claim: whoever holds the server, its keys and its log, but no key of the vault, cannot give a client that comes fresh
// another history.
//
// Method: the one commit says another epoch, as it stands in the server's log, hash and all.
TEST_F(VaultTest, RefusesACommitThatTheServerRewrote) {
  ASSERT_TRUE(enroll("first"));
  ASSERT_TRUE(enroll("second", "first"));
  {
    const auto first = open(folder("first", "first"));
    ASSERT_TRUE(first);
    write(**first, "file", random_.bytes(500));
    ASSERT_TRUE(sync(**first));
  }
  stage_.stop_server();
  for (const auto& vault : std::filesystem::directory_iterator(stage_.server_dir() + "/vaults")) {
    if (!std::filesystem::exists(vault.path() / "oplog.db")) continue;
    auto log = db::Database::open((vault.path() / "oplog.db").string(), {});
    ASSERT_TRUE(log);
    auto read = log->prepare("SELECT seq, bytes FROM log_commit");
    ASSERT_TRUE(read);
    std::map<std::int64_t, Bytes> commits;
    while (*read->step()) commits.emplace(read->integer(0), copy_of(read->blob(1)));
    ASSERT_FALSE(commits.empty());
    auto write = log->prepare("UPDATE log_commit SET bytes = ?, hash = ? WHERE seq = ?");
    object::CommitHash previous;
    for (const auto& [seq, bytes] : commits) {
      object::Commit commit = *object::decode_commit(bytes);
      commit.epoch = 7777;
      commit.previous = previous;
      const Bytes forged = object::encode(commit);
      previous = object::hash_of(forged);
      ASSERT_TRUE(write->bind(1, forged).bind(2, previous.bytes()).bind(3, seq).run());
    }
  }
  stage_.start_server();
  const auto second = open(folder("second", "first"));
  if (second) {
    EXPECT_FALSE((*second)->file_system().lookup(kRootInode, "file")) << "a forged commit was believed";
    EXPECT_THAT((*second)->status().problems, ::testing::Contains(HasSubstr("commit 1")));
  } else {
    EXPECT_EQ(second.error().fault, Fault::corrupt) << second.error().what;
    EXPECT_THAT(second.error().what, HasSubstr("commit 1"));
  }
}

// Claim: changes that were left owed while another client wrote are kept, and overwrite nothing.
TEST_F(VaultTest, TurnsReadOnlyWhereAnotherWroteWhileItOwedChanges) {
  ASSERT_TRUE(enroll("first"));
  ASSERT_TRUE(enroll("second", "first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  stage_.stop_server();
  {
    const auto first = open(folder("first", "first"));
    ASSERT_TRUE(first);
    write(**first, "mine", random_.bytes(500));
  }
  stage_.start_server();
  {
    const auto second = open(folder("second", "first"));
    ASSERT_TRUE(second);
    write(**second, "theirs", random_.bytes(500));
    ASSERT_TRUE(sync(**second));
  }
  const auto first = open(folder("first", "first"));
  ASSERT_TRUE(first) << first.error().what;
  EXPECT_TRUE((*first)->is_read_only());
  EXPECT_EQ((*first)->status().lease, "lost");
  EXPECT_THAT((*first)->status().problems, ::testing::Contains(HasSubstr("another client changed the vault")));
  EXPECT_TRUE(read(**first, "mine"));
  EXPECT_FALSE((*first)->status().all_committed());
}

// Claim: who was mounted offline learns that another client may write; nobody waits for the server in vain.
TEST_F(VaultTest, TellsWhoWaitsWhenAnotherHoldsTheRightToWriteAsTheLinkComesBack) {
  ASSERT_TRUE(enroll("first"));
  ASSERT_TRUE(enroll("second", "first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  const auto second = open(folder("second", "first"));
  ASSERT_TRUE(second);
  stage_.stop_server();
  const auto first = open(folder("first", "first"));
  ASSERT_TRUE(first);
  write(**first, "mine", random_.bytes(500));
  stage_.start_server();
  const Result<void> synced = sync(**first);
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().fault, Fault::refused) << synced.error().what;
  // The sync may hear of it in the moment between the server's no and what follows from it.
  EXPECT_TRUE(testing::eventually([&] { return (*first)->status().lease == "lost"; }));
  EXPECT_THAT((*first)->status().problems, ::testing::Contains(HasSubstr("second has the right to write")));
  EXPECT_TRUE(read(**first, "mine"));
}

// Claim: a program that ran as its owner does not come to run as whoever exported it.
TEST_F(VaultTest, ExportsSetuidOnlyWhereTheOwnerIsKept) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(enroll("first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  stage_.stop_server();
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault) << vault.error().what;
  write(**vault, "program", random_.bytes(500));
  meta::NewInode what;
  what.mode = S_IFIFO | 0644;
  ASSERT_TRUE((*vault)->file_system().create(kRootInode, "fifo", what));
  for (const char* name : {"program", "fifo"}) {
    const InodeId inode = (*vault)->file_system().lookup(kRootInode, name)->inode;
    meta::AttributeChange given;
    given.uid = given.gid = 1234;
    ASSERT_TRUE((*vault)->file_system().change(inode, given));
    meta::AttributeChange setuid;
    setuid.mode = 06755;
    ASSERT_TRUE((*vault)->file_system().change(inode, setuid));
  }
  const auto mode_of = [&](const std::string& path) {
    struct stat found {};
    EXPECT_EQ(::lstat((stage_.folder() + path).c_str(), &found), 0) << path;
    return found.st_mode & 07777;
  };
  ASSERT_TRUE((*vault)->export_owed(stage_.folder() + "/kept", {}, {}));
  EXPECT_EQ(mode_of("/kept/program"), 06755u);
  EXPECT_EQ(mode_of("/kept/fifo"), 06755u);
  {
    const testing::WithoutChown as_others;
    ASSERT_TRUE((*vault)->export_owed(stage_.folder() + "/not-kept", {}, {}));
  }
  EXPECT_EQ(mode_of("/not-kept/program"), 0755u);
  EXPECT_EQ(mode_of("/not-kept/fifo"), 0755u);
}

// Claim: small files that are still being batched are among the bytes that the status calls owed.
TEST_F(VaultTest, CountsAsOwedWhatIsBeingBatched) {
  ASSERT_TRUE(enroll("first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  stage_.stop_server();
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault) << vault.error().what;
  for (const char* name : {"a", "b"}) write(**vault, name, random_.bytes(5000));
  const Status status = (*vault)->status();
  EXPECT_GE(status.owed_bytes, 10'000u);
  EXPECT_THAT(to_sentence(status), HasSubstr(" and 9.8 KiB are not on the server yet"));
  EXPECT_THAT(to_json(status), HasSubstr(R"("bytes":)" + std::to_string(status.owed_bytes)));
}

// Claim: a change that brings no chunk along is committed although nothing else happens and nobody waits.
TEST_F(VaultTest, CommitsLoneChangesByItself) {
  ASSERT_TRUE(enroll("first"));
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault) << vault.error().what;
  files::FileSystem& files = (*vault)->file_system();
  write(**vault, "file", random_.bytes(500));
  ASSERT_TRUE(sync(**vault));
  const auto is_committed = [&] {
    return testing::eventually([&] { return (*vault)->status().all_committed(); }, 10s);
  };

  meta::NewInode sub;
  sub.mode = S_IFDIR | 0755;
  ASSERT_TRUE(files.create(kRootInode, "sub", sub));
  EXPECT_TRUE(is_committed()) << "mkdir";
  ASSERT_TRUE(files.rename(kRootInode, "file", kRootInode, "other", meta::RenameMode::replace));
  EXPECT_TRUE(is_committed()) << "rename";
  const InodeId inode = *files.resolve("/other");
  ASSERT_TRUE(files.set_xattr(inode, "user.note", as_bytes("x"), meta::XattrMode::either));
  EXPECT_TRUE(is_committed()) << "setxattr";
  const Result<files::HandleId> handle = files.open(inode, O_WRONLY | O_TRUNC);
  ASSERT_TRUE(handle);
  EXPECT_FALSE(testing::eventually([&] { return (*vault)->status().all_committed(); }, 1500ms))
      << "emptied, and still open";
  ASSERT_TRUE(files.flush(*handle));
  files.release(*handle);
  EXPECT_TRUE(is_committed()) << "O_TRUNC and close";
  ASSERT_TRUE(files.unlink(kRootInode, "other"));
  EXPECT_TRUE(is_committed()) << "unlink";
}

// Claim: a writer that comes back after another wrote has the kernel forget all names of what changed, and writes no
// more where the kernel cannot, because the file is open.
TEST_F(VaultTest, TellsTheKernelWhatAnotherWroteAndStopsWhereTheFileIsOpen) {
  ASSERT_TRUE(enroll("first"));
  ASSERT_TRUE(enroll("second", "first"));
  const auto first = open(folder("first", "first"));
  ASSERT_TRUE(first);
  write(**first, "file", random_.bytes(500));
  const InodeId inode = *(*first)->file_system().resolve("/file");
  ASSERT_TRUE((*first)->file_system().link(inode, kRootInode, "second name"));
  ASSERT_TRUE(sync(**first));
  Mutex mutex;
  std::vector<std::string> told;
  (*first)->on_changed([&](const meta::Changed& changed) {
    const MutexLock lock(mutex);
    for (const auto& [parent, name] : changed.names) told.push_back(name);
  });
  const Result<files::HandleId> reader = (*first)->file_system().open(inode, O_RDONLY);
  ASSERT_TRUE(reader);
  {
    Options forced;
    forced.force_lease = true;
    const auto second = Vault::open(folder("second", "first"), forced, key());
    ASSERT_TRUE(second) << second.error().what;
    const Result<files::HandleId> writer = (*second)->file_system().open(inode, O_WRONLY);
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*second)->file_system().write(*writer, 500, random_.bytes(500)));
    (*second)->file_system().release(*writer);
    ASSERT_TRUE(sync(**second));
  }
  EXPECT_TRUE(testing::eventually([&] { return (*first)->status().lease == "lost"; }, 30s)) << "the next renewal tells";
  const MutexLock lock(mutex);
  EXPECT_THAT(told, ::testing::IsSupersetOf({"file", "second name"}));
  EXPECT_THAT((*first)->status().problems, ::testing::Contains(HasSubstr("open here")));
  (*first)->file_system().release(*reader);
  EXPECT_EQ((*first)->file_system().unlink(kRootInode, "file").error().code, EROFS);
}

TEST_F(VaultTest, IsOpenedByOneProcessAtATime) {
  ASSERT_TRUE(enroll("first"));
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault);
  const auto again = open(folder("first", "first"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, EBUSY);
  EXPECT_THAT(again.error().what, HasSubstr(std::to_string(::getpid())));
}

TEST_F(VaultTest, RaisesAnAlarmAndSendsNothingWhenTheServerGoesBack) {
  ASSERT_TRUE(enroll("first"));
  {
    const auto vault = open(folder("first", "first"));
    ASSERT_TRUE(vault);
    write(**vault, "a", random_.bytes(100));
    ASSERT_TRUE(sync(**vault));
  }
  stage_.stop_server();
  std::filesystem::copy(stage_.server_dir(), stage_.folder() + "/backup", std::filesystem::copy_options::recursive);
  stage_.start_server();
  {
    const auto vault = open(folder("first", "first"));
    ASSERT_TRUE(vault);
    write(**vault, "b", random_.bytes(100));
    ASSERT_TRUE(sync(**vault));
  }
  stage_.stop_server();
  std::filesystem::remove_all(stage_.server_dir());
  std::filesystem::copy(stage_.folder() + "/backup", stage_.server_dir(), std::filesystem::copy_options::recursive);
  stage_.start_server();

  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault) << vault.error().what;
  EXPECT_TRUE((*vault)->is_read_only());
  EXPECT_THAT((*vault)->status().problems, ::testing::Contains(HasSubstr("ALARM")));
  EXPECT_TRUE((*vault)->file_system().lookup(kRootInode, "b"));
}

TEST_F(VaultTest, VerifiesWhatTheServerHasAndNamesAFileWhoseChunkIsDamaged) {
  ASSERT_TRUE(enroll("first"));
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault);
  write(**vault, "good", random_.bytes(2'000'000));
  ASSERT_TRUE(sync(**vault));
  const Bytes content = random_.bytes(2'000'000);
  write(**vault, "bad", content);
  ASSERT_TRUE(sync(**vault));
  VerifyRequest request;
  request.read_data = true;
  const Result<VerifyReport> all_good = (*vault)->verify(request, {}, {});
  ASSERT_TRUE(all_good) << all_good.error().what;
  EXPECT_EQ(all_good->files, 2);
  EXPECT_TRUE(all_good->findings.empty());

  for (const auto& entry : std::filesystem::recursive_directory_iterator(stage_.server_dir() + "/vaults")) {
    if (entry.path().parent_path().filename() != "packs" || entry.file_size() < 1'000'000) continue;
    std::fstream pack(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    pack.seekp(-1000, std::ios::end);
    pack.put('!');
  }
  const Result<VerifyReport> one_bad = (*vault)->verify(request, {}, {});
  ASSERT_TRUE(one_bad);
  ASSERT_EQ(one_bad->findings.size(), 1);
  EXPECT_EQ(one_bad->findings[0].path, "/bad");
  EXPECT_EQ(one_bad->findings[0].kind, Finding::Kind::corrupt);

  write(**vault, "again", content);
  ASSERT_TRUE((*vault)->file_system().unlink(kRootInode, "bad"));
  ASSERT_TRUE(sync(**vault));
  const Result<VerifyReport> mended = (*vault)->verify(request, {}, {});
  ASSERT_TRUE(mended) << mended.error().what;
  EXPECT_TRUE(mended->findings.empty()) << "the same content went into a new chunk";
}

TEST_F(VaultTest, ComparesALocalFolderWithTheVault) {
  ASSERT_TRUE(enroll("first"));
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault);
  const std::string local = stage_.folder() + "/local";
  std::filesystem::create_directories(local);
  const auto write_both = [&](const std::string& name, const std::string& here, const std::string& there) {
    std::ofstream(local + "/" + name) << here;
    write(**vault, name, as_bytes(there));
  };
  write_both("same", "content", "content");
  write_both("other", "content", "kontent");
  std::ofstream(local + "/only-here") << "x";
  ASSERT_TRUE(sync(**vault));
  VerifyRequest request;
  request.against = local;
  const Result<VerifyReport> report = (*vault)->verify(request, {}, {});
  ASSERT_TRUE(report) << report.error().what;
  EXPECT_EQ(report->compared_files, 2);
  ASSERT_EQ(report->findings.size(), 2);
  EXPECT_EQ(report->findings[0].path, "/only-here");
  EXPECT_EQ(report->findings[1].path, "/other");
}

// Claim: where the disk fails at a sync that no program waits for, the vault takes no more changes: what was closed
// before would else be promised in vain. Method: syncs fail of SQLite's journal, or of the spool's packs, and nobody
// calls fsync; all of it is there, and goes on, once the vault is opened anew.
void VaultTest::expect_read_only_where_syncs_fail_of(const char* part) {
  ASSERT_TRUE(enroll("first"));
  {
    const auto vault = open(folder("first", "first"));
    ASSERT_TRUE(vault) << vault.error().what;
    write(**vault, "before", random_.bytes(1000));
    ASSERT_TRUE(sync(**vault));
    syncs_that_fail = part;
    write(**vault, "file", random_.bytes(1000));
    files::FileSystem& files = (*vault)->file_system();
    int count = 0;
    EXPECT_TRUE(testing::eventually([&] {
      const std::string name = "after" + std::to_string(++count);
      const auto made = files.create_open(kRootInode, name, {.mode = S_IFREG | 0640}, O_WRONLY);
      EXPECT_TRUE(made || made.error().code == EROFS || made.error().code == EIO) << made.error().what;
      if (!made) return made.error().code == EROFS;  // EIO: the one that met the failure.
      // A pack is synced for chunks that are on their way while something is committed.
      if (files.write(made->handle, 0, random_.bytes(1'000'000))) (void)files.flush(made->handle);
      files.release(made->handle);
      return false;
    }));
    syncs_that_fail = nullptr;
    EXPECT_FALSE((*vault)->file_system().unlink(kRootInode, "before"));
    EXPECT_TRUE(read(**vault, "before"));
    EXPECT_THAT((*vault)->status().problems, ::testing::Contains(HasSubstr("disk failed")));
  }
  const auto again = open(folder("first", "first"));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_TRUE(read(**again, "file"));
  EXPECT_TRUE(sync(**again));
}

TEST_F(VaultTest, TurnsReadOnlyWhereATreeCannotBeSyncedInTheBackground) {
  expect_read_only_where_syncs_fail_of("tree.db-wal");
}

// Claim: a machine that has no tree yet loads it whole; where that cannot be done it follows the log instead.
TEST_F(VaultTest, IsThereWholeAtTheFirstMountOfAMachine) {
  ASSERT_TRUE(enroll("first"));
  const Bytes content = random_.bytes(300'000);
  {
    const auto vault = open(folder("first", "first"));
    ASSERT_TRUE(vault) << vault.error().what;
    write(**vault, "file", content);
    ASSERT_TRUE(sync(**vault));
  }
  for (const bool can_be_loaded : {true, false}) {
    SCOPED_TRACE(can_be_loaded);
    const std::string name = can_be_loaded ? "loads" : "follows";
    ASSERT_TRUE(enroll(name, "first"));
    syncs_to_pass = can_be_loaded ? 1 : 0;
    syncs_that_fail = "/tree.db.loading";
    const auto vault = open(folder(name, "first"));
    syncs_that_fail = nullptr;
    EXPECT_EQ(syncs_to_pass, 0) << "it was not loaded";
    ASSERT_TRUE(vault) << vault.error().what;
    const auto found = read(**vault, "file");
    ASSERT_TRUE(found) << found.error().what;
    EXPECT_EQ(*found, content);
    EXPECT_FALSE(std::filesystem::exists(folder(name, "first").tree() + ".loading"));
    write(**vault, name, content);
    EXPECT_TRUE(sync(**vault));
  }
}

TEST_F(VaultTest, TurnsReadOnlyWhereAPackCannotBeSyncedInTheBackground) {
  expect_read_only_where_syncs_fail_of("/packs/");
}

// Claim: a file whose content is owed and no longer here is not called spooled, or anything else, until it is written
// again; others are.
TEST_F(VaultTest, NamesNoLevelOfAFileWhoseOwedChunkIsGone) {
  ASSERT_TRUE(enroll("first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  stage_.stop_server();
  {
    const auto vault = open(folder("first", "first"));
    ASSERT_TRUE(vault) << vault.error().what;
    write(**vault, "lost", random_.bytes(2'000'000));
  }
  std::filesystem::remove_all(folder("first", "first").spool() + "/packs");

  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault) << vault.error().what;
  files::FileSystem& files = (*vault)->file_system();
  const auto level = [&](const std::string& name) {
    return files.xattr(files.lookup(kRootInode, name)->inode, files::kLevelXattr, {});
  };
  const Result<std::string> lost = level("lost");
  ASSERT_FALSE(lost) << *lost;
  EXPECT_EQ(lost.error().code, EIO);
  write(**vault, "whole", random_.bytes(2'000'000));
  EXPECT_EQ(*level("whole"), "spooled");
  ASSERT_TRUE(files.unlink(kRootInode, "lost"));
  write(**vault, "lost", random_.bytes(2'000'000));
  EXPECT_EQ(*level("lost"), "spooled");
}

// Claim: with fsync=local, too, fsync(2) does not vouch for a file whose content is owed and no longer here.
TEST_F(VaultTest, FailsALocalFsyncOfAFileWhoseOwedChunkIsGone) {
  ASSERT_TRUE(enroll("first"));
  { ASSERT_TRUE(open(folder("first", "first"))); }
  stage_.stop_server();
  {
    const auto vault = open(folder("first", "first"));
    ASSERT_TRUE(vault) << vault.error().what;
    write(**vault, "lost", random_.bytes(2'000'000));
  }
  std::filesystem::remove_all(folder("first", "first").spool() + "/packs");

  Options options;
  options.files.fsync = files::FsyncMode::local;
  const auto vault = Vault::open(folder("first", "first"), options, key());
  ASSERT_TRUE(vault) << vault.error().what;
  files::FileSystem& files = (*vault)->file_system();
  const auto fsync = [&](const std::string& name) { return files.fsync(files.lookup(kRootInode, name)->inode, {}); };
  for (int i = 0; i < 3; ++i) {
    const Result<void> lost = fsync("lost");
    ASSERT_FALSE(lost) << i;
    EXPECT_EQ(lost.error().code, EIO);
  }
  write(**vault, "whole", random_.bytes(2'000'000));
  EXPECT_TRUE(fsync("whole"));
  ASSERT_TRUE(files.unlink(kRootInode, "lost"));
  write(**vault, "lost", random_.bytes(2'000'000));
  EXPECT_TRUE(fsync("lost"));
}

TEST_F(VaultTest, ReadsFromTheServerAfterItsSpoolWasCleared) {
  ASSERT_TRUE(enroll("first"));
  const auto vault = open(folder("first", "first"));
  ASSERT_TRUE(vault);
  const Bytes bytes = random_.bytes(3'000'000);
  write(**vault, "file", bytes);
  EXPECT_EQ((*vault)->clear_spool().error().code, EBUSY);
  ASSERT_TRUE(sync(**vault));
  ASSERT_TRUE((*vault)->clear_spool());
  EXPECT_EQ((*vault)->status().spool_bytes, 0);
  EXPECT_EQ(*read(**vault, "file"), bytes);
}

// Claim: a quota that is used up is told by write(), and all that was accepted before is committed: also where much of
// it goes to what counts beside the content. Method: while the server is away, small files are accepted until the quota
// is full, each in a chunk of its own.
TEST_F(VaultTest, TellsTheWriterThatTheQuotaIsUsedUpAndNeverTheUpload) {
  constexpr std::uint64_t kQuotaBytes = 256u << 10;
  constexpr std::uint64_t kFileBytes = 600;
  ASSERT_TRUE(enroll("first", "", {"--quota", "256K"}));
  Options options;
  options.files.fsync = files::FsyncMode::local;
  const auto vault = Vault::open(folder("first", "first"), options, key());
  ASSERT_TRUE(vault) << vault.error().what;
  files::FileSystem& files = (*vault)->file_system();
  const auto put = [&](const std::string& name) -> Result<void> {
    const meta::NewInode what{.mode = S_IFREG | 0640};
    COFFER_TRY(const files::Opened file, files.create_open(kRootInode, name, what, O_WRONLY));
    Result<void> written = files.write(file.handle, 0, random_.bytes(kFileBytes));
    const Result<void> synced = files.fsync(file.attributes.inode, {});
    files.release(file.handle);
    return written ? synced : written;
  };
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put("committed" + std::to_string(i)));
    ASSERT_TRUE(sync(**vault));
  }
  stage_.stop_server();
  std::uint64_t accepted_bytes = 0;
  Result<void> last;
  for (int i = 0; last && i < 1000; ++i) {
    last = put("owed" + std::to_string(i));
    if (last) accepted_bytes += kFileBytes;
  }
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, EDQUOT) << last.error().what;
  EXPECT_GT(accepted_bytes * 8, kQuotaBytes) << "it is used, too";
  stage_.start_server();
  const Result<void> synced = sync(**vault);
  EXPECT_TRUE(synced) << synced.error().what;
}

// ---- what a server may claim ----------------------------------------------------------------------------------------

// Claim: a server whose list of key slots is empty, or holds nothing of use, locks no machine out that knows them.
TEST_F(VaultTest, OpensWithTheKeySlotsThatItKnowsWhateverTheServerShows) {
  const auto enrolled = enroll("first");
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  const std::string log = stage_.server_dir() + "/vaults/" + enrolled->settings.id.hex() + "/oplog.db";
  for (const char* change : {"DELETE FROM key_slot", "INSERT INTO key_slot(slot) VALUES (zeroblob(104)), (x'00')"}) {
    SCOPED_TRACE(change);
    stage_.stop_server();
    {
      Result<db::Database> server = db::Database::open(log, {});
      ASSERT_TRUE(server) << server.error().what;
      ASSERT_TRUE(server->execute(change));
    }
    stage_.start_server();
    for (int i = 0; i < 2; ++i) {
      const auto vault = open(enrolled->folder);
      ASSERT_TRUE(vault) << vault.error().what;
    }
    EXPECT_EQ(read_settings(enrolled->folder)->key_slots, enrolled->settings.key_slots);
  }
}

// Claim: wherever the removal of a key slot is cut off, the slot is known here as long as the server has it, and no
// longer than until the next use of the keys.
TEST_F(VaultTest, KnowsAKeySlotAsLongAsTheServerHasItWhereverItsRemovalIsCutOff) {
  const auto enrolled = enroll("first");
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  for (const int writes : {0, 1}) {
    SCOPED_TRACE(writes);
    const std::string other = stage_.folder() + "/other" + std::to_string(writes);
    const auto number = add_key_file(enrolled->folder, key(), other);
    ASSERT_TRUE(number) << number.error().what;
    { ASSERT_TRUE(open(enrolled->folder)); }
    const std::size_t known = read_settings(enrolled->folder)->key_slots.size();
    syncs_to_pass = writes;
    syncs_that_fail = "/vault.json";
    const auto removed = remove_slot(enrolled->folder, *number);
    syncs_that_fail = nullptr;
    syncs_to_pass = 0;
    EXPECT_FALSE(removed);
    EXPECT_EQ(read_settings(enrolled->folder)->key_slots.size(), known);
    const auto listed = list_slots(enrolled->folder);
    ASSERT_TRUE(listed) << listed.error().what;
    EXPECT_EQ(listed->size(), writes == 0 ? known : known - 1) << "first noted here, then removed there";
    EXPECT_EQ(read_settings(enrolled->folder)->key_slots.size(), listed->size());
  }
}

// Claim: the client holds the server's signature under the last commit, by the key that it saw first.
TEST_F(VaultTest, KeepsTheReceiptOfItsLastCommit) {
  const auto enrolled = enroll("first");
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  const VaultSettings settings = *read_settings(enrolled->folder);
  ASSERT_TRUE(settings.receipt_key);
  for (const char* name : {"one", "two"}) {
    {
      const auto vault = open(enrolled->folder);
      ASSERT_TRUE(vault) << vault.error().what;
      write(**vault, name, as_bytes("text"));
      ASSERT_TRUE(sync(**vault));
      ASSERT_TRUE((*vault)->close());
    }
    NobodyListens events;
    const auto tree = meta::Tree::open(enrolled->folder.tree(), os::real_clock(), events);
    ASSERT_TRUE(tree) << tree.error().what;
    const auto receipt = object::decode_receipt(*(*tree)->receipt());
    ASSERT_TRUE(receipt) << receipt.error().what;
    EXPECT_TRUE(object::holds(*receipt, *settings.receipt_key));
    EXPECT_EQ(receipt->hash, (*tree)->head()->hash);
    EXPECT_EQ(receipt->seq, (*tree)->head()->seq);
    EXPECT_EQ(receipt->vault, settings.id);
  }
}

// Claim: a server that signs with another key is told of in the status, and the key that was pinned stays pinned; who
// has pinned none takes the first that he sees.
TEST_F(VaultTest, TellsOfAServerThatSignsWithAnotherKey) {
  const auto enrolled = enroll("first");
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  int files = 0;
  const auto problems = [&]() -> std::vector<std::string> {
    const auto vault = open(enrolled->folder);
    EXPECT_TRUE(vault) << vault.error().what;
    write(**vault, "file" + std::to_string(++files), as_bytes("text"));
    EXPECT_TRUE(sync(**vault));
    return (*vault)->status().problems;
  };
  VaultSettings settings = *read_settings(enrolled->folder);
  const auto pinned = settings.receipt_key;
  settings.receipt_key.reset();
  ASSERT_TRUE(write_settings(enrolled->folder, settings));
  EXPECT_THAT(problems(), ::testing::IsEmpty());
  EXPECT_EQ(read_settings(enrolled->folder)->receipt_key, pinned);

  stage_.stop_server();
  std::ofstream(stage_.server_dir() + "/receipt.key") << std::string(64, 'a') << "\n";
  stage_.start_server();
  for (int i = 0; i < 2; ++i) EXPECT_THAT(problems(), ::testing::Contains(HasSubstr("receipts with another key")));
  EXPECT_EQ(read_settings(enrolled->folder)->receipt_key, pinned);
}

// ---- enrolment -----------------------------------------------------------------------------------------------------

TEST_F(VaultTest, EnrolsOnceAndSaysSoTheSecondTime) {
  ASSERT_TRUE(enroll("first"));
  const auto again = enroll("another", "first");
  ASSERT_TRUE(again);
  EnrollmentRequest request;
  request.token = stage_.cofferd({"invite", "third", "--vault", "first"}).out;
  request.key.key_file = key_file();
  const auto twice = vault::enroll(home("first"), request);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, EEXIST);
}

TEST_F(VaultTest, LeavesNoHomeBehindWhenATokenIsRefused) {
  EnrollmentRequest request;
  request.token = stage_.cofferd({"invite", "first"}).out;
  request.key.key_file = key_file();
  ASSERT_TRUE(vault::enroll(home("first"), request));
  const auto used_up = vault::enroll(home("second"), request);
  ASSERT_FALSE(used_up);
  EXPECT_EQ(used_up.error().fault, Fault::refused);
  EXPECT_FALSE(std::filesystem::exists(home("second").path()));
  request.token = "coffer1.NONSENSE";
  EXPECT_FALSE(vault::enroll(home("second"), request));
  EXPECT_FALSE(std::filesystem::exists(home("second").path()));
}

// Claim: the token is used up by the first try, yet the same command with the right key works on this machine.
TEST_F(VaultTest, GoesOnWithAnEnrolmentWhoseKeyWasWrong) {
  ASSERT_TRUE(enroll("first"));
  EnrollmentRequest request;
  request.token = stage_.cofferd({"invite", "second", "--vault", "first"}).out;
  const std::string wrong = stage_.folder() + "/wrong-passphrase";
  std::ofstream(wrong) << "guess\n";
  request.key.passphrase_file = wrong;
  const auto failed = vault::enroll(home("second"), request);
  ASSERT_FALSE(failed);
  EXPECT_FALSE(std::filesystem::exists(folder("second", "first").path));
  request.key = key();
  const auto enrolled = vault::enroll(home("second"), request);
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  EXPECT_FALSE(enrolled->is_new_vault);
}

TEST_F(VaultTest, OpensWithThePassphraseOrTheRecoveryKeyThatWasPrinted) {
  EnrollmentRequest request;
  request.token = stage_.cofferd({"invite", "first"}).out;
  const std::string file = stage_.folder() + "/passphrase";
  std::ofstream(file) << "correct horse\n";
  request.key.passphrase_file = file;
  const auto enrolled = vault::enroll(home("first"), request);
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  KeySource source;
  source.passphrase_file = file;
  { ASSERT_TRUE(Vault::open(enrolled->folder, {}, source)); }
  KeySource recovery;
  recovery.recovery_key = crypto::Secret::copy_of(enrolled->recovery_key.bytes());
  { ASSERT_TRUE(Vault::open(enrolled->folder, {}, recovery)); }
  std::ofstream(file) << "wrong horse\n";
  const auto wrong = Vault::open(enrolled->folder, {}, source);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().what, HasSubstr("wrong passphrase"));
}

}  // namespace
}  // namespace coffer::vault
