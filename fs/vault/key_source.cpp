#include "fs/vault/key_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common/os/disk.h"
#include "fs/keys/key_file.h"
#include "fs/keys/key_slot.h"
#include "fs/keys/recovery_key.h"

namespace coffer::vault {

namespace {

constexpr std::size_t kPassphraseBytesMax = 4096;
constexpr unsigned kAttemptsMax = 3;

Error wrong(std::string what) { return {Fault::refused, EACCES, std::move(what)}; }

bool has_slot(std::span<const Bytes> slots, keys::SlotKind kind) {
  return std::ranges::any_of(slots, [&](const Bytes& slot) {
    const auto found = keys::kind_of(slot);
    return found && *found == kind;
  });
}

// Tries `secret` on every slot of its kind.
Result<keys::VaultKey> try_slots(std::span<const Bytes> slots, keys::SlotKind kind, ByteView secret,
                                 const object::VaultId& vault, const std::string& if_none,
                                 const std::string& if_wrong) {
  if (!has_slot(slots, kind)) return wrong(if_none);
  std::string untried;  // One that asks for more memory than there is, say: the next may be the one.
  for (const Bytes& slot : slots) {
    const auto found = keys::kind_of(slot);
    if (!found || *found != kind) continue;
    Result<keys::VaultKey> key = keys::unwrap(slot, secret, vault);
    if (key) return key;
    if (key.error().fault != Fault::refused) untried = key.error().what;
  }
  return wrong(if_wrong + (untried.empty() ? "" : " (one of its key slots could not be tried: " + untried + ")"));
}

Result<keys::VaultKey> with_passphrase(std::span<const Bytes> slots, const object::VaultId& vault, ByteView passphrase,
                                       const std::string& if_wrong) {
  return try_slots(slots, keys::SlotKind::passphrase, passphrase, vault,
                   "no passphrase opens this vault: give its key file with --key-file F, or the recovery key",
                   if_wrong);
}

}  // namespace

Result<crypto::Secret> read_secret_line(const std::string& path, const std::string& what) {
  const int fd = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return os_error(errno, "the " + what + " file " + path + " cannot be read");
  crypto::Secret text(kPassphraseBytesMax);
  std::size_t length = 0;
  bool ended = false;
  // Byte by byte from a terminal or a pipe: what follows the first line is not ours.
  while (!ended && length < text.size()) {
    const ssize_t got = ::read(fd, text.bytes().data() + length, 1);
    if (got < 0 && errno == EINTR) continue;
    ended = got <= 0 || text.bytes()[length] == std::byte{'\n'};
    if (!ended) ++length;
  }
  ::close(fd);
  if (length > 0 && text.bytes()[length - 1] == std::byte{'\r'}) --length;
  if (length == 0)
    return Error{Fault::refused, EINVAL, "the first line of " + path + " is empty: write the " + what + " there"};
  return crypto::Secret::copy_of(text.bytes().first(length));
}

Result<crypto::Secret> read_passphrase_file(const std::string& path) { return read_secret_line(path, "passphrase"); }

std::vector<Bytes> joined_slots(const std::vector<Bytes>& known, std::span<const Bytes> from_server) {
  std::vector<Bytes> slots = known;
  for (const Bytes& slot : from_server) {
    if (slots.size() >= kKnownSlotsMax) break;
    if (keys::kind_of(slot) && std::ranges::find(slots, slot) == slots.end()) slots.push_back(slot);
  }
  return slots;
}

bool settle_removals(std::vector<Bytes>& known, std::vector<Bytes>& removing, std::span<const Bytes> from_server) {
  if (removing.empty()) return false;
  for (const Bytes& slot : removing) {
    if (std::ranges::find(from_server, slot) == from_server.end()) std::erase(known, slot);
  }
  removing.clear();
  return true;
}

Result<keys::VaultKey> open_slots(std::span<const Bytes> slots, const object::VaultId& vault, const KeySource& source) {
  if (slots.empty()) return wrong("the vault has no key slot: enrol this machine again");
  if (source.recovery_key || !source.recovery_key_file.empty()) {
    crypto::Secret text;
    if (source.recovery_key) {
      text = crypto::Secret::copy_of(source.recovery_key->bytes());
    } else {
      COFFER_TRY(text, read_passphrase_file(source.recovery_key_file));
    }
    COFFER_TRY(const keys::RecoveryKey recovery, keys::RecoveryKey::parse(as_text(text.bytes())));
    return try_slots(slots, keys::SlotKind::recovery, recovery.bytes(), vault, "this vault has no recovery key",
                     "this is not the recovery key of this vault: look for a newer one, or give --key-file");
  }
  if (!source.key_file.empty()) {
    Result<keys::KeyFile> file = keys::KeyFile::read(*source.disk, source.key_file);
    if (!file) {
      if (file.error().code == ENOENT) {
        return wrong("the key file " + source.key_file + " is not there: bring it back, or give --key-file F");
      }
      return std::move(file).error().in("the key file " + source.key_file);
    }
    return try_slots(
        slots, keys::SlotKind::key_file, file->bytes(), vault,
        "no key file opens this vault: give its passphrase with --passphrase-file F, or the recovery key",
        "the key file " + source.key_file + " does not open this vault: give the one that was made for it");
  }
  if (!source.passphrase_file.empty()) {
    COFFER_TRY(const crypto::Secret passphrase, read_passphrase_file(source.passphrase_file));
    return with_passphrase(slots, vault, passphrase.bytes(),
                           "wrong passphrase: correct the first line of " + source.passphrase_file);
  }
  if (!source.ask_passphrase) {
    return wrong("nothing opens the vault: give --key-file F or --passphrase-file F, or set COFFER_PASSPHRASE_FILE");
  }
  if (!has_slot(slots, keys::SlotKind::passphrase)) {
    return wrong("no passphrase opens this vault: give its key file with --key-file F, or the recovery key");
  }
  for (unsigned attempt = 0; attempt < kAttemptsMax; ++attempt) {
    COFFER_TRY(const crypto::Secret passphrase, source.ask_passphrase(attempt > 0));
    Result<keys::VaultKey> key = with_passphrase(slots, vault, passphrase.bytes(), "wrong passphrase");
    if (key || key.error().fault != Fault::refused) return key;
  }
  return wrong("wrong passphrase, three times: nothing was changed");
}

}  // namespace coffer::vault
