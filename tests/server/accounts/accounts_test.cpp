#include "server/accounts/accounts.h"

#include <gtest/gtest.h>

#include "common/db/database.h"
#include "common/os/disk.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::accounts {
namespace {

using namespace std::chrono_literals;

struct SetClock : os::Clock {
  os::WallTime time{std::chrono::hours(1000)};
  os::WallTime now() override { return time; }
  os::SteadyTime steady() override { return os::SteadyTime(time.time_since_epoch()); }
};

crypto::Digest fingerprint(std::uint8_t n) {
  crypto::Digest digest{};
  digest[0] = std::byte{n};
  return digest;
}

object::ClientId client_id(std::uint8_t n) {
  std::array<std::byte, 16> bytes{};
  bytes[0] = std::byte{n};
  return object::ClientId(bytes);
}

Certificate certificate(std::uint8_t n) { return {.fingerprint = fingerprint(n), .serial = "01", .not_after_ns = 1}; }

Offer new_vault(std::string name) {
  return {.client_name = std::move(name), .vault = {}, .read_only = false, .quota_bytes = 0};
}

class AccountsTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    accounts_.reset();
    auto opened = Accounts::open((dir_ / "accounts.db").string(), clock_, random_);
    ASSERT_TRUE(opened) << opened.error().what;
    accounts_ = *std::move(opened);
  }

  testing::TempDir dir_;
  SetClock clock_;
  testing::SeededRandom random_{1};
  std::unique_ptr<Accounts> accounts_;
};

TEST_F(AccountsTest, MakeAClientAndItsVaultFromAnInvitation) {
  Offer offer = new_vault("laptop");
  offer.quota_bytes = 1000;
  const auto secret = accounts_->invite(offer, 1h);
  ASSERT_TRUE(secret);
  const auto client = accounts_->enroll(*secret, client_id(1), certificate(1), fingerprint(11));
  ASSERT_TRUE(client) << client.error().what;
  EXPECT_EQ(client->name, "laptop");
  ASSERT_EQ(client->grants.size(), 1u);
  EXPECT_EQ(client->grants[0].vault.name, "laptop");
  EXPECT_EQ(client->grants[0].vault.quota_bytes, 1000u);
  EXPECT_FALSE(client->grants[0].read_only);

  open();
  const auto admitted = accounts_->admit(fingerprint(1), client_id(1));
  ASSERT_TRUE(admitted) << admitted.error().what;
  EXPECT_EQ(admitted->grants[0].vault.id, client->grants[0].vault.id);
}

TEST_F(AccountsTest, TakeASecretOnce) {
  const auto secret = accounts_->invite(new_vault("laptop"), 1h);
  ASSERT_TRUE(secret);
  ASSERT_TRUE(accounts_->enroll(*secret, client_id(1), certificate(1), fingerprint(11)));
  const auto again = accounts_->enroll(*secret, client_id(1), certificate(2), fingerprint(12));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().fault, Fault::refused);
  EXPECT_NE(again.error().what.find("used already"), std::string::npos);
}

// Claim: who lost the answer gets the same client again, with another certificate; nobody else does, and not for longer
// than the token lives.
TEST_F(AccountsTest, TakeASecretAgainFromWhoHasTheKeyThatUsedIt) {
  const auto secret = accounts_->invite(new_vault("laptop"), 1h);
  ASSERT_TRUE(secret);
  EXPECT_FALSE(accounts_->find_invitation(*secret)->client);
  ASSERT_TRUE(accounts_->enroll(*secret, client_id(1), certificate(1), fingerprint(11)));
  open();
  EXPECT_EQ(accounts_->find_invitation(*secret)->client, client_id(1));
  EXPECT_FALSE(accounts_->enroll(*secret, client_id(2), certificate(2), fingerprint(11))) << "another client's id";
  const auto again = accounts_->enroll(*secret, client_id(1), certificate(2), fingerprint(11));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(again->grants.size(), 1u);
  EXPECT_FALSE(accounts_->admit(fingerprint(1), client_id(1))) << "the certificate that nobody got is gone";
  EXPECT_TRUE(accounts_->admit(fingerprint(2), client_id(1)));
  ASSERT_TRUE(accounts_->enroll(*secret, client_id(1), certificate(3), fingerprint(11)));
  EXPECT_TRUE(accounts_->admit(fingerprint(2), client_id(1))) << "one that was shown stays";

  clock_.time += 1h;
  EXPECT_FALSE(accounts_->enroll(*secret, client_id(1), certificate(4), fingerprint(11)));
  clock_.time -= 1h;
  ASSERT_TRUE(accounts_->revoke("laptop"));
  EXPECT_FALSE(accounts_->enroll(*secret, client_id(1), certificate(5), fingerprint(11))) << "it was revoked";
}

