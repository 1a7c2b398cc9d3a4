// `coffer key` under power cuts of the client: fs/README.md, "What a power cut leaves".
#include <algorithm>

#include "tests/power/home/machine.h"

namespace coffer::power {
namespace {

class TheKeysOfAVault : public MachinesOfAServer {
 protected:
  /// An enrolled machine; then `command` until the power goes at `call`, and `look` at what is left.
  template <class Command, class Look>
  bool try_one(std::uint64_t call, std::uint64_t seed, Command command, Look look) {
    Machine machine(seed * 100'003 + call);
    const auto enrolled = vault::enroll(machine.home, request(machine));
    EXPECT_TRUE(enrolled) << enrolled.error().what;
    if (!enrolled) return false;
    machine.lose_power();
    machine.disk.cut_power_at_call(call);
    const bool answered = command(machine).has_value();
    const bool was_cut = machine.disk.power_was_cut();
    EXPECT_TRUE(answered || was_cut);
    machine.lose_power();
    const std::vector<Bytes> on_server = slots_on_server(folder(machine));
    EXPECT_TRUE(opens(on_server, folder(machine), key_file(machine, "/keys/vault.key")));
    EXPECT_TRUE(
        opens(vault::read_settings(folder(machine))->key_slots, folder(machine), key_file(machine, "/keys/vault.key")));
    look(machine, on_server, answered);
    return was_cut;
  }
};

// Claim: a key file whose slot is on the server is on the disk, whole.
TEST_F(TheKeysOfAVault, HaveNoSlotWhoseKeyFileIsLost) {
  cut_everywhere({.seeds = 4, .step = 1}, [this](std::uint64_t call, std::uint64_t seed) {
    return try_one(
        call, seed,
        [&](Machine& machine) {
          return vault::add_key_file(folder(machine), key_file(machine, "/keys/vault.key"), "/keys/second.key");
        },
        [&](Machine& machine, const std::vector<Bytes>& on_server, bool answered) {
          if (answered) {
            EXPECT_EQ(on_server.size(), 3u);
          }
          if (on_server.size() < 3) return;
          EXPECT_TRUE(opens(on_server, folder(machine), key_file(machine, "/keys/second.key")));
        });
  });
}

// Claim: a slot whose removal was answered opens the vault no more, neither here nor elsewhere.
TEST_F(TheKeysOfAVault, StayRemovedOnceThatWasAnswered) {
  cut_everywhere({.seeds = 3, .step = 1}, [this](std::uint64_t call, std::uint64_t seed) {
    return try_one(
        call, seed,
        [&](Machine& machine) -> Result<void> {
          COFFER_TRY(const std::vector<vault::SlotFacts> slots, vault::list_slots(folder(machine)));
          for (const vault::SlotFacts& slot : slots) {
            if (slot.kind == "recovery key") return vault::remove_slot(folder(machine), slot.number);
          }
          return Error{Fault::corrupt, 0, "no recovery key"};
        },
        [&](Machine& machine, const std::vector<Bytes>& on_server, bool answered) {
          if (!answered) return;
          EXPECT_FALSE(opens(on_server, folder(machine), recovery_key(machine.shown)));
          EXPECT_FALSE(
              opens(vault::read_settings(folder(machine))->key_slots, folder(machine), recovery_key(machine.shown)));
        });
  });
}

// Claim: the recovery key that was shown last opens the vault, whether or not the command came to its end; and the old
// one does not, once that was answered.
TEST_F(TheKeysOfAVault, OpenWithTheRecoveryKeyThatWasShownLast) {
  cut_everywhere({.seeds = 3, .step = 1}, [this](std::uint64_t call, std::uint64_t seed) {
    std::string old;
    return try_one(
        call, seed,
        [&](Machine& machine) -> Result<void> {
          old = machine.shown;
          COFFER_TRY(const std::vector<std::uint64_t> left,
                     vault::renew_recovery_key(folder(machine), key_file(machine, "/keys/vault.key"),
                                               [&](const crypto::Secret& text) -> Result<void> {
                                                 machine.shown = std::string(as_text(text.bytes()));
                                                 return {};
                                               }));
          if (!left.empty()) return Error{Fault::local_io, 0, "the old one is left, and the command says so"};
          return {};
        },
        [&](Machine& machine, const std::vector<Bytes>& on_server, bool answered) {
          EXPECT_TRUE(opens(on_server, folder(machine), recovery_key(machine.shown)));
          if (answered) {
            EXPECT_FALSE(opens(on_server, folder(machine), recovery_key(old)));
          }
        });
  });
}

}  // namespace
}  // namespace coffer::power
