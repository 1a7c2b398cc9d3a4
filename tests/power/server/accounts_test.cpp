// `cofferd init`, invite, grant, revoke and slots, enrolment and renewal under power cuts: server/README.md, "What a
// client may believe".
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/os/clock.h"
#include "common/os/random.h"
#include "net/tls/context.h"
#include "server/accounts/accounts.h"
#include "server/admin/new_server.h"
#include "server/oplog/oplog.h"
#include "tests/power/cuts.h"
#include "tests/testing/seeded_random.h"

namespace coffer::power {
namespace {

using testing::SimDisk;
using namespace std::chrono_literals;

// ---- cofferd init ----------------------------------------------------------------------------------------------

/// As the command does it, in a folder that has a parent.
Result<void> init(SimDisk& disk) {
  const admin::ServerFolder folder("/srv/coffer", disk);
  COFFER_DO(admin::check_free(folder));
  COFFER_DO(disk.make_folder(folder.path()));
  admin::Configuration configuration;
  configuration.hosts = {"localhost"};
  return admin::make_server(folder, configuration);
}

/// The CA's certificate where it is whole: somebody may know it already.
std::optional<std::string> authority(SimDisk& disk) {
  const auto pem = admin::read_text("/srv/coffer/tls/ca.pem", disk);
  if (!pem) return std::nullopt;
  return *pem;
}

/// All that `cofferd serve` and the commands open.
void expect_server(SimDisk& disk) {
  const admin::ServerFolder folder("/srv/coffer", disk);
  EXPECT_TRUE(admin::read_configuration(folder.configuration(), disk));
  const auto ca = folder.load_authority();
  ASSERT_TRUE(ca) << ca.error().what;
  const auto fits = tls::fits(ca->certificate_pem, ca->key_pem.bytes());
  EXPECT_TRUE(fits && *fits) << "a CA without its key";
  EXPECT_TRUE(folder.load_receipt_key());
  const auto context = tls::Context::for_server(folder.tls_files());
  EXPECT_TRUE(context) << context.error().what;
  const auto accounts = accounts::Accounts::open(folder.accounts(), os::real_clock(), os::real_random(), disk);
  ASSERT_TRUE(accounts) << accounts.error().what;
  EXPECT_TRUE((*accounts)->vaults());
}

// Claim: wherever init was cut off, the same command makes a whole server, with the CA that was there, and what it
// answered for stays.
TEST(ANewServer, IsWholeAfterASecondInitWhereverTheFirstWasCutOff) {
  cut_everywhere({.seeds = 2, .step = 4}, [](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    EXPECT_TRUE(disk.make_folder("/srv"));
    disk.cut_power_at_call(call);
    const bool answered = init(disk).has_value();
    const bool was_cut = disk.power_was_cut();
    EXPECT_TRUE(answered || was_cut);
    disk.cut_power();
    disk.restart();
    const std::optional<std::string> known = authority(disk);
    if (answered) expect_server(disk);
    const Result<void> again = init(disk);
    EXPECT_TRUE(again || again.error().what.starts_with("there is a server in")) << again.error().what;
    EXPECT_FALSE(again && answered);
    disk.cut_power();
    disk.restart();
    expect_server(disk);
    if (known) {
      EXPECT_EQ(authority(disk), known) << "another CA: its clients know this server no more";
    }
    return was_cut;
  });
}

// ---- accounts and key slots ------------------------------------------------------------------------------------

crypto::Digest digest(std::uint8_t number) {
  crypto::Digest bytes{};
  bytes.fill(std::byte{number});
  return bytes;
}
accounts::Certificate certificate(std::uint8_t number) {
  return {.fingerprint = digest(number), .serial = std::to_string(number), .not_after_ns = 1};
}
object::ClientId client_id(std::uint8_t number) {
  std::array<std::byte, object::ClientId::kSize> bytes;
  bytes.fill(std::byte{number});
  return object::ClientId(bytes);
}

/// What the commands and the clients of one server do, and what each was told.
class Office {
 public:
  explicit Office(SimDisk& disk) : disk_(disk), random_(1), key_(crypto::SigningKey::generate(random_)) {}

