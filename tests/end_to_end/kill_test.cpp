// kill -9 of client and server at random moments, under programs that are at work in a real mount.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/busy_writer.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr unsigned kWriters = 3;
/// Server and clients begin anew after so many kills: a server keeps what was ever written.
constexpr unsigned kKillsOnAStage = 60;

unsigned number_from(const char* variable, unsigned otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

/// One server, a client that is killed, and one that only reads and is left alone.
class Killing {
 public:
  explicit Killing(std::uint64_t seed)
      : seed_(seed), random_(seed), first_(stage_.client("first")), reader_(stage_.client("reader", "first")) {}

  unsigned kills() const { return kills_; }
  /// What promise was broken; empty while none is.
  const std::string& broken() const { return broken_; }

  void begin() {
    ASSERT_NO_FATAL_FAILURE(first_.mount());
    for (unsigned i = 0; i < kWriters; ++i) {
      const std::string folder = first_.mountpoint() + "/" + std::to_string(i);
      ASSERT_EQ(::mkdir(folder.c_str(), 0755), 0);
      writers_.push_back(std::make_unique<BusyWriter>(folder));
    }
    ASSERT_TRUE(succeeded(first_.sync()));
    ASSERT_NO_FATAL_FAILURE(reader_.mount("ro"));
  }

  /// Work, a kill or some, and what is there afterwards.
  void round() {
    for (auto& writer : writers_) writer->start(random_.below(~std::uint64_t{0}));
    pause(milliseconds(250));
    const std::uint64_t how = random_.below(100);
    if (how < 45) {
      kill_client();
    } else if (how < 60) {
      kill_server_under_work();
    } else if (how < 70) {
      kill_both();
    } else if (how < 80) {
      kill_while("sync", false);
    } else if (how < 90) {
      kill_while("umount", true);
    } else {
      kill_server_while_unmounting();
    }
  }

  /// The last look: nothing is owed, a client without anything local reads it all, and the server finds no fault.
  void end() {
    sync_and_compare();
    if (!broken_.empty()) return;
    const std::string copy = stage_.folder() + "/copy";
    ASSERT_TRUE(succeeded(reader_.umount()));
    ASSERT_TRUE(succeeded(reader_.coffer({"spool", "clear", "--tree"})));
    ASSERT_TRUE(succeeded(reader_.coffer({"get", "/", "-o", copy})));
    complain_of(server_fault(copy), "a client with an empty home");
    EXPECT_TRUE(succeeded(first_.umount()));
    EXPECT_TRUE(succeeded(stage_.cofferd({"check", "--read-data"})));
  }

 private:
  // ---- the kinds of rounds

  void kill_client() {
    crash_client();
    look_at_server();
    mount_again();
  }

  /// The mount goes on when the server is back: no call fails, fsync(2) waits.
  void kill_server_under_work() {
    kill_server();
    pause(milliseconds(60));
    ASSERT_NO_FATAL_FAILURE(stage_.start_server());
    pause(milliseconds(150));
    if (random_.below(2) == 0) return kill_client();
    for (auto& writer : writers_) writer->stop();
    check_that_calls_went_well("while the server was killed and started again");
    sync_and_compare();
  }

  void kill_both() {
    const bool server_first = random_.below(2) == 0;
    server_first ? kill_server() : crash_client();
    pause(milliseconds(60));
    server_first ? crash_client() : kill_server();
    const bool mounts_offline = random_.below(2) == 0;
    if (mounts_offline) mount_again();
    if (!broken_.empty() || ::testing::Test::HasFatalFailure()) return;
    ASSERT_NO_FATAL_FAILURE(stage_.start_server());
    look_at_server();
    if (!mounts_offline) mount_again();
  }

  /// The client dies while it answers the command.
  void kill_while(const std::string& command, bool is_idle) {
    if (is_idle) {
      for (auto& writer : writers_) writer->stop();
      check_that_calls_went_well("without any kill");
    }
    const std::unique_ptr<Process> running = first_.begin({command, first_.mountpoint()});
    pause(milliseconds(120));
    crash_client();
    running->wait(seconds(30));
    look_at_server();
    mount_again();
  }

  void kill_server_while_unmounting() {
    for (auto& writer : writers_) writer->stop();
    check_that_calls_went_well("without any kill");
    const std::unique_ptr<Process> running = first_.begin({"umount", first_.mountpoint()});
    pause(milliseconds(80));
    kill_server();
    pause(milliseconds(60));
    ASSERT_NO_FATAL_FAILURE(stage_.start_server());
    const int exit_code = running->wait(seconds(60));
    if (exit_code == 0) {
      for (auto& writer : writers_) writer->oracle().all_committed();
    } else {
      complain_of("exit code " + std::to_string(exit_code),
                  "coffer umount, while the server was killed and started again");
    }
    look_at_server();
    mount_again();
  }

  // ---- killing

  /// A random moment is the point here: nothing is waited for.
  void pause(milliseconds at_most) {
    std::this_thread::sleep_for(
        std::chrono::microseconds(random_.below(static_cast<std::uint64_t>(at_most.count()) * 1000)));
  }

  void crash_client() {
    first_.crash();
    ++kills_;
    for (auto& writer : writers_) {
      writer->abandon();
      if (!writer->failed_by_the_kill()) complain_of(writer->failure(), "before the kill", writer.get());
    }
  }

  void kill_server() {
    stage_.kill9_server();
    ++kills_;
  }

  /// Mounts, sometimes after a mount or two that are killed on their way, and looks at what is there.
  void mount_again() {
    while (random_.below(4) == 0) {
      const std::unique_ptr<Process> running = first_.begin({"mount", first_.mountpoint(), "--foreground"});
      pause(milliseconds(150));
      running->signal(SIGKILL);
      running->wait(seconds(30));
      ++kills_;
    }
    ASSERT_NO_FATAL_FAILURE(first_.mount());
    for (auto& writer : writers_) {
      std::string why;
      const FoundTree found = read_tree(writer->folder(), why);
      if (why.empty()) why = writer->oracle().settle(found);
      complain_of(why, "the client's mount, started again", writer.get());
    }
    if (stage_.server_pid() > 0 && random_.below(3) == 0) sync_and_compare();
  }

  // ---- looking

  std::string server_fault(const std::string& root) {
    for (unsigned i = 0; i < kWriters; ++i) {
      std::string why;
      const FoundTree found = read_tree(root + "/" + std::to_string(i), why);
      if (why.empty()) why = writers_[i]->oracle().why_not_on_server(found);
      if (!why.empty()) return "in " + std::to_string(i) + ": " + why + "\n" + writers_[i]->trace();
    }
    return {};
  }

  /// A second client sees what fsync(2) and `coffer sync` have answered for.
  void look_at_server() {
    std::string why;
    eventually(
        [&] {
          why = server_fault(reader_.mountpoint());
          return why.empty();
        },
        seconds(30));
    complain_of(why, "a second client");
  }

  void sync_and_compare() {
    if (!broken_.empty()) return;
    const Finished synced = first_.sync();
    if (synced.exit_code != 0) return complain_of(synced.out + synced.err, "coffer sync");
    for (auto& writer : writers_) writer->oracle().all_committed();
    look_at_server();
  }

  void check_that_calls_went_well(const std::string& when) {
    for (auto& writer : writers_) complain_of(writer->failure(), when, writer.get());
  }

  void complain_of(const std::string& why, const std::string& where, const BusyWriter* writer = nullptr) {
    if (why.empty() || !broken_.empty()) return;
    broken_ = "COFFER_SEED=" + std::to_string(seed_) + ", kill " + std::to_string(kills_) + ", " + where + ": " + why;
    if (writer != nullptr) broken_ += "\nin " + writer->folder() + ":\n" + writer->trace();
  }

  const std::uint64_t seed_;
  SeededRandom random_;
  Stage stage_;
  Client& first_;
  Client& reader_;
  std::vector<std::unique_ptr<BusyWriter>> writers_;
  unsigned kills_ = 0;
  std::string broken_;
};

// Claim: what close(2), rename(2) and all other calls on names have answered is there after any kill -9 of the client;
// what fsync(2) and `coffer sync` have answered is on the server after any kill -9 of both, and a second client sees
// it. The call that was under way is there as a whole or not at all. Nothing else than what was asked for is ever
// there.
//
// Method: three programs work below one mount each in a folder of its own, with an oracle. Client and server are killed
// while they work, and during mount, sync and umount. COFFER_KILLS: so many kills; else ten. COFFER_SEED: the first
// seed.
TEST(Kill9, OfClientAndServerBreaksNoPromise) {
  if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  const unsigned kills_wanted = number_from("COFFER_KILLS", 10);
  const auto began = steady_clock::now();
  unsigned kills = 0;
  for (std::uint64_t seed = number_from("COFFER_SEED", 1); kills < kills_wanted; ++seed) {
    Killing killing(seed);
    ASSERT_NO_FATAL_FAILURE(killing.begin());
    while (killing.kills() < std::min(kKillsOnAStage, kills_wanted - kills)) {
      ASSERT_NO_FATAL_FAILURE(killing.round());
      ASSERT_EQ(killing.broken(), "");
    }
    ASSERT_NO_FATAL_FAILURE(killing.end());
    ASSERT_EQ(killing.broken(), "");
    kills += killing.kills();
  }
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
  std::cout << kills << " kills in " << took.count() / 1000 << " s, no promise broken\n";
}

}  // namespace
}  // namespace coffer::testing