TEST_F(AccountsTest, TakeNoSecretThatHasExpiredOrIsWrong) {
  auto secret = accounts_->invite(new_vault("laptop"), 1h);
  ASSERT_TRUE(secret);
  InvitationSecret wrong = *secret;
  wrong[31] ^= std::byte{1};
  EXPECT_NE(accounts_->find_invitation(wrong).error().what.find("not known"), std::string::npos);
  clock_.time += 1h;
  EXPECT_NE(accounts_->find_invitation(*secret).error().what.find("expired"), std::string::npos);
  EXPECT_FALSE(accounts_->enroll(*secret, client_id(1), certificate(1), fingerprint(11)));
}

TEST_F(AccountsTest, KeepNoSecretOnTheDisk) {
  const auto secret = accounts_->invite(new_vault("laptop"), 1h);
  ASSERT_TRUE(secret);
  accounts_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    const auto bytes = os::read_file(os::real_disk(), entry.path().string(), 1 << 20);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(as_text(*bytes).find(as_text(*secret)), std::string_view::npos);
  }
}

TEST_F(AccountsTest, EndAnInvitationWhenTheNameIsInvitedAgain) {
  const auto first = accounts_->invite(new_vault("laptop"), 1h);
  const auto second = accounts_->invite(new_vault("laptop"), 1h);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(accounts_->find_invitation(*first));
  EXPECT_TRUE(accounts_->find_invitation(*second));
}

TEST_F(AccountsTest, RefuseNamesThatAreTakenOrCannotBeTyped) {
  ASSERT_TRUE(accounts_->add_client(new_vault("laptop"), client_id(1), certificate(1)));
  EXPECT_EQ(accounts_->invite(new_vault("laptop"), 1h).error().fault, Fault::refused);
  for (const char* name : {"", "-x", ".x", "a b", "a/b", "\xc3\xa4", "a\n"}) {
    EXPECT_FALSE(accounts_->invite(new_vault(name), 1h)) << name;
  }
  EXPECT_FALSE(accounts_->invite(new_vault(std::string(65, 'a')), 1h));
  EXPECT_TRUE(accounts_->invite(new_vault(std::string(64, 'a')), 1h));
}

TEST_F(AccountsTest, AdmitOnlyCertificatesThatAreRegistered) {
  ASSERT_TRUE(accounts_->add_client(new_vault("laptop"), client_id(1), certificate(1)));
  EXPECT_TRUE(accounts_->admit(fingerprint(1), std::nullopt)) << "a certificate made by hand may carry no URI";
  EXPECT_FALSE(accounts_->admit(fingerprint(2), client_id(1))) << "signed, but nobody registered it";
  EXPECT_FALSE(accounts_->admit(fingerprint(1), client_id(2))) << "its URI is another client's";
}

TEST_F(AccountsTest, ShutARevokedClientOutAndGiveItsNameAgain) {
  ASSERT_TRUE(accounts_->add_client(new_vault("laptop"), client_id(1), certificate(1)));
  ASSERT_TRUE(accounts_->revoke("laptop"));
  const auto admitted = accounts_->admit(fingerprint(1), client_id(1));
  ASSERT_FALSE(admitted);
  EXPECT_NE(admitted.error().what.find("revoked"), std::string::npos);
  EXPECT_FALSE(accounts_->revoke("laptop")) << "there is no such client any more";
  EXPECT_FALSE(accounts_->name_of(client_id(1))->has_value());

  const auto vault = accounts_->vault_named("laptop");
  ASSERT_TRUE(vault);
  Offer offer = new_vault("laptop");
  EXPECT_FALSE(accounts_->invite(offer, 1h)) << "the vault of the name is still there";
  offer.vault = vault->id;
  EXPECT_TRUE(accounts_->add_client(offer, client_id(2), certificate(2)));
}

// Claim: revoking a name ends the invitation of that name too, whether or not there is a client of it.
TEST_F(AccountsTest, EndAnInvitationWhenItsNameIsRevoked) {
  const auto secret = accounts_->invite(new_vault("laptop"), 1h);
  ASSERT_TRUE(secret);
  const auto open = accounts_->open_invitations();
  ASSERT_EQ(open->size(), 1u);
  EXPECT_EQ(open->front().client_name, "laptop");
  EXPECT_EQ(open->front().vault_name, "");
  const auto revoked = accounts_->revoke("laptop");
  ASSERT_TRUE(revoked) << revoked.error().what;
  EXPECT_TRUE(revoked->invitation);
  EXPECT_FALSE(revoked->client);
  const auto late = accounts_->enroll(*secret, client_id(1), certificate(1), fingerprint(11));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().fault, Fault::refused);
  EXPECT_TRUE(accounts_->open_invitations()->empty());
  EXPECT_FALSE(accounts_->revoke("laptop")) << "there is nothing more to end";

  ASSERT_TRUE(accounts_->invite(new_vault("phone"), 1h));
  clock_.time += 1h;
  EXPECT_TRUE(accounts_->open_invitations()->empty());
  EXPECT_FALSE(accounts_->revoke("phone")) << "it had expired";
}

