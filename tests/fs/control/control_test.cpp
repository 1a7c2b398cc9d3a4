// Both ends of the control socket, on a vault of a real cofferd that nobody mounts.
#include "fs/control/control_client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "fs/control/control_server.h"
#include "fs/control/line_socket.h"
#include "fs/vault/enrollment.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"

namespace coffer::control {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Control : public ::testing::Test {
 protected:
  void SetUp() override {
    vault::EnrollmentRequest request;
    request.token = stage_.cofferd({"invite", "first"}).out;
    request.key.key_file = stage_.folder() + "/key";
    const auto enrolled = vault::enroll(vault::Home(stage_.folder() + "/home"), request);
    ASSERT_TRUE(enrolled) << enrolled.error().what;
    vault::Options options;
    options.mountpoint = "/where/it/is";
    vault::KeySource key;
    key.key_file = request.key.key_file;
    auto opened = vault::Vault::open(enrolled->folder, options, key);
    ASSERT_TRUE(opened) << opened.error().what;
    vault_ = *std::move(opened);
    path_ = enrolled->folder.control();
    auto server = ControlServer::listen(path_, *vault_, [this](bool) -> Result<void> {
      ++unmounts_;
      return answer(EBUSY);
    });
    ASSERT_TRUE(server) << server.error().what;
    server_ = *std::move(server);
  }

  void write_file(const std::string& name, const std::string& content = "content of some length") {
    meta::NewInode what;
    what.mode = S_IFREG | 0600;
    const auto opened = vault_->file_system().create_open(kRootInode, name, what, O_WRONLY);
    ASSERT_TRUE(opened);
    ASSERT_TRUE(vault_->file_system().write(opened->handle, 0, as_bytes(content)));
    vault_->file_system().release(opened->handle);
  }

  testing::Stage stage_;
  std::string path_;
  std::atomic<int> unmounts_{0};
  std::unique_ptr<vault::Vault> vault_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(Control, TellsTheStatusOfTheVault) {
  const Result<vault::Status> status = ControlClient(path_).status();
  ASSERT_TRUE(status) << status.error().what;
  EXPECT_EQ(status->vault, "first");
  EXPECT_EQ(status->mountpoint, "/where/it/is");
  EXPECT_EQ(status->link, "online");
  EXPECT_EQ(status->lease, "held");
}

TEST_F(Control, ReturnsFromSyncWhenEverythingIsCommitted) {
  write_file("a");
  const Result<void> synced = ControlClient(path_).sync(30s, {});
  ASSERT_TRUE(synced) << synced.error().what;
  EXPECT_TRUE(vault_->status().all_committed());
}

TEST_F(Control, SaysWhatIsOwedWhenTheTimeForSyncIsOver) {
  stage_.stop_server();
  write_file("a");
  std::uint64_t progress = 0;
  const Result<void> synced = ControlClient(path_).sync(1s, [&](const vault::Status&) {
    ++progress;
    return true;
  });
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().fault, Fault::offline);
  EXPECT_GT(progress, 0);
}

TEST_F(Control, EndsASyncWhoseClientWentAway) {
  stage_.stop_server();
  write_file("a");
  {
    Result<LineSocket> socket = connect_to(path_);
    ASSERT_TRUE(socket);
    ASSERT_TRUE(socket->write_line(R"({"do":"sync","timeout_s":0})"));
    ASSERT_TRUE(socket->read_line());
  }
  server_.reset();  // Would wait for ever otherwise.
}

TEST_F(Control, HandsFindingsAndCountsOfAVerificationOn) {
  write_file("a");
  ASSERT_TRUE(ControlClient(path_).sync(30s, {}));
  std::filesystem::create_directory(stage_.folder() + "/local");
  std::ofstream(stage_.folder() + "/local/a") << "other content";
  vault::VerifyRequest request;
  request.read_data = true;
  request.against = stage_.folder() + "/local";
  const Result<vault::VerifyReport> report = ControlClient(path_).verify(request, {});
  ASSERT_TRUE(report) << report.error().what;
  EXPECT_EQ(report->files, 1);
  EXPECT_EQ(report->chunks, 1);
  ASSERT_EQ(report->findings.size(), 1);
  EXPECT_EQ(report->findings[0].path, "/a");
  EXPECT_EQ(report->findings[0].kind, vault::Finding::Kind::different);
}

TEST_F(Control, HandsAnErrorOnAsItWas) {
  const Result<void> unmounted = ControlClient(path_).unmount(false);
  ASSERT_FALSE(unmounted);
  EXPECT_EQ(unmounted.error().fault, Fault::answer);
  EXPECT_EQ(unmounted.error().code, EBUSY);
  EXPECT_EQ(unmounts_, 1);
}

// Claim: what would end with the mount is told to whoever asks for its end, before it is unmounted.
TEST_F(Control, UnmountsNothingWhileWrittenBytesCannotBeKept) {
  const std::string spool = std::filesystem::path(path_).parent_path().string() + "/spool";
  std::filesystem::rename(spool, spool + ".away");
  write_file("small");
  EXPECT_EQ(ControlClient(path_).unmount(false).error().code, EBUSY) << "it is kept in the staging file";
  EXPECT_EQ(unmounts_, 1);

  write_file("large", std::string(2'000'000, 'x'));
  const Result<void> unmounted = ControlClient(path_).unmount(false);
  ASSERT_FALSE(unmounted);
  EXPECT_THAT(unmounted.error().what, HasSubstr("not unmounted"));
  EXPECT_EQ(unmounts_, 1);
  EXPECT_THAT(vault_->status().problems, ::testing::Contains(HasSubstr("/large was closed")));

  std::filesystem::remove_all(spool);
  std::filesystem::rename(spool + ".away", spool);
  EXPECT_EQ(ControlClient(path_).unmount(false).error().code, EBUSY);
  EXPECT_EQ(unmounts_, 2);
  EXPECT_TRUE(vault_->status().problems.empty());
}

TEST_F(Control, AnswersNonsenseWithAnErrorAndGoesOn) {
  for (const char* line :
       {"", "nonsense", "[]", "{}", R"({"do":"frobnicate"})", R"({"do":1})", R"({"do":"sync","timeout_s":"soon"})"}) {
    Result<LineSocket> socket = connect_to(path_);
    ASSERT_TRUE(socket);
    ASSERT_TRUE(socket->write_line(line));
    const Result<std::string> reply = socket->read_line();
    ASSERT_TRUE(reply) << line;
    EXPECT_THAT(*reply, HasSubstr("\"ok\":false")) << line;
  }
  EXPECT_TRUE(ControlClient(path_).status());
}

TEST_F(Control, IsForItsOwnerAlone) {
  struct stat found {};
  ASSERT_EQ(::stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(Control, LeavesNoSocketBehind) {
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_EQ(ControlClient(path_).status().error().fault, Fault::offline);
}

// Claim: a home may lie deeper than a socket's name can be long (108 bytes, unix(7)).
TEST(LineSocket, ListensAtALongPath) {
  testing::TempDir dir;
  const std::string folder = (dir / std::string(120, 'x')).string();
  std::filesystem::create_directory(folder);
  const Result<int> listener = listen_at(folder + "/control.sock");
  ASSERT_TRUE(listener) << listener.error().what;
  EXPECT_TRUE(connect_to(folder + "/control.sock"));
  ::close(*listener);
}

}  // namespace
}  // namespace coffer::control
