#include "fs/vault/home_check.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <unordered_map>

#include "common/db/integrity.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "common/pack/scan.h"
#include "fs/meta/check.h"
#include "fs/spool/staging.h"
#include "fs/vault/follower.h"
#include "fs/vault/server_call.h"
#include "net/tls/certificate.h"

namespace coffer::vault {

namespace {

constexpr std::size_t kPemBytesMax = 256u << 10;
constexpr std::size_t kStagingBytesMax = 256u << 20;
constexpr auto kServerDeadline = std::chrono::seconds(5);

constexpr const char* kFetchTree =
    "copy out of the mount what is not on the server yet (`coffer status`), then run `coffer spool clear --tree`, with "
    "--discard-owed where something is owed: the tree is fetched again at the next mount";
constexpr const char* kEnrolAgain =
    "restore the file from a copy, or have `cofferd invite` print a token and run `coffer enroll` in another --home";

class Examination {
 public:
  Examination(const VaultFolder& folder, const KeySource& key, bool read_data)
      : folder_(folder), source_(key), read_data_(read_data) {}

  HomeReport run() {
    const Result<VaultSettings> settings = read_settings(folder_);
    if (!settings) find("vault.json", settings.error().what, kEnrolAgain);
    if (settings) settings_ = *settings;
    certificates();
    tree();
    spool();
    staging();
    server();
    return std::move(report_);
  }

 private:
  void find(std::string where, std::string what, std::string remedy, std::vector<std::string> paths = {}) {
    report_.findings.push_back({std::move(where), std::move(what), std::move(remedy), std::move(paths)});
  }
  void note(std::string what) { report_.notes.push_back(std::move(what)); }

  Result<Bytes> read(const std::string& path, std::size_t bytes_max) {
    return os::read_file(os::real_disk(), path, bytes_max);
  }

  std::vector<std::string> paths_of(const std::vector<ChunkKey>& chunks) {
    Result<std::vector<std::string>> paths = meta::paths_using(folder_.tree(), chunks);
    return paths ? *std::move(paths) : std::vector<std::string>();
  }

  void certificates();
  void tree();
  void spool();
  void staging();
  void staging_file(const meta::OpenChunk& chunk, const std::optional<crypto::Secret>& key);
  void server();