TEST_F(AccountsTest, GrantAVaultAndChangeHowItMayBeUsed) {
  ASSERT_TRUE(accounts_->add_client(new_vault("a"), client_id(1), certificate(1)));
  ASSERT_TRUE(accounts_->add_client(new_vault("b"), client_id(2), certificate(2)));
  ASSERT_TRUE(accounts_->grant("b", "a", true));
  auto client = accounts_->admit(fingerprint(2), client_id(2));
  ASSERT_TRUE(client);
  ASSERT_EQ(client->grants.size(), 2u);
  EXPECT_EQ(client->grants[0].vault.name, "a");
  EXPECT_TRUE(client->grants[0].read_only);
  ASSERT_TRUE(accounts_->grant("b", "a", false));
  client = accounts_->admit(fingerprint(2), client_id(2));
  EXPECT_FALSE(client->grants[0].read_only);
  EXPECT_FALSE(accounts_->grant("b", "nowhere", false));
  EXPECT_FALSE(accounts_->grant("nobody", "a", false));
}

TEST_F(AccountsTest, EndACertificateWhenTheOneThatReplacesItIsShown) {
  ASSERT_TRUE(accounts_->add_client(new_vault("laptop"), client_id(1), certificate(1)));
  ASSERT_TRUE(accounts_->renew(fingerprint(1), certificate(2)));
  ASSERT_TRUE(accounts_->renew(fingerprint(1), certificate(3))) << "the answer to the first renewal was lost";
  EXPECT_FALSE(accounts_->admit(fingerprint(2), client_id(1)));
  EXPECT_TRUE(accounts_->admit(fingerprint(1), client_id(1))) << "the new one was not seen yet";
  EXPECT_TRUE(accounts_->admit(fingerprint(3), client_id(1)));
  EXPECT_FALSE(accounts_->admit(fingerprint(1), client_id(1)));
  EXPECT_FALSE(accounts_->renew(fingerprint(1), certificate(4)));
  EXPECT_TRUE(accounts_->admit(fingerprint(3), client_id(1)));
}

// Claim: a client that renews its certificate again and again, showing each or not, does not make the file grow.
TEST_F(AccountsTest, RememberABoundedNumberOfCertificatesOfOneClient) {
  ASSERT_TRUE(accounts_->add_client(new_vault("laptop"), client_id(1), certificate(1)));
  ASSERT_TRUE(accounts_->add_client(new_vault("desktop"), client_id(2), certificate(250)));
  ASSERT_TRUE(accounts_->renew(fingerprint(250), certificate(251)));
  ASSERT_TRUE(accounts_->admit(fingerprint(251), {}));
  for (std::uint8_t n = 1; n < 240; n += 2) {
    clock_.time += 1h;
    ASSERT_TRUE(accounts_->renew(fingerprint(n), certificate(n + 1)));
    ASSERT_TRUE(accounts_->renew(fingerprint(n), certificate(n + 2)));
    ASSERT_TRUE(accounts_->admit(fingerprint(n + 2), {}));
  }
  ASSERT_TRUE(accounts_->admit(fingerprint(241), {}));
  const auto why = [&](std::uint8_t n) { return accounts_->admit(fingerprint(n), {}).error().what; };
  EXPECT_NE(why(239).find("was replaced"), std::string::npos);
  EXPECT_NE(why(1).find("not registered"), std::string::npos);
  EXPECT_NE(why(250).find("was replaced"), std::string::npos) << "another client's are its own";

  auto db = db::Database::open((dir_ / "accounts.db").string(), {}).value();
  auto count = db.prepare("SELECT count(*) FROM certificate").value();
  ASSERT_TRUE(count.step());
  EXPECT_LE(count.integer(0), 9 + 2);
}

TEST_F(AccountsTest, TellAWatchOfChangesByAnyConnection) {
  auto watch = ChangeWatch::open((dir_ / "accounts.db").string());
  ASSERT_TRUE(watch);
  EXPECT_FALSE(*watch->changed());
  ASSERT_TRUE(accounts_->add_client(new_vault("laptop"), client_id(1), certificate(1)));
  EXPECT_TRUE(*watch->changed());
  EXPECT_FALSE(*watch->changed());
}

}  // namespace
}  // namespace coffer::accounts
