// A machine that becomes a client of a real server on loopback; only its own disk is simulated.
#pragma once

#include <cerrno>
#include <string>

#include "fs/vault/enrollment.h"
#include "fs/vault/key_slots.h"
#include "net/tls/token.h"
#include "tests/power/cuts.h"
#include "tests/server/service/server_world.h"

namespace coffer::power {

using testing::SimDisk;

struct Machine {
  explicit Machine(std::uint64_t seed) : disk(seed) {
    EXPECT_TRUE(disk.make_folder("/home/user"));
    EXPECT_TRUE(disk.make_folder("/keys"));
  }
  void lose_power() {
    disk.cut_power();
    disk.restart();
  }

  SimDisk disk;
  vault::Home home{"/home/user/coffer", disk};
  std::string shown;  ///< The last recovery key that the person saw.
};

/// The server lives through all cuts.
class MachinesOfAServer : public service::ServerWorld {
 protected:
  MachinesOfAServer() : ServerWorld(testing::in_memory()) {}  // Its syncs are not what is looked at.

  vault::EnrollmentRequest request(Machine& machine) {
    name_ = "client" + std::to_string(++machines_);
    vault::EnrollmentRequest request;
    request.token = tls::encode(token(new_vault(name_)));
    request.key = key_file(machine, "/keys/vault.key");
    request.show_recovery_key = [&machine](const crypto::Secret& text) -> Result<void> {
      machine.shown = std::string(as_text(text.bytes()));
      return {};
    };
    return request;
  }
  static vault::KeySource key_file(Machine& machine, const std::string& path) {
    vault::KeySource source;
    source.key_file = path;
    source.disk = &machine.disk;
    return source;
  }
  static vault::KeySource recovery_key(const std::string& text) {
    vault::KeySource source;
    source.recovery_key = crypto::Secret::copy_of(as_bytes(text));
    return source;
  }
  /// Of the machine that was enrolled last.
  vault::VaultFolder folder(const Machine& machine) const { return machine.home.folder(name_); }

  /// What opens the vault according to the server, and so on any machine.
  static std::vector<Bytes> slots_on_server(const vault::VaultFolder& folder) {
    const auto settings = vault::read_settings(folder);
    EXPECT_TRUE(settings);
    std::vector<Bytes> slots;
    if (!settings) return slots;
    rpc::Client client(vault::client_options(folder, *settings), os::real_random());
    client.start();
    const auto found =
        rpc::wait<std::vector<rpc::KeySlot>>([&](auto done) { client.get_key_slots(service::soon(), done); });
    EXPECT_TRUE(found) << found.error().what;
    for (const rpc::KeySlot& slot : found ? *found : std::vector<rpc::KeySlot>()) slots.push_back(slot.slot);
    return slots;
  }
  static bool opens(const std::vector<Bytes>& slots, const vault::VaultFolder& folder, const vault::KeySource& source) {
    const auto settings = vault::read_settings(folder);
    return settings && vault::open_slots(slots, settings->id, source);
  }

  unsigned machines_ = 0;
  std::string name_;
};

}  // namespace coffer::power