  bool open() {
    close();
    auto accounts = accounts::Accounts::open("/srv/accounts.db", os::real_clock(), os::real_random(), disk_);
    auto log = oplog::OpLog::open("/srv/oplog.db", object::VaultId(), key_, os::real_clock(), disk_);
    if (!accounts || !log) return false;
    accounts_ = *std::move(accounts);
    log_ = *std::move(log);
    return true;
  }
  void close() {
    accounts_.reset();
    log_.reset();
  }

  /// Stops at the first failure: it comes of the cut.
  Result<void> work() {
    COFFER_DO(invite("first"));
    COFFER_DO(enrol("first", 1));
    COFFER_DO(invite("second"));
    COFFER_DO(enrol("second", 2));
    COFFER_DO(accounts_->grant("second", "first", true));
    is_granted_ = true;
    COFFER_DO(accounts_->renew(digest(1), certificate(11)));
    is_renewed_ = true;
    may_be_replaced_ = true;
    COFFER_DO(accounts_->admit(digest(11), std::nullopt));
    is_replaced_ = true;
    COFFER_TRY(const std::uint64_t slot, log_->put_key_slot(slot_bytes(1), false));
    COFFER_DO(log_->put_key_slot(slot_bytes(2), false));
    has_slot_ = true;
    COFFER_DO(log_->remove_key_slot(slot));
    is_slot_removed_ = true;
    COFFER_DO(invite("third"));
    COFFER_DO(accounts_->revoke("third"));
    is_third_ended_ = true;
    may_be_revoked_ = true;
    COFFER_DO(accounts_->revoke("second"));
    is_revoked_ = true;
    return {};
  }

  void expect_promises() {
    for (const auto& [name, secret] : invited_) {
      if (name == "third") continue;
      // Whoever asks again with the same key is let in, whether the answer was lost or the whole request.
      const auto found = accounts_->find_invitation(secret);
      EXPECT_TRUE(found) << name << "'s token was used up for nothing: " << found.error().what;
    }
    for (const auto& [name, number] : enrolled_) expect_enrolled(name, number);
    if (is_granted_ && !may_be_revoked_) {
      EXPECT_EQ(client("second").grants.size(), 2u);
    }
    if (is_renewed_) {
      EXPECT_TRUE(accounts_->admit(digest(11), std::nullopt));
    }
    if (is_replaced_) {
      EXPECT_FALSE(accounts_->admit(digest(1), std::nullopt)) << "a replaced certificate is good again";
    }
    if (is_revoked_) {
      EXPECT_FALSE(accounts_->admit(digest(2), std::nullopt)) << "a revoked client is let in again";
    }
    if (is_third_ended_) {
      EXPECT_FALSE(accounts_->find_invitation(invited_.at("third"))) << "an ended token is good";
    }
    const auto slots = log_->key_slots();
    ASSERT_TRUE(slots);
    const auto holds = [&](std::uint8_t number) {
      return std::ranges::any_of(*slots, [&](const auto& slot) { return slot.slot == slot_bytes(number); });
    };
    if (has_slot_) {
      EXPECT_TRUE(holds(2)) << "a key slot is gone";
    }
    if (is_slot_removed_) {
      EXPECT_FALSE(holds(1)) << "a removed key slot opens the vault again";
    }
  }

  /// Those whose request or answer was lost ask again.
  void ask_again() {
    for (const auto& [name, secret] : invited_) {
      const std::uint8_t number = name == "first" ? 1 : 2;
      if (name == "third" || enrolled_.contains(name)) continue;
      const auto enrolled =
          accounts_->enroll(secret, id_for(secret, number), certificate(number), digest(100 + number));
      EXPECT_TRUE(enrolled) << name << ": " << enrolled.error().what;
      if (enrolled) enrolled_[name] = number;
    }
  }

