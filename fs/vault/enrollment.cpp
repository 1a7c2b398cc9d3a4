#include "fs/vault/enrollment.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/os/clock.h"
#include "common/os/paths.h"
#include "common/os/random.h"
#include "fs/keys/key_file.h"
#include "fs/keys/key_slot.h"
#include "fs/keys/recovery_key.h"
#include "fs/vault/server_call.h"
#include "net/tls/certificate.h"
#include "net/tls/token.h"

namespace coffer::vault {

namespace {

constexpr std::size_t kPemBytesMax = 256u << 10;

Error refused(int code, std::string what) { return {Fault::refused, code, std::move(what)}; }
Result<void> write_file(const VaultFolder& folder, const std::string& path, ByteView bytes) {
  return os::replace_file(*folder.disk, path, bytes);
}

/// An identity in a folder of its own below HOME/enrolling, until its vault is opened.
struct Identity {
  VaultFolder folder;
  VaultSettings settings;
};

/// What an earlier run left in `folder`; empty where it did not come so far.
Result<VaultSettings> settings_of_before(const VaultFolder& folder) {
  if (!os::is_there(*folder.disk, folder.settings())) return VaultSettings();
  return read_settings(folder);
}

// What can be found wrong before the token is used up. A key file that an earlier run was making may be half there.
Result<void> check_before(const KeySource& key, const VaultSettings& before) {
  if (!key.passphrase_file.empty()) {
    COFFER_TRY(const crypto::Secret unused, read_passphrase_file(key.passphrase_file));
    if (key.passphrase_file == "-")
      return refused(
          EINVAL, "a passphrase for enrolment is read from a file or typed, not from a pipe: give --passphrase-file F");
  }
  if (key.key_file.empty()) return {};
  if (os::is_there(*key.disk, key.key_file)) {
    Result<keys::KeyFile> file = keys::KeyFile::read(*key.disk, key.key_file);
    if (!file && before.key_file != key.key_file) return std::move(file).error().in(key.key_file);
    return {};
  }
  const std::string parent = os::folder_of(key.key_file);
  if (!os::is_there(*key.disk, parent))
    return refused(ENOENT, "the folder " + parent + " for the key file is not there: make it first");
  return {};
}

Result<Bytes> read_pem(os::Disk& disk, const std::string& path) {
  Result<Bytes> bytes = os::read_file(disk, path, kPemBytesMax);
  if (!bytes) return std::move(bytes).error().in(path);
  return bytes;
}

// A name from a server is not trusted as a path.
std::string folder_name(const VaultSettings& settings) {
  const bool is_plain = !settings.name.empty() && settings.name.front() != '.' && settings.name.size() <= 100 &&
                        settings.name.find('/') == std::string::npos && settings.name.find('\0') == std::string::npos;
  return is_plain ? settings.name : settings.id.hex();
}

Error is_enrolled(const Home& home, const std::string& vault_name) {
  return refused(EEXIST, home.path() + " has the vault " + vault_name +
                             " already: mount it with `coffer mount`, or enrol into another --home");
}

Result<void> check_is_new(const Home& home, const VaultSettings& settings) {
  COFFER_TRY(const std::vector<std::string> names, home.vault_names());
  for (const std::string& name : names) {
    Result<VaultSettings> other = read_settings(home.folder(name));
    if (name == folder_name(settings) || (other && other->id == settings.id)) return is_enrolled(home, name);
  }
  return {};
}

// A run that came to its end may not have said so. The token itself is used up then, and asking with it is in vain.
Result<void> check_token_is_new(const Home& home, const std::string& id) {
  COFFER_TRY(const std::vector<std::string> names, home.vault_names());
  for (const std::string& name : names) {
    Result<VaultSettings> other = read_settings(home.folder(name));
    if (other && other->enrolled_as == id) return is_enrolled(home, name);
  }
  return {};
}

// The private key is on the disk before the token is used up: where the answer is lost, the server gives it again to
// whoever has the key.
Result<rpc::Enrolled> ask_for_certificate(const VaultFolder& folder, const tls::Token& token) {
  os::Disk& disk = *folder.disk;
  COFFER_DO(disk.make_folder(folder.path + "/tls"));
  const bool was_asked_before = os::is_there(disk, folder.certificate_key());
  if (!was_asked_before) COFFER_DO(write_file(folder, folder.certificate_key(), tls::make_key().bytes()));
  COFFER_TRY(Bytes key_pem, read_pem(disk, folder.certificate_key()));
  const Result<Bytes> csr = tls::make_csr(key_pem, "coffer client");
  crypto::wipe(key_pem);
  if (!csr) return Error(csr.error()).in(folder.certificate_key());
  Result<rpc::Enrolled> enrolled = rpc::enroll(token, *csr, "coffer", ServerCall::deadline());
  if (!enrolled && enrolled.error().fault == Fault::refused && !was_asked_before) {  // It holds nothing of this key.
    (void)disk.remove(folder.certificate_key());
    (void)disk.remove(folder.path + "/tls");
    (void)disk.remove(folder.path);
  }
  if (!enrolled && enrolled.error().fault == Fault::offline) {
    return std::move(enrolled).error().in("no answer from the server (run the same command again: the token is good)");
  }
  return enrolled;
}

Result<Identity> from_token(const Home& home, const EnrollmentRequest& request) {
  COFFER_TRY(const tls::Token token, tls::decode_token(request.token));
  const std::string id = object::short_hex(crypto::sha256(token.secret));
  COFFER_DO(check_token_is_new(home, id));
  Identity identity{home.enrolling(id), {}};
  COFFER_TRY(identity.settings, settings_of_before(identity.folder));
  COFFER_DO(check_before(request.key, identity.settings));
  if (!identity.settings.name.empty()) return identity;
  COFFER_TRY(const rpc::Enrolled enrolled, ask_for_certificate(identity.folder, token));
  COFFER_DO(write_file(identity.folder, identity.folder.certificate(), as_bytes(enrolled.certificate_pem)));
  COFFER_DO(write_file(identity.folder, identity.folder.ca(), as_bytes(enrolled.ca_pem)));
  identity.settings.name = enrolled.vault.name;
  identity.settings.id = enrolled.vault.id;
  identity.settings.enrolled_as = id;
  identity.settings.server = {token.host, token.port};
  identity.settings.client = enrolled.client;
  identity.settings.client_name = enrolled.client_name;
  COFFER_DO(write_settings(identity.folder, identity.settings));
  return identity;
}

Result<Identity> from_files(const Home& home, const EnrollmentRequest& request) {
  const HandmadeIdentity& files = *request.handmade;
  COFFER_TRY(const Bytes certificate, read_pem(home.disk(), files.certificate));
  COFFER_TRY(const Bytes key, read_pem(home.disk(), files.certificate_key));
  COFFER_TRY(const Bytes ca, read_pem(home.disk(), files.ca));
  Result<tls::CertificateFacts> facts = tls::read_certificate(as_text(certificate));
  if (!facts) return std::move(facts).error().in(files.certificate);
  Result<bool> fits = tls::fits(as_text(certificate), key);
  if (!fits) return std::move(fits).error().in(files.certificate_key);
  if (!*fits)
    return refused(EINVAL, files.certificate_key + " is not the key of " + files.certificate +
                               ": give the pair that was made together");
  Identity identity{home.enrolling(object::short_hex(facts->fingerprint)), {}};
  COFFER_TRY(identity.settings, settings_of_before(identity.folder));
  COFFER_DO(check_before(request.key, identity.settings));
  COFFER_DO(home.disk().make_folder(identity.folder.path + "/tls"));
  COFFER_DO(write_file(identity.folder, identity.folder.certificate_key(), key));
  COFFER_DO(write_file(identity.folder, identity.folder.certificate(), certificate));
  COFFER_DO(write_file(identity.folder, identity.folder.ca(), ca));
  identity.settings.server = files.server;
  return identity;
}

// The vault among those that the server grants: the one that the token is for, the one that was asked for, or the
// only one.
Result<rpc::VaultState> choose(const rpc::ServerFacts& facts, const Identity& identity, const std::string& name) {
  std::string names;
  for (const rpc::VaultState& vault : facts.vaults) {
    if (name.empty() ? vault.id == identity.settings.id : vault.name == name) return vault;
    names += (names.empty() ? "" : ", ") + vault.name;
  }
  if (name.empty() && facts.vaults.size() == 1) return facts.vaults.front();
  if (facts.vaults.empty()) return refused(ENOENT, "the server grants this client no vault: run `cofferd grant` there");
  return refused(ENOENT, (name.empty() ? "several vaults are granted" : "no vault " + name + " is granted") +
                             std::string(": choose one of ") + names + " with --vault");
}

Result<std::vector<Bytes>> key_slots(ServerCall& server) {
  COFFER_TRY(const std::vector<rpc::KeySlot> slots, server.key_slots());
  std::vector<Bytes> bytes;
  for (const rpc::KeySlot& slot : slots) bytes.push_back(slot.slot);
  return bytes;
}

bool holds(std::span<const Bytes> slots, const Bytes& slot) { return std::ranges::find(slots, slot) != slots.end(); }

// A key file is noted before it is made: where the vault's first slot is not known to be stored, a later run goes on
// with this file, and with no other that is there.
Result<keys::KeyFile> new_key_file(Identity& identity, os::Disk& disk, const std::string& path) {
  if (os::is_there(disk, path)) {
    if (identity.settings.key_file != path) {
      return refused(EEXIST,
                     path + " exists already, and vault " + identity.settings.name +
                         " is new and needs a key file of its own: give another path and run the same command again");
    }
    Result<keys::KeyFile> file = keys::KeyFile::read(disk, path);
    if (file || file.error().fault != Fault::corrupt) return file;
    COFFER_DO(disk.remove(path));  // Half made: no slot is for it, or the vault would have one.
  }
  identity.settings.key_file = path;
  COFFER_DO(write_settings(identity.folder, identity.settings));
  return keys::KeyFile::make(disk, path, os::real_random());
}

// The first slot of a new vault: under a new key file, or under a passphrase.
Result<Bytes> first_slot(const keys::VaultKey& key, Identity& identity, const EnrollmentRequest& request) {
  os::Random& random = os::real_random();
  const VaultSettings& settings = identity.settings;
  if (!request.key.key_file.empty()) {
    Result<keys::KeyFile> file = new_key_file(identity, *request.key.disk, request.key.key_file);
    if (!file) return std::move(file).error().in("the key file " + request.key.key_file);
    return keys::wrap_with_key_file(key, *file, settings.id, random);
  }
  crypto::Secret passphrase;
  if (!request.key.passphrase_file.empty()) {
    COFFER_TRY(passphrase, read_passphrase_file(request.key.passphrase_file));
  } else if (request.ask_new_passphrase) {
    COFFER_TRY(passphrase, request.ask_new_passphrase());
  } else {
    return refused(
        EINVAL, "vault " + settings.name +
                    " is new and needs a key: give --key-file F or --passphrase-file F and run the same command again");
  }
  return keys::wrap_with_passphrase(key, passphrase.bytes(), settings.id, random);
}

// Noted before it is sent: whoever comes back finds out from the server which of them it has.
Result<void> note_slot(Identity& identity, const Bytes& slot) {
  identity.settings.own_slots.push_back(slot);
  return write_settings(identity.folder, identity.settings);
}

// The server may have stored the slot though its answer was lost: then nothing else opens the vault, ever. The key file
// goes only where the vault has other slots and not this one: it cannot become the first any more.
Result<keys::VaultKey> make_first_slot(ServerCall& server, Identity& identity, const EnrollmentRequest& request) {
  keys::VaultKey key = keys::VaultKey::generate(os::real_random());
  const bool is_new_file = !request.key.key_file.empty() && !os::is_there(*request.key.disk, request.key.key_file);
  COFFER_TRY(const Bytes slot, first_slot(key, identity, request));
  COFFER_DO(note_slot(identity, slot));
  Result<std::uint64_t> put = server.put_key_slot(slot, true);
  if (put) return key;
  const Result<std::vector<Bytes>> stored = key_slots(server);
  if (stored && holds(*stored, slot)) return key;
  if (stored && !stored->empty() && is_new_file) (void)request.key.disk->remove(request.key.key_file);
  return std::move(put).error().in("the new key slot (run the same command again)");
}

// Shown before it counts. One that an earlier run put may never have been shown, and goes; so does a second copy of
// this one, which the server has where it was asked twice.
Result<crypto::Secret> make_recovery_key(ServerCall& server, Identity& identity, const keys::VaultKey& key,
                                         const EnrollmentRequest& request) {
  const std::vector<Bytes> from_before = identity.settings.own_slots;
  const keys::RecoveryKey recovery = keys::RecoveryKey::generate(os::real_random());
  const Bytes slot = keys::wrap_with_recovery_key(key, recovery, identity.settings.id, os::real_random());
  COFFER_DO(note_slot(identity, slot));
  COFFER_TRY(const std::uint64_t number, server.put_key_slot(slot, false));
  if (request.show_recovery_key) COFFER_DO(request.show_recovery_key(recovery.text()));
  COFFER_TRY(const std::vector<rpc::KeySlot> stored, server.key_slots());
  for (const rpc::KeySlot& one : stored) {
    const Result<keys::SlotKind> kind = keys::kind_of(one.slot);
    const bool is_old = kind && *kind == keys::SlotKind::recovery && holds(from_before, one.slot);
    if (!is_old && (one.slot != slot || one.number == number)) continue;
    COFFER_DO(server.remove_key_slot(one.number));
  }
  return recovery.text();
}

Result<keys::VaultKey> open_keys(const std::vector<Bytes>& slots, const VaultSettings& settings,
                                 const KeySource& source) {
  if (!source.key_file.empty() && !os::is_there(*source.disk, source.key_file)) {
    return refused(ENOENT, "vault " + settings.name + " has a key already, and the key file " + source.key_file +
                               " is not there: bring the key file of that vault here, and run the same command again");
  }
  return open_slots(slots, settings.id, source);
}

// Asks the server which vault it is to be.
Result<void> learn(Identity& identity, const std::string& vault_name) {
  ServerCall server(identity.folder, identity.settings);
  COFFER_DO(server.wait_online());
  const std::optional<rpc::ServerFacts> facts = server->facts();
  if (!facts) return Error{Fault::offline, ETIMEDOUT, "the server went away: run the same command again"};
  COFFER_TRY(const rpc::VaultState vault, choose(*facts, identity, vault_name));
  if (vault.id != identity.settings.id) {  // What an earlier run noted is of another vault.
    identity.settings.own_slots.clear();
    identity.settings.key_file.clear();
  }
  identity.settings.name = vault.name;
  identity.settings.id = vault.id;
  identity.settings.receipt_key = facts->receipt_key;
  identity.settings.client = facts->client;
  identity.settings.client_name = facts->client_name;
  return {};
}

Result<Enrollment> enroll_into(const Home& home, const EnrollmentRequest& request) {
  COFFER_TRY(Identity identity, request.handmade ? from_files(home, request) : from_token(home, request));
  COFFER_DO(learn(identity, request.vault_name));
  COFFER_DO(check_is_new(home, identity.settings));

  ServerCall server(identity.folder, identity.settings);  // It speaks of the vault that was just learnt.
  COFFER_DO(server.wait_online());
  COFFER_TRY(const std::vector<Bytes> slots, key_slots(server));
  Result<keys::VaultKey> key =
      slots.empty() ? make_first_slot(server, identity, request) : open_keys(slots, identity.settings, request.key);
  if (!key) return std::move(key).error();
  Enrollment enrollment;
  const auto is_own = [&](const Bytes& slot) { return holds(identity.settings.own_slots, slot); };
  enrollment.is_new_vault = slots.empty() || std::ranges::any_of(slots, is_own);
  if (enrollment.is_new_vault) {
    COFFER_TRY(enrollment.recovery_key, make_recovery_key(server, identity, *key, request));
  }
  COFFER_TRY(identity.settings.key_slots, key_slots(server));
  identity.settings.own_slots.clear();
  identity.settings.key_file = request.key.key_file;
  COFFER_DO(write_settings(identity.folder, identity.settings));
  enrollment.folder = home.folder(folder_name(identity.settings));
  COFFER_DO(home.disk().make_folder(home.vaults()));
  COFFER_DO(home.disk().rename(identity.folder.path, enrollment.folder.path));
  COFFER_DO(home.disk().sync_folder(home.vaults()));
  (void)home.disk().remove(home.enrolling());  // Stays where another enrolment waits in it.
  enrollment.settings = std::move(identity.settings);
  return enrollment;
}

}  // namespace

Result<Enrollment> enroll(const Home& home, const EnrollmentRequest& request) {
  Result<Enrollment> enrollment = enroll_into(home, request);
  if (!enrollment) {  // Only empty folders go.
    (void)home.disk().remove(home.enrolling());
    (void)home.disk().remove(home.path());
  }
  return enrollment;
}

}  // namespace coffer::vault
