#include "fs/vault/key_slots.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/os/disk.h"
#include "common/os/random.h"
#include "fs/keys/recovery_key.h"
#include "fs/vault/server_call.h"

namespace coffer::vault {

namespace {

std::string kind_text(ByteView slot) {
  const Result<keys::SlotKind> kind = keys::kind_of(slot);
  if (!kind) return "unknown";
  switch (*kind) {
    case keys::SlotKind::passphrase: return "passphrase";
    case keys::SlotKind::recovery: return "recovery key";
    case keys::SlotKind::key_file: return "key file";
  }
  return "unknown";
}

/// A vault whose slots can be changed: the server, and the key once open() was called.
struct Keyring {
  explicit Keyring(const VaultFolder& in, const VaultSettings& of) : folder(in), settings(of), server(in, settings) {}

  Result<void> reach() {
    COFFER_DO(server.wait_online());
    COFFER_TRY(slots, server.key_slots());
    if (!settle_removals(settings.key_slots, settings.removing_slots, slot_bytes())) return {};
    return write_settings(folder, settings);
  }
  std::vector<Bytes> slot_bytes() const {
    std::vector<Bytes> bytes;
    for (const rpc::KeySlot& slot : slots) bytes.push_back(slot.slot);
    return bytes;
  }
  Result<keys::VaultKey> open(const KeySource& source) {
    COFFER_DO(reach());
    return open_slots(joined_slots(settings.key_slots, slot_bytes()), settings.id, source);
  }

  const VaultFolder& folder;
  VaultSettings settings;
  ServerCall server;
  std::vector<rpc::KeySlot> slots;
};

// On the server and here: what was removed elsewhere stays known here, where a server cannot take it away. That it is
// to go is noted first: whatever cuts this off, the next use of the keys sees what the server still has.
Result<void> remove(Keyring& ring, const rpc::KeySlot& slot) {
  COFFER_TRY(VaultSettings settings, read_settings(ring.folder));
  if (std::ranges::find(settings.key_slots, slot.slot) == settings.key_slots.end())
    return ring.server.remove_key_slot(slot.number);
  settings.removing_slots.push_back(slot.slot);
  COFFER_DO(write_settings(ring.folder, settings));
  const Result<void> removed = ring.server.remove_key_slot(slot.number);
  // Without an answer nobody knows yet.
  if (!removed && removed.error().fault != Fault::refused) return removed;
  COFFER_TRY(settings, read_settings(ring.folder));
  if (removed || removed.error().code == ENOENT) std::erase(settings.key_slots, slot.slot);
  std::erase(settings.removing_slots, slot.slot);
  COFFER_DO(write_settings(ring.folder, settings));
  return removed;
}

// Where the answer was lost, the server may have stored it all the same.
Result<std::uint64_t> put(Keyring& ring, const Bytes& slot) {
  Result<std::uint64_t> number = ring.server.put_key_slot(slot, false);
  if (number) return number;
  COFFER_TRY(const std::vector<rpc::KeySlot> stored, ring.server.key_slots());
  for (const rpc::KeySlot& one : stored) {
    if (one.slot == slot) return one.number;
  }
  return number;
}

}  // namespace

Result<std::vector<SlotFacts>> list_slots(const VaultFolder& folder) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  Keyring ring(folder, settings);
  COFFER_DO(ring.reach());
  std::vector<SlotFacts> facts;
  for (const rpc::KeySlot& slot : ring.slots) facts.push_back({slot.number, kind_text(slot.slot)});
  return facts;
}

Result<std::uint64_t> add_key_file(const VaultFolder& folder, const KeySource& source,
                                   const std::string& new_key_file) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  Keyring ring(folder, settings);
  COFFER_TRY(const keys::VaultKey key, ring.open(source));
  Result<keys::KeyFile> file = keys::KeyFile::make(*source.disk, new_key_file, os::real_random());
  if (!file) return std::move(file).error().in("the key file " + new_key_file);
  Result<std::uint64_t> number = put(ring, keys::wrap_with_key_file(key, *file, settings.id, os::real_random()));
  if (!number && number.error().fault == Fault::refused) (void)source.disk->remove(new_key_file);
  return number;
}

Result<std::uint64_t> add_passphrase(const VaultFolder& folder, const KeySource& source,
                                     const crypto::Secret& passphrase) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  Keyring ring(folder, settings);
  COFFER_TRY(const keys::VaultKey key, ring.open(source));
  COFFER_TRY(const Bytes slot, keys::wrap_with_passphrase(key, passphrase.bytes(), settings.id, os::real_random()));
  return put(ring, slot);
}

Result<void> remove_slot(const VaultFolder& folder, std::uint64_t number) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  Keyring ring(folder, settings);
  COFFER_DO(ring.reach());
  for (const rpc::KeySlot& slot : ring.slots) {
    if (slot.number == number) return remove(ring, slot);
  }
  return Error{Fault::refused, ENOENT,
               "the vault has no key slot " + std::to_string(number) + ": `coffer key list` shows those it has"};
}

Result<std::vector<std::uint64_t>> renew_recovery_key(
    const VaultFolder& folder, const KeySource& source,
    const std::function<Result<void>(const crypto::Secret& text)>& show) {
  COFFER_TRY(const VaultSettings settings, read_settings(folder));
  Keyring ring(folder, settings);
  COFFER_TRY(const keys::VaultKey key, ring.open(source));
  const keys::RecoveryKey recovery = keys::RecoveryKey::generate(os::real_random());
  COFFER_TRY([[maybe_unused]] const std::uint64_t number,
             put(ring, keys::wrap_with_recovery_key(key, recovery, settings.id, os::real_random())));
  COFFER_DO(show(recovery.text()));
  std::vector<std::uint64_t> left;
  for (const rpc::KeySlot& slot : ring.slots) {
    if (kind_text(slot.slot) != "recovery key") continue;
    const Result<void> removed = remove(ring, slot);
    if (!removed && removed.error().code != ENOENT) left.push_back(slot.number);
  }
  return left;
}

}  // namespace coffer::vault
