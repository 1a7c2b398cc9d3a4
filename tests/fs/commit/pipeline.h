// Everything from written bytes to the spool and back, real, in a folder of a test's own; the server is a map.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/commit/committer.h"
#include "fs/fetch/fetcher.h"
#include "fs/keys/vault_key.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::testing {

/// A server that holds chunks, counts who asks, and can be away, slow or damaged. Thread-safe.
class FakeServer : public fetch::ChunkSource {
 public:
  using Done = std::function<void(Result<Bytes>)>;

  void get_chunk(const object::ChunkId& id, os::SteadyTime, Done done) override {
    {
      const MutexLock lock(mutex_);
      ++asked_[id];
      if (is_holding_) {
        held_.emplace_back(id, std::move(done));
        return;
      }
    }
    done(look_up(id));
  }

  void store(const object::ChunkId& id, Bytes sealed) {
    const MutexLock lock(mutex_);
    chunks_[id] = std::move(sealed);
  }
  void lose(const object::ChunkId& id) {
    const MutexLock lock(mutex_);
    chunks_.erase(id);
  }
  void fail_with(std::optional<Error> error) {
    const MutexLock lock(mutex_);
    error_ = std::move(error);
  }
  /// Answers wait until answer_held() or answer_all().
  void hold() {
    const MutexLock lock(mutex_);
    is_holding_ = true;
  }
  void answer_all() {
    {
      const MutexLock lock(mutex_);
      is_holding_ = false;
    }
    answer_held();
  }
  void answer_held() {
    std::vector<std::pair<object::ChunkId, Done>> held;
    {
      const MutexLock lock(mutex_);
      held.swap(held_);
    }
    for (auto& [id, done] : held) done(look_up(id));
  }
  std::size_t held_count() const {
    const MutexLock lock(mutex_);
    return held_.size();
  }
  std::size_t asked_count(const object::ChunkId& id) const {
    const MutexLock lock(mutex_);
    const auto found = asked_.find(id);
    return found == asked_.end() ? 0 : found->second;
  }
  std::size_t asked_count() const {
    std::size_t sum = 0;
    const MutexLock lock(mutex_);
    for (const auto& [id, count] : asked_) sum += count;
    return sum;
  }
  std::size_t asked_chunks() const {
    const MutexLock lock(mutex_);
    return asked_.size();
  }
  void forget_asked() {
    const MutexLock lock(mutex_);
    asked_.clear();
  }
  std::size_t chunk_count() const {
    const MutexLock lock(mutex_);
    return chunks_.size();
  }
  std::uint64_t stored_bytes() const {
    std::uint64_t sum = 0;
    const MutexLock lock(mutex_);
    for (const auto& [id, sealed] : chunks_) sum += sealed.size();
    return sum;
  }

 private:
  Result<Bytes> look_up(const object::ChunkId& id) const {
    const MutexLock lock(mutex_);
    if (error_) return Error(*error_);
    const auto found = chunks_.find(id);
    if (found == chunks_.end()) return answer(ENOENT);
    return Bytes(found->second);
  }

  mutable Mutex mutex_;
  std::map<object::ChunkId, Bytes> chunks_ GUARDED_BY(mutex_);
  std::map<object::ChunkId, std::size_t> asked_ GUARDED_BY(mutex_);
  std::vector<std::pair<object::ChunkId, Done>> held_ GUARDED_BY(mutex_);
  std::optional<Error> error_ GUARDED_BY(mutex_);
  bool is_holding_ GUARDED_BY(mutex_) = false;
};

struct PipelineOptions {
  std::uint64_t spool_bytes_max = 1u << 30;
  commit::CommitterOptions committer{.open_chunk_delay = std::chrono::hours(1)};  // Sealed only when a test says so.
  fetch::FetcherOptions fetcher{};
  seal::Compression compression{};
};

class Pipeline : public meta::TreeEvents {
 public:
  explicit Pipeline(PipelineOptions options = {})
      : options_(std::move(options)),
        random_(7),
        key_(keys::VaultKey::generate(random_)),
        chunker_key_(key_.derive(keys::kChunkerLabel, vault_)),
        pieces_(key_.derive(keys::kPieceLabel, vault_)),
        sealer_(key_, vault_, os::real_random(), options_.compression) {
    open();
  }
  ~Pipeline() override { close(); }

  /// What kill -9 leaves is opened again: nothing is flushed.
  void crash() {
    close();
    open();
  }
  void close() {
    if (fetcher != nullptr) fetcher->stop();
    if (committer != nullptr) committer->stop();
    fetcher.reset();
    committer.reset();
    staging.reset();
    spool.reset();
    tree.reset();
  }
  void open() {
    tree = take(meta::Tree::open((folder_ / "tree.db").string(), os::real_clock(), *this));
    spool = take(
        spool::Spool::open(os::real_disk(), (folder_ / "spool").string(),
                           {.bytes_max = options_.spool_bytes_max, .pack_bytes_max = 16u << 20, .disk_bytes_spared = 0},
                           [this](const object::ChunkId& id) -> Result<spool::Standing> {
                             COFFER_TRY(const std::optional<ChunkRow> row, tree->chunk_by_id(id));
                             if (!row) return spool::Standing::unknown;
                             return row->state == ChunkState::spooled ? spool::Standing::owed : spool::Standing::cached;
                           }));
    staging = take(spool::Staging::open(os::real_disk(), (folder_ / "staging").string(),
                                        key_.derive(keys::kStagingLabel, vault_), os::real_random()));
    committer = std::make_unique<commit::Committer>(
        commit::Parts{*tree, *spool, *staging, sealer_, chunker_key_, pieces_, os::real_clock()}, options_.committer);
    fetcher =
        std::make_unique<fetch::Fetcher>(fetch::Parts{*tree, *spool, *committer, sealer_, server}, options_.fetcher);
    const auto started = committer->start();
    EXPECT_TRUE(started) << started.error().what;
    fetcher->start();
  }

