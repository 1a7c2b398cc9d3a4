#include "tests/testing/vault/local_vault.h"

#include <array>
#include <cerrno>
#include <cstdio>

#include "common/os/clock.h"
#include "common/os/disk.h"
#include "tests/testing/eventually.h"

namespace coffer::testing {

LocalVault::LocalVault(const std::string& folder, files::FileSystemOptions options) {
  const Result<void> opened = open(folder, options);
  if (!opened) std::fprintf(stderr, "%s\n", opened.error().what.c_str());
  COFFER_CHECK(opened.has_value());
}

LocalVault::~LocalVault() {
  if (!is_killed_) {
    const Result<void> flushed = file_system_->flush_all();
    COFFER_CHECK(flushed.has_value());
  }
  file_system_.reset();
  fetcher_->stop();
  fail_fetches();
  committer_->stop();
  fetcher_.reset();
  committer_.reset();
}

Result<void> LocalVault::open(const std::string& folder, const files::FileSystemOptions& options) {
  os::Disk& disk = os::real_disk();
  os::Clock& clock = os::real_clock();
  os::Random& random = os::real_random();
  const object::VaultId vault(std::array<std::byte, 16>{std::byte{1}});
  const Bytes key_bytes(keys::kVaultKeyBytes, std::byte{7});
  COFFER_TRY(const keys::VaultKey key, keys::VaultKey::from_bytes(key_bytes));
  const seal::Compression compression;

  COFFER_DO(disk.make_folder(folder));
  COFFER_TRY(tree_, meta::Tree::open(folder + "/tree.db", clock, *this));
  COFFER_TRY(spool_, spool::Spool::open(disk, folder + "/spool", {}, [this](const object::ChunkId& id) {
               const Result<std::optional<ChunkRow>> row = tree_->chunk_by_id(id);
               return Result<spool::Standing>(row && *row ? spool::Standing::owed : spool::Standing::unknown);
             }));
  COFFER_TRY(staging_, spool::Staging::open(disk, folder + "/spool", key.derive(keys::kStagingLabel, vault), random));
  sealer_ = std::make_unique<seal::Sealer>(key, vault, random, compression);
  chunker_key_.emplace(key.derive(keys::kChunkerLabel, vault));
  pieces_.emplace(key.derive(keys::kPieceLabel, vault));
  committer_ = std::make_unique<commit::Committer>(
      commit::Parts{*tree_, *spool_, *staging_, *sealer_, *chunker_key_, *pieces_, clock}, commit::CommitterOptions{});
  COFFER_DO(committer_->start());
  fetcher_ = std::make_unique<fetch::Fetcher>(fetch::Parts{*tree_, *spool_, *committer_, *sealer_, *this},
                                              fetch::FetcherOptions{});
  fetcher_->start();
  file_system_ = std::make_unique<files::FileSystem>(*tree_, *committer_, *fetcher_, *this, clock, options);
  return {};
}

void LocalVault::chunk_dropped(const ChunkRow& chunk) {
  if (committer_) committer_->chunk_dropped(chunk);
}

Result<void> LocalVault::answer_wait(const std::stop_token& stop) {
  switch (server.load()) {
    case Server::commits: return {};
    case Server::refuses: return Error{Fault::refused, EDQUOT, "quota"};
    case Server::never_answers: break;
  }
  eventually([&] { return stop.stop_requested(); });
  return Error{Fault::stopped, 0, "interrupted"};
}

Result<void> LocalVault::wait_committed(InodeId, os::SteadyTime, std::stop_token stop) {
  ++waits;
  return answer_wait(stop);
}

Result<void> LocalVault::wait_all_committed(os::SteadyTime, std::stop_token stop) {
  ++waits_for_all;
  return answer_wait(stop);
}

Result<void> LocalVault::make_power_safe() {
  ++power_safe_calls;
  return tree_->power_safe();
}

Result<void> LocalVault::accepts(std::uint64_t more_bytes) {
  if (is_quota_full && more_bytes > 0) return answer(EDQUOT);
  if (stalls_writes && more_bytes > 0) {
    ++stalled;
    eventually([&] { return !stalls_writes; });
  }
  return {};
}

void LocalVault::move_content_to_server() {
  COFFER_CHECK(file_system_->flush_all().has_value());
  const Result<std::vector<ChunkRow>> owed = tree_->owed_chunks(1'000'000, [](ChunkKey) { return false; });
  COFFER_CHECK(owed.has_value());
  for (const ChunkRow& chunk : *owed) {
    const Result<std::shared_ptr<const Bytes>> sealed = spool_->get(chunk.id);
    COFFER_CHECK(sealed.has_value());
    const MutexLock lock(mutex_);
    moved_.emplace(chunk.id, **sealed);
  }
  for (const ChunkRow& chunk : *owed) {
    COFFER_CHECK(tree_->chunks_stored(std::span(&chunk.key, 1)).has_value());
    spool_->release(chunk.id);
  }
  COFFER_CHECK(spool_->clear().has_value());
  fetcher_->forget_decoded();
}

void LocalVault::fail_fetches() {
  std::vector<std::function<void(Result<Bytes>)>> unanswered;
  {
    const MutexLock lock(mutex_);
    unanswered.swap(unanswered_);
  }
  for (const auto& done : unanswered) done(Error{Fault::offline, 0, "the server is gone"});
}

void LocalVault::get_chunk(const object::ChunkId& id, os::SteadyTime, std::function<void(Result<Bytes>)> done) {
  Result<Bytes> found = answer(ENOENT);
  {
    const MutexLock lock(mutex_);
    if (server == Server::never_answers) unanswered_.push_back(std::move(done));
    if (const auto moved = moved_.find(id); moved != moved_.end()) found = moved->second;
  }
  ++fetches;
  if (done) done(std::move(found));
}

}  // namespace coffer::testing