 private:
  static Bytes slot_bytes(std::uint8_t number) { return Bytes(100, std::byte{number}); }

  Result<void> invite(const std::string& name) {
    const accounts::Offer offer{.client_name = name, .vault = {}, .read_only = false, .quota_bytes = 0};
    COFFER_TRY(invited_[name], accounts_->invite(offer, 1h));
    return {};
  }
  object::ClientId id_for(const accounts::InvitationSecret& secret, std::uint8_t number) {
    const auto found = accounts_->find_invitation(secret);
    return found ? found->client.value_or(client_id(number)) : client_id(number);
  }
  Result<void> enrol(const std::string& name, std::uint8_t number) {
    COFFER_DO(accounts_->enroll(invited_.at(name), client_id(number), certificate(number), digest(100 + number)));
    enrolled_[name] = number;
    return {};
  }
  accounts::Client client(const std::string& name) {
    const auto all = accounts_->clients();
    EXPECT_TRUE(all);
    for (const accounts::Client& one : all ? *all : std::vector<accounts::Client>()) {
      if (one.name == name) return one;
    }
    ADD_FAILURE() << "no client " << name;
    return {};
  }
  void expect_enrolled(const std::string& name, std::uint8_t number) {
    (void)client(name);
    const bool may_be_out = number == 1 ? may_be_replaced_ : may_be_revoked_;
    const auto admitted = accounts_->admit(digest(number), std::nullopt);
    if (!may_be_out) {
      EXPECT_TRUE(admitted) << name << ": " << admitted.error().what;
    }
  }

  SimDisk& disk_;
  testing::SeededRandom random_;
  const crypto::SigningKey key_;
  std::unique_ptr<accounts::Accounts> accounts_;
  std::unique_ptr<oplog::OpLog> log_;

  std::map<std::string, accounts::InvitationSecret> invited_;  ///< Whose token was printed.
  std::map<std::string, std::uint8_t> enrolled_;
  bool is_granted_ = false, is_renewed_ = false, may_be_replaced_ = false, is_replaced_ = false, has_slot_ = false,
       is_slot_removed_ = false, is_third_ended_ = false, may_be_revoked_ = false, is_revoked_ = false;
};

// Claim: whenever the power goes, a token that was printed lets its client in, one whose answer was lost again; who was
// let in or granted a vault stays so; and who was revoked, a certificate that was replaced and a key slot that was
// removed stay out.
TEST(TheAccounts, KeepWhatTheyAnsweredWheneverThePowerGoes) {
  cut_everywhere({.seeds = 2, .step = 5}, [](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    EXPECT_TRUE(disk.make_folder("/srv"));
    Office office(disk);
    disk.cut_power_at_call(call);
    const bool is_done = office.open() && office.work();
    const bool was_cut = disk.power_was_cut();
    EXPECT_TRUE(is_done || was_cut);
    for (int again = 0; again < 2; ++again) {
      disk.cut_power();
      office.close();
      disk.restart();
      EXPECT_TRUE(office.open());
      if (::testing::Test::HasFailure()) return false;
      office.expect_promises();
      office.ask_again();
    }
    return was_cut;
  });
}

// Claim: where a sync fails, nothing is answered that does not stay.
TEST(TheAccounts, NeverBelieveASyncThatFailed) {
  fail_every_sync({.seeds = 2, .step = 2}, [](std::uint64_t sync, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + sync);
    EXPECT_TRUE(disk.make_folder("/srv"));
    Office office(disk);
    disk.fail_sync(sync);
    if (office.open()) (void)office.work();
    const bool has_failed = disk.sync_has_failed();
    disk.cut_power();
    office.close();
    disk.restart();
    EXPECT_TRUE(office.open());
    if (::testing::Test::HasFailure()) return false;
    office.expect_promises();
    office.ask_again();
    return has_failed;
  });
}

}  // namespace
}  // namespace coffer::power
