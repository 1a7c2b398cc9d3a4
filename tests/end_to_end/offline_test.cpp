// The server is stopped, silent or unreachable: what goes on, and how everything ends all the same.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::chrono::milliseconds time_of(const std::function<void()>& call) {
  const auto begin = steady_clock::now();
  call();
  return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
}

class Offline : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
    stage_ = std::make_unique<Stage>();
    client_ = &stage_->client("first");
  }
  std::string at(const std::string& name) const { return client_->mountpoint() + "/" + name; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(at(name)) << text; }
  void server(int signal_number) const { ::kill(stage_->server_pid(), signal_number); }
  /// Mounted, with `remote`, which only the server has, and `local`, and a server that is `signal`led.
  void mount_and(int signal_number, const std::string& options) {
    ASSERT_NO_FATAL_FAILURE(client_->mount(options));
    write("remote", std::string(8192, 'r'));
    ASSERT_TRUE(succeeded(client_->umount()));
    ASSERT_TRUE(succeeded(client_->coffer({"spool", "clear"})));
    ASSERT_NO_FATAL_FAILURE(client_->mount(options));
    write("local", "local");
    ASSERT_TRUE(succeeded(client_->sync()));
    if (signal_number == SIGTERM) {
      stage_->stop_server();
    } else {
      server(signal_number);
    }
  }
  /// The middle one of many times, of every call that needs no server: a busy machine delays some of them.
  void expect_quick() const {
    int number = 0;
    const std::vector<std::pair<const char*, std::function<void()>>> calls = {
        {"ls -lR",
         [&] {
           for (const auto& entry : fs::recursive_directory_iterator(client_->mountpoint())) (void)fs::status(entry);
         }},
        {"stat", [&] { (void)fs::file_size(at("remote")); }},
        {"df",
         [&] {
           struct statvfs about {};
           ASSERT_EQ(::statvfs(client_->mountpoint().c_str(), &about), 0);
         }},
        {"create, write and close", [&] { write("new" + std::to_string(++number), std::string(4096, 'n')); }},
        {"rename",
         [&] {
           fs::rename(at("new" + std::to_string(number)), at("renamed"));
           write("new" + std::to_string(number), "");
         }},
        {"mkdir and rmdir",
         [&] {
           fs::create_directory(at("folder"));
           fs::remove(at("folder"));
         }},
        {"read", [&] { ASSERT_EQ(text_of(at("local")), "local"); }},
        {"unlink",
         [&] {
           ASSERT_EQ(::unlink(at("new" + std::to_string(number)).c_str()), 0);
           ++number;
           write("new" + std::to_string(number), "");
         }},
    };
    for (const auto& [name, call] : calls) {
      std::vector<std::chrono::milliseconds> times;
      for (int i = 0; i < 9; ++i) times.push_back(time_of(call));
      std::ranges::sort(times);
      EXPECT_LT(times[times.size() / 2], 50ms) << name;
    }
  }

  std::unique_ptr<Stage> stage_;
  Client* client_ = nullptr;
};

// Claim: with the server stopped everything local stays quick, what needs the server waits its time and ends in
// ETIMEDOUT, and all of it goes on by itself when the server is back.
TEST_F(Offline, GoesOnWithoutAServerAndResumesAlone) {
  ASSERT_NO_FATAL_FAILURE(mount_and(SIGTERM, "read_timeout=1s,fsync_timeout=1s"));
  ASSERT_NO_FATAL_FAILURE(expect_quick());
  const Finished read = run({"cat", at("remote")});
  EXPECT_EQ(read.exit_code, 1);
  EXPECT_THAT(read.err, HasSubstr("Connection timed out"));
  const Finished synced = run({"sync", at("local")});
  write("owed", "owed");
  const Finished owed = run({"sync", at("owed")});
  EXPECT_EQ(synced.exit_code, 0) << "it was committed before: " << synced.err;
  EXPECT_EQ(owed.exit_code, 1);
  EXPECT_THAT(owed.err, HasSubstr("Connection timed out"));
  ASSERT_NO_FATAL_FAILURE(stage_->start_server());
  EXPECT_TRUE(eventually([&] { return client_->coffer({"status"}).exit_code == 0; }, 60s));
  EXPECT_EQ(text_of(at("remote")), std::string(8192, 'r'));
  EXPECT_TRUE(succeeded(client_->umount()));
}