  const VaultFolder& folder_;
  const KeySource& source_;
  const bool read_data_;
  std::optional<VaultSettings> settings_;
  std::optional<meta::TreeReport> tree_;
  HomeReport report_;
};

void Examination::certificates() {
  const auto now = os::real_clock().now();
  for (const auto& [path, name] :
       {std::pair(folder_.ca(), "tls/ca.pem"), std::pair(folder_.certificate(), "tls/client.pem")}) {
    const Result<Bytes> pem = read(path, kPemBytesMax);
    if (!pem) {
      find(name, "it cannot be read: " + pem.error().what, kEnrolAgain);
      continue;
    }
    const Result<tls::CertificateFacts> facts = tls::read_certificate(as_text(*pem));
    if (!facts) {
      find(name, "it is damaged: it holds no certificate", kEnrolAgain);
    } else if (facts->not_after <= now) {
      find(name, "it has expired", kEnrolAgain);
    } else if (facts->not_before > now) {
      find(name, "it is not valid yet", "set this machine's clock");
    }
  }
  const Result<Bytes> key = read(folder_.certificate_key(), kPemBytesMax);
  const Result<Bytes> pem = read(folder_.certificate(), kPemBytesMax);
  if (!key) return find("tls/client.key", "it cannot be read: " + key.error().what, kEnrolAgain);
  if (!pem) return;
  const Result<bool> fits = tls::fits(as_text(*pem), *key);
  if (!fits || !*fits) find("tls/client.key", "it is damaged, or of another certificate", kEnrolAgain);
}

void Examination::tree() {
  if (!std::filesystem::exists(folder_.tree())) return note("there is no tree yet: the next mount fetches it");
  Result<meta::TreeReport> tree = meta::check_tree(folder_.tree());
  if (!tree) return find("tree.db", tree.error().what, kFetchTree);
  for (std::size_t i = 0; i < tree->damage.size(); ++i) {
    find("tree.db", tree->damage[i], kFetchTree, i == 0 ? tree->damaged_paths : std::vector<std::string>());
  }
  report_.files = tree->files;
  report_.names = tree->names;
  report_.chunks = tree->chunks;
  report_.head_seq = tree->head.seq;
  report_.head_hash = tree->head.hash.hex();
  report_.owed_chunks = tree->owed_chunks.size() + tree->open_chunks.size();
  tree_ = *std::move(tree);
}

// After the tree: a mount beside us may drop chunks between the two, but those that are owed it keeps.
void Examination::spool() {
  const std::string packs = folder_.spool() + "/packs";
  if (!std::filesystem::exists(packs)) {
    if (tree_ && !tree_->owed_chunks.empty()) find("spool", "it is missing, with chunks that are owed", kFetchTree);
    return;
  }
  std::unordered_map<object::ChunkId, ChunkKey> owed;
  if (tree_) {
    for (const ChunkRow& chunk : tree_->owed_chunks) owed.emplace(chunk.id, chunk.key);
  }
  const auto scan = [&] {
    return pack::scan_packs(os::real_disk(), packs,
                            [&](const object::ChunkId& id) { return read_data_ || owed.contains(id); });
  };
  const Result<pack::PacksReport> report = scan();
  if (!report) return find("spool", "it cannot be read: " + report.error().what, "look at this machine's disk");
  report_.spool_chunks = report->chunks;
  report_.spool_bytes = report->bytes;
  for (const std::string& damage : report->damage) {
    find("spool/packs", damage, "nothing: what is not owed is fetched again; `coffer spool clear` drops it");
  }
  for (const pack::BadChunk& bad : report->bad) {
    if (owed.contains(bad.id)) continue;
    find("spool/packs", "chunk " + bad.id.hex() + " " + bad.what, "nothing: it is dropped and fetched again when read");
  }
  for (const auto& [id, key] : owed) {
    if (std::ranges::binary_search(report->found, id)) continue;
    const Result<std::optional<ChunkState>> now = meta::chunk_state(folder_.tree(), key);
    if (now && *now != ChunkState::spooled) continue;  // Sent, or gone, meanwhile.
    find("spool/packs", "chunk " + id.hex() + ", which the server does not have yet, has no good copy here",
         "write these files again from where they came", paths_of({key}));
  }
  Result<db::Database> index = db::Database::open(packs + "/index.db", {.read_only = true});
  const Result<std::vector<std::string>> found =
      index ? db::integrity_of(*index) : Result<std::vector<std::string>>(index.error());
  if (!found || !found->empty()) {
    find("spool/packs/index.db", "it is damaged", "nothing: the next mount makes it anew from the packs");
  }
}

void Examination::staging() {
  if (!tree_ || tree_->open_chunks.empty()) return;
  std::optional<crypto::Secret> key;
  if (settings_ && source_.names_any()) {
    const Result<keys::VaultKey> vault_key = open_slots(settings_->key_slots, settings_->id, source_);
    if (vault_key) key = vault_key->derive(keys::kStagingLabel, settings_->id);
    if (!vault_key) note("staging files were not opened: " + vault_key.error().what);
  } else {
    note("staging files were not opened: give --key-file or --passphrase-file");
  }
  for (const meta::OpenChunk& chunk : tree_->open_chunks) staging_file(chunk, key);
}

void Examination::staging_file(const meta::OpenChunk& chunk, const std::optional<crypto::Secret>& key) {
  const std::string name = "staging/" + std::to_string(chunk.key.value());
  const auto damaged = [&](const std::string& what) {
    const Result<std::optional<ChunkState>> now = meta::chunk_state(folder_.tree(), chunk.key);
    if (now && *now != ChunkState::open) return;  // Sealed, or gone, meanwhile.
    find(name, what, "write these files again from where they came", paths_of({chunk.key}));
  };
  const Result<Bytes> file = read(folder_.path + "/" + name, kStagingBytesMax);
  if (!file) return damaged("it cannot be read: " + file.error().what);
  if (!key) return;
  const Result<spool::Staged> staged = spool::decode_staging(*file, chunk.key, *key);
  if (!staged) return damaged("it is damaged: it is no staging file of this vault");
  if (staged->plain.size() < chunk.bytes) {
    damaged("it is damaged: it ends at byte " + std::to_string(staged->plain.size()) + " of " +
            std::to_string(chunk.bytes));
  }
}

void Examination::server() {
  if (!settings_ || !tree_) return;
  ServerCall call(folder_, *settings_);
  const auto deadline = std::chrono::steady_clock::now() + kServerDeadline;
  const Result<void> online = call->wait_online(deadline);
  if (!online && online.error().fault == Fault::refused) {
    return find("tls", "the server refuses this client: " + online.error().what, kEnrolAgain);
  }
  if (!online) return note("the log was not compared with the server's: " + online.error().what);
  const Result<rpc::VaultState> state =
      rpc::wait<rpc::VaultState>([&](auto done) { call->ping(deadline, std::move(done)); });
  if (!state) return note("the log was not compared with the server's: " + state.error().what);
  if (const std::optional<Error> alarm = alarm_of(tree_->head, *state)) {
    find("server", alarm->what, "run `coffer recover`, which says what is missing");
  }
  if (state->wanted_chunks > 0) {
    find("server", "it has lost " + std::to_string(state->wanted_chunks) + " chunks of this vault",
         "mount the vault on every machine that has it: what their spools still have is sent again; `coffer verify` "
         "names the files that stay damaged");
  }
}

}  // namespace

HomeReport check_home(const VaultFolder& folder, const KeySource& key, bool read_data) {
  return Examination(folder, key, read_data).run();
}

}  // namespace coffer::vault
