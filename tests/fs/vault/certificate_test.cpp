// Certificates that end while a vault is open, against a real cofferd.
#include "fs/vault/certificate.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "common/os/disk.h"
#include "fs/vault/enrollment.h"
#include "fs/vault/vault.h"
#include "net/tls/certificate.h"
#include "tests/testing/eventually.h"
#include "tests/testing/stage.h"

namespace coffer::vault {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct SetClock : os::Clock {
  os::WallTime time;
  os::WallTime now() override { return time; }
  os::SteadyTime steady() override { return steady_clock::now(); }
};

class Certificate : public ::testing::Test {
 protected:
  void SetUp() override {
    enroll("first", "");
    enroll("second", "first");
  }
  void enroll(const std::string& name, const std::string& vault) {
    std::vector<std::string> invite = {"invite", name};
    if (!vault.empty()) invite.insert(invite.end(), {"--vault", vault});
    EnrollmentRequest request;
    request.token = stage_.cofferd(invite).out;
    request.key.key_file = stage_.folder() + "/shared.key";
    const Result<Enrollment> enrolled = vault::enroll(Home(stage_.folder() + "/home-" + name), request);
    ASSERT_TRUE(enrolled) << enrolled.error().what;
  }
  VaultFolder folder(const std::string& name) const { return {stage_.folder() + "/home-" + name + "/vaults/first"}; }
  Result<std::unique_ptr<Vault>> open(const std::string& name, bool read_only) {
    Options options;
    options.read_only = read_only;
    KeySource source;
    source.key_file = stage_.folder() + "/shared.key";
    return Vault::open(folder(name), options, source);
  }
  /// Gives `name` a certificate for the same key from the same CA, of whose life of `before` and `left` the first part
  /// is over.
  void replace_certificate(const std::string& name, std::chrono::seconds before, std::chrono::seconds left) {
    const std::string tls = stage_.server_dir() + "/tls/";
    const tls::Authority authority{text_of(tls + "ca.pem"), crypto::Secret::copy_of(as_bytes(text_of(tls + "ca.key")))};
    const Result<Bytes> csr = tls::make_csr(as_bytes(text_of(folder(name).certificate_key())), name);
    ASSERT_TRUE(csr);
    const Result<tls::CertificateFacts> old = tls::read_certificate(text_of(folder(name).certificate()));
    ASSERT_TRUE(old);
    const os::WallTime now = os::real_clock().now();
    tls::NewCertificate wanted{
        .common_name = name, .hosts = {}, .uris = old->uris, .validity = {now - before, now + left}};
    const Result<std::string> issued = tls::issue_certificate(authority, *csr, wanted);
    ASSERT_TRUE(issued) << issued.error().what;
    std::ofstream(folder(name).certificate()) << *issued;
  }
  /// As replace_certificate(), and known to the server.
  void register_certificate(const std::string& name, std::chrono::seconds before, std::chrono::seconds left) {
    ASSERT_NO_FATAL_FAILURE(replace_certificate(name, before, left));
    const testing::Finished added =
        stage_.cofferd({"clients", "add", name, "--certificate", folder(name).certificate(), "--existing"});
    ASSERT_EQ(added.exit_code, 0) << added.err;
  }
  bool becomes_new(const std::string& name) const {
    return testing::eventually([&] {
      const Result<os::WallTime> end = certificate_end(folder(name));
      return end && *end > os::real_clock().now() + 24h * 100;
    });
  }

  testing::Stage stage_;
};

TEST_F(Certificate, IsRenewedAtTwoThirdsOfItsLifeByAVaultThatIsOpen) {
  ASSERT_NO_FATAL_FAILURE(register_certificate("first", 7200s, 3000s));
  const auto vault = open("first", false);
  ASSERT_TRUE(vault) << vault.error().what;
  EXPECT_TRUE(becomes_new("first"));
  EXPECT_TRUE((*vault)->sync(steady_clock::now() + 30s)) << "it goes on with the new one";
}

TEST_F(Certificate, IsLeftAloneBeforeTwoThirdsOfItsLife) {
  SetClock clock;
  const Result<tls::CertificateFacts> facts = tls::read_certificate(text_of(folder("first").certificate()));
  ASSERT_TRUE(facts);
  const auto life = facts->not_after - facts->not_before;
  clock.time = facts->not_before + life / 3 * 2 - 1h;
  EXPECT_FALSE(is_certificate_due(folder("first"), clock));
  clock.time = facts->not_before + life / 3 * 2 + 1h;
  EXPECT_TRUE(is_certificate_due(folder("first"), clock));
  clock.time = os::WallTime{};  // A clock that lost its battery.
  EXPECT_FALSE(is_certificate_due(folder("first"), clock));
}

// Claim: a read-only vault, which only follows, renews its certificate too.
TEST_F(Certificate, IsRenewedByAVaultThatFollowsAnother) {
  const auto writer = open("first", false);
  ASSERT_TRUE(writer) << writer.error().what;
  const auto reader = open("second", true);
  ASSERT_TRUE(reader) << reader.error().what;
  ASSERT_NO_FATAL_FAILURE(replace_certificate("second", 7200s, 3000s));
  meta::NewInode what;
  what.mode = S_IFDIR | 0755;
  ASSERT_TRUE((*writer)->file_system().create(kRootInode, "wakes the follower", what));
  ASSERT_TRUE((*writer)->sync(steady_clock::now() + 30s));
  EXPECT_TRUE(becomes_new("second"));
}

}  // namespace
}  // namespace coffer::vault
