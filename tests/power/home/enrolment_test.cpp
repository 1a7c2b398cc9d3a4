// Enrolment and the renewal of a certificate under power cuts of the client: fs/README.md, "What a power cut leaves".
#include <algorithm>

#include "fs/vault/certificate.h"
#include "tests/power/home/machine.h"

namespace coffer::power {
namespace {

class AnEnrolment : public MachinesOfAServer {
 protected:
  /// The vault is there, and the key file and the recovery key that was shown open it, here and anywhere.
  void expect_whole(Machine& machine) {
    const vault::VaultFolder of = folder(machine);
    const auto settings = vault::read_settings(of);
    ASSERT_TRUE(settings) << settings.error().what;
    EXPECT_EQ(settings->key_file, "/keys/vault.key");
    EXPECT_TRUE(settings->own_slots.empty());
    for (const std::vector<Bytes>& slots : {settings->key_slots, slots_on_server(of)}) {
      EXPECT_EQ(slots.size(), 2u);
      EXPECT_TRUE(opens(slots, of, key_file(machine, "/keys/vault.key"))) << "the key file is for nothing";
      EXPECT_TRUE(opens(slots, of, recovery_key(machine.shown))) << "the recovery key is for nothing";
    }
  }

  /// Runs the command until the power goes at `call`. True if it ended before.
  static bool run(Machine& machine, const vault::EnrollmentRequest& command, std::uint64_t call) {
    machine.disk.cut_power_at_call(call);
    const auto enrolled = vault::enroll(machine.home, command);
    const bool was_cut = machine.disk.power_was_cut();
    EXPECT_TRUE(enrolled || was_cut || enrolled.error().code == EEXIST) << enrolled.error().what;
    machine.lose_power();
    return !was_cut;
  }
};

// Claim: wherever the power goes, the same command goes on with the same token and ends with a vault that the key file
// and the recovery key open; what it answered for stays. So neither is a token used up for nothing, nor a slot on the
// server whose key is lost.
TEST_F(AnEnrolment, GoesOnWhereverThePowerWent) {
  cut_everywhere({.seeds = 2, .step = 9}, [this](std::uint64_t call, std::uint64_t seed) {
    Machine machine(seed * 100'003 + call);
    const vault::EnrollmentRequest command = request(machine);
    const bool was_cut = !run(machine, command, call);
    if (was_cut && seed % 2 == 0) run(machine, command, 1 + (call * 31 + seed) % 60);
    if (was_cut) {
      const auto enrolled = vault::enroll(machine.home, command);
      EXPECT_TRUE(enrolled || enrolled.error().code == EEXIST) << enrolled.error().what;
      machine.lose_power();
    }
    expect_whole(machine);
    return was_cut;
  });
}

// Claim: the same of a machine that joins a vault; the vault's keys stay as they are, and no other recovery key is
// shown.
TEST_F(AnEnrolment, OfAVaultThatIsThereGoesOnWhereverThePowerWent) {
  Machine maker(1);
  ASSERT_TRUE(vault::enroll(maker.home, request(maker)));
  const std::string vault_name = name_;
  const object::VaultId id = vault::read_settings(folder(maker))->id;
  const Bytes key = *os::read_file(maker.disk, "/keys/vault.key", 1000);
  cut_everywhere({.seeds = 1, .step = 7}, [&](std::uint64_t call, std::uint64_t seed) {
    Machine machine(seed * 100'003 + call);
    EXPECT_TRUE(os::replace_file(machine.disk, "/keys/vault.key", key));
    vault::EnrollmentRequest command = request(machine);
    command.token =
        tls::encode(token({.client_name = name_ + "-joins", .vault = id, .read_only = false, .quota_bytes = 0}));
    const bool was_cut = !run(machine, command, call);
    if (was_cut) {
      const auto enrolled = vault::enroll(machine.home, command);
      EXPECT_TRUE(enrolled || enrolled.error().code == EEXIST) << enrolled.error().what;
      machine.lose_power();
    }
    EXPECT_EQ(machine.shown, "");
    machine.shown = maker.shown;
    name_ = vault_name;
    expect_whole(machine);
    return was_cut;
  });
}

class ACertificate : public MachinesOfAServer {
 protected:
  static Result<void> connect(rpc::Client& client) {
    client.start();
    return client.wait_online(service::soon());
  }
};

// Claim: whenever the power goes while a certificate is renewed, the machine has one that the server lets in: the old
// one is revoked when the new one was shown, and that is on the disk by then.
TEST_F(ACertificate, LetsTheMachineInWheneverThePowerWent) {
  cut_everywhere({.seeds = 4, .step = 1}, [this](std::uint64_t call, std::uint64_t seed) {
    Machine machine(seed * 100'003 + call);
    EXPECT_TRUE(vault::enroll(machine.home, request(machine)));
    if (::testing::Test::HasFailure()) return false;
    const vault::VaultFolder of = folder(machine);
    const vault::VaultSettings settings = *vault::read_settings(of);
    bool was_cut = false;
    {
      rpc::Client client(vault::client_options(of, settings), os::real_random());
      EXPECT_TRUE(connect(client));
      machine.disk.cut_power_at_call(call);
      const Result<void> renewed = vault::renew_certificate(of, settings, client);
      was_cut = machine.disk.power_was_cut();
      EXPECT_TRUE(renewed || was_cut) << renewed.error().what;
      client.stop();
      rpc::Client shows_it(vault::client_options(of, settings), os::real_random());
      if (renewed) {
        EXPECT_TRUE(connect(shows_it));
      }
    }
    machine.lose_power();
    rpc::Client client(vault::client_options(of, settings), os::real_random());
    const Result<void> connected = connect(client);
    EXPECT_TRUE(connected) << connected.error().what;
    return was_cut;
  });
}

}  // namespace
}  // namespace coffer::power