  void chunk_dropped(const ChunkRow& chunk) override {
    if (committer != nullptr) {
      committer->chunk_dropped(chunk);
    } else if (spool != nullptr && chunk.state != ChunkState::open) {
      EXPECT_TRUE(spool->drop(chunk.id));
    }
  }

  InodeId create(std::string_view name) {
    meta::NewInode file;
    file.mode = 0100644;
    const auto made = tree->create(kRootInode, name, file);
    EXPECT_TRUE(made);
    return made->inode;
  }
  void write(InodeId inode, std::uint64_t at, ByteView bytes) {
    const auto written = committer->write(inode, FileOffset(at), bytes);
    ASSERT_TRUE(written) << written.error().what;
  }
  void flush(InodeId inode) {
    const auto flushed = committer->flush(inode);
    ASSERT_TRUE(flushed) << flushed.error().what;
  }
  /// A file written as cp does: 128 KiB at a time, then closed.
  InodeId copy_in(std::string_view name, ByteView content) {
    const InodeId inode = create(name);
    for (std::size_t at = 0; at < content.size(); at += 128u << 10) {
      write(inode, at, content.subspan(at, std::min<std::size_t>(128u << 10, content.size() - at)));
    }
    flush(inode);
    return inode;
  }
  void truncate(InodeId inode, std::uint64_t bytes) {
    meta::AttributeChange change;
    change.bytes = bytes;
    ASSERT_TRUE(committer->change(inode, change));
  }
  void seal_open() {
    const auto sealed = committer->seal_open_chunks();
    ASSERT_TRUE(sealed) << sealed.error().what;
  }

  /// As an application reads: what is buffered over what the tree says.
  Result<Bytes> read(InodeId inode, std::uint64_t at, std::size_t count,
                     std::chrono::milliseconds within = std::chrono::seconds(20)) {
    Bytes buffered(count);
    const std::vector<Range> covered = committer->read_buffered(inode, FileOffset(at), buffered);
    Bytes into(count);
    COFFER_DO(fetcher->read(inode, FileOffset(at), into, std::chrono::steady_clock::now() + within));
    for (const Range& range : covered) {
      std::copy_n(buffered.begin() + static_cast<std::ptrdiff_t>(range.begin - at), range.bytes(),
                  into.begin() + static_cast<std::ptrdiff_t>(range.begin - at));
    }
    return into;
  }
  Result<Bytes> read_all(InodeId inode) {
    COFFER_TRY(const Attributes attributes, committer->attributes(inode));
    return read(inode, 0, attributes.bytes);
  }

  std::vector<ChunkRow> owed() {
    auto rows = tree->owed_chunks(1'000'000, [](ChunkKey) { return false; });
    EXPECT_TRUE(rows);
    return *rows;
  }
  std::uint64_t owed_bytes() {
    std::uint64_t sum = 0;
    for (const ChunkRow& row : owed()) sum += row.sealed_bytes;
    return sum;
  }
  /// What the uploader does, all at once.
  void upload() {
    std::vector<ChunkKey> stored;
    for (const ChunkRow& row : owed()) {
      auto sealed = spool->get(row.id);
      if (!sealed && !tree->chunk(row.key)) continue;  // It died meanwhile.
      ASSERT_TRUE(sealed) << sealed.error().what;
      server.store(row.id, Bytes(**sealed));
      stored.push_back(row.key);
      spool->release(row.id);
    }
    ASSERT_TRUE(tree->chunks_stored(stored));
  }
  /// Everything is on the server, and only there.
  void upload_and_clear() {
    seal_open();
    upload();
    ASSERT_TRUE(spool->clear());
    fetcher->forget_decoded();
  }

  const std::filesystem::path& folder() const { return folder_.path(); }
  const seal::Sealer& sealer() const { return sealer_; }

  FakeServer server;
  std::unique_ptr<meta::Tree> tree;
  std::unique_ptr<spool::Spool> spool;
  std::unique_ptr<spool::Staging> staging;
  std::unique_ptr<commit::Committer> committer;
  std::unique_ptr<fetch::Fetcher> fetcher;

 private:
  template <class T>
  static std::unique_ptr<T> take(Result<std::unique_ptr<T>> opened) {
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().what);
    return std::move(*opened);
  }

  const PipelineOptions options_;
  TempDir folder_;
  SeededRandom random_;
  const object::VaultId vault_{};
  const keys::VaultKey key_;
  const crypto::Secret chunker_key_;
  const chunk::PieceHasher pieces_;
  const seal::Sealer sealer_;
};

/// Lines as of a database dump: compresses well, repeats nothing.
inline Bytes dump_text(std::size_t count, std::uint64_t seed) {
  SeededRandom random(seed);
  std::string text;
  while (text.size() < count) {
    text += "INSERT INTO measurements VALUES (" + std::to_string(random.below(1'000'000'000)) + ", 'sensor-" +
            std::to_string(random.below(100)) + "', " + std::to_string(random.below(100'000)) + ");\n";
  }
  text.resize(count);
  return copy_of(as_bytes(text));
}

}  // namespace coffer::testing