TEST_F(Offline, StaysQuickWhileTheServerIsSilent) {
  ASSERT_NO_FATAL_FAILURE(mount_and(SIGSTOP, "read_timeout=1s,fsync_timeout=1s"));
  ASSERT_NO_FATAL_FAILURE(expect_quick());
  EXPECT_THAT(run({"cat", at("remote")}).err, HasSubstr("Connection timed out"));
  EXPECT_THAT(run({"sync", at("renamed")}).err, HasSubstr("Connection timed out"));
  server(SIGCONT);
  EXPECT_TRUE(eventually([&] { return client_->coffer({"status"}).exit_code == 0; }, 60s));
  EXPECT_TRUE(succeeded(client_->umount()));
}

// Claim: SIGTERM ends a mount within seconds though the server is silent, data is owed and a file is open; nothing of
// it is lost, what only the kernel had among it.
TEST_F(Offline, EndsWithSigtermThoughTheServerIsSilentAndLosesNothing) {
  ASSERT_NO_FATAL_FAILURE(mount_and(SIGSTOP, ""));
  write("owed", "owed");
  {
    std::ofstream open(at("open"));
    open << "still open" << std::flush;
    const pid_t pid = client_->pid();
    ::kill(pid, SIGTERM);
    open.close();
  }
  const auto begin = steady_clock::now();
  EXPECT_TRUE(eventually([&] { return !client_->is_running(); }, 30s));
  EXPECT_LT(steady_clock::now() - begin, 25s);
  server(SIGCONT);
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  EXPECT_EQ(text_of(at("owed")), "owed");
  EXPECT_EQ(text_of(at("open")), "still open");
  EXPECT_TRUE(succeeded(client_->umount()));
}

TEST_F(Offline, StartsOfflineAndKeepsWhatIsWritten) {
  ASSERT_NO_FATAL_FAILURE(mount_and(SIGTERM, ""));
  ASSERT_EQ(client_->coffer({"umount", client_->mountpoint(), "--now"}).exit_code, 0);
  const Finished mounted = client_->coffer({"mount", client_->mountpoint()});
  ASSERT_TRUE(succeeded(mounted));
  EXPECT_THAT(mounted.out, HasSubstr("cannot be reached"));
  EXPECT_EQ(text_of(at("local")), "local");
  write("owed", "owed");
  const Finished unmounted = client_->coffer({"umount", client_->mountpoint()});
  EXPECT_EQ(unmounted.exit_code, 3);
  EXPECT_THAT(unmounted.err, HasSubstr("not on the server yet"));
  EXPECT_THAT(unmounted.err, HasSubstr("--now"));
  EXPECT_TRUE(client_->is_mounted());
  ASSERT_NO_FATAL_FAILURE(stage_->start_server());
  EXPECT_TRUE(eventually([&] { return client_->coffer({"status"}).exit_code == 0; }, 60s)) << "it resumes alone";
  EXPECT_TRUE(succeeded(client_->coffer({"umount", client_->mountpoint()})));
  EXPECT_EQ(client_->coffer({"status"}).exit_code, 0);
}

// Claim: a command that is given a mountpoint needs no --home, though the vault is not in the default one.
TEST_F(Offline, TellsCommandsItsHome) {
  ASSERT_NO_FATAL_FAILURE(client_->mount());
  write("file", "content");
  const std::string mountpoint = client_->mountpoint();
  const std::string coffer = "env -u COFFER_HOME HOME=" + stage_->folder() + "/nobody " + bin_folder() + "/coffer ";
  EXPECT_TRUE(succeeded(shell(coffer + "sync " + mountpoint)));
  EXPECT_TRUE(succeeded(shell(coffer + "status " + mountpoint)));
  EXPECT_TRUE(succeeded(shell(coffer + "verify " + mountpoint + "/file")));
  EXPECT_TRUE(succeeded(shell(coffer + "spool clear " + mountpoint)));
  EXPECT_TRUE(succeeded(shell(coffer + "umount " + mountpoint)));
  EXPECT_FALSE(client_->is_mounted());
}

}  // namespace
}  // namespace coffer::testing
