// Packs under power cuts: PACKS.md's tables of what a chunk is after a cut at each step.
#include <map>
#include <memory>

#include "common/crypto/hash.h"
#include "common/pack/pack_store.h"
#include "tests/power/cuts.h"
#include "tests/testing/seeded_random.h"

namespace coffer::power {
namespace {

using testing::SimDisk;

struct Chunk {
  object::ChunkId id;
  Bytes bytes;
};

/// A store that is used, and what it has promised.
class PackScenario {
 public:
  PackScenario(SimDisk& disk, std::uint64_t seed) : disk_(disk), random_(seed) {}

  bool open() {
    auto opened = pack::PackStore::open(disk_, "/srv/vaults/packs", {.pack_bytes_max = 4096});
    if (!opened) return false;
    store_ = *std::move(opened);
    return true;
  }
  void die() {
    store_.reset();
    waiting_.clear();
    leaving_.clear();
  }

  /// Appends and removes at random, and syncs now and then; goes on after failures.
  void use(int steps) {
    for (int step = 0; step < steps; ++step) {
      switch (random_.below(8)) {
        case 0:
        case 1: sync(); break;
        case 2: remove_one(); break;
        default: append_one();
      }
    }
    sync();
  }

  void expect_promises() {
    for (const auto& [id, bytes] : stored_) {
      const auto read = store_->read(id);
      EXPECT_TRUE(read && *read == bytes) << "a chunk that was stored is " << (read ? "another" : read.error().what);
    }
    for (const object::ChunkId& id : removed_) EXPECT_FALSE(*store_->find(id)) << "a removed chunk is back";
  }

  /// Each chunk is whole or absent, and what the index says is so. What is found counts as stored from now on.
  void expect_whole_or_absent() {
    const auto report = store_->check(true);
    ASSERT_TRUE(report) << report.error().what;
    EXPECT_TRUE(report->bad.empty()) << "the index names a chunk that is not there";
    ASSERT_TRUE(store_->for_each([&](const pack::StoredChunk& chunk) -> Result<void> {
      const auto read = store_->read(chunk.id);
      const auto known = all_.find(chunk.id);
      EXPECT_TRUE(read && known != all_.end() && *read == known->second) << "half a chunk";
      if (read) stored_[chunk.id] = *read;
      return {};
    }));
  }

 private:
  void append_one() {
    const Bytes bytes = random_.bytes(random_.below(4) == 0 ? 5000 : 100 + random_.below(1500));
    const object::ChunkId id(crypto::sha256(bytes));
    all_[id] = bytes;
    if (store_->append(id, bytes)) waiting_[id] = bytes;
  }

  void remove_one() {
    if (stored_.empty()) return;
    const object::ChunkId id = stored_.begin()->first;
    stored_.erase(id);  // Neither is promised until it is synced.
    if (store_->remove(id)) leaving_.push_back(id);
  }

  void sync() {
    if (!store_->sync()) return;
    for (const object::ChunkId& id : std::exchange(leaving_, {})) removed_.push_back(id);
    for (auto& [id, bytes] : std::exchange(waiting_, {})) stored_[id] = bytes;
  }

  SimDisk& disk_;
  testing::SeededRandom random_;
  std::unique_ptr<pack::PackStore> store_;
  std::map<object::ChunkId, Bytes> all_, waiting_, stored_;
  std::vector<object::ChunkId> leaving_, removed_;
};

// Claim: whenever the power goes, a chunk is whole or absent, what sync() covered is there, what it removed stays away;
// and what a store then finds survives the next cut as well, also one while it is being opened.
TEST(APackStore, KeepsItsPromisesWheneverThePowerGoes) {
  cut_everywhere({.seeds = 3, .step = 2}, [](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    PackScenario scenario(disk, seed);
    disk.cut_power_at_call(call);
    if (scenario.open()) scenario.use(20);
    const bool was_cut = disk.power_was_cut();
    for (int again = 0; again < 3; ++again) {
      disk.cut_power();
      scenario.die();
      disk.restart();
      if (again == 0) {
        disk.cut_power_at_call(1 + (call * 7 + seed) % 40);
        (void)scenario.open();
        continue;
      }
      EXPECT_TRUE(scenario.open());
      if (::testing::Test::HasFailure()) return false;
      scenario.expect_promises();
      scenario.expect_whole_or_absent();
    }
    return was_cut;
  });
}

// Claim: a sync that failed is never believed. What the store had promised before is there, and so is what it finds
// when it is opened again in the same run of the machine, where reading shows what the disk does not have.
TEST(APackStore, NeverBelievesASyncThatFailed) {
  fail_every_sync({.seeds = 8, .step = 1}, [](std::uint64_t sync, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + sync);
    PackScenario scenario(disk, seed);
    disk.fail_sync(sync);
    if (scenario.open()) scenario.use(20);
    const bool has_failed = disk.sync_has_failed();
    scenario.die();
    disk.restart();  // The process alone.
    EXPECT_TRUE(scenario.open());
    if (::testing::Test::HasFailure()) return false;
    scenario.expect_promises();
    scenario.expect_whole_or_absent();
    scenario.use(5);
    disk.cut_power();
    scenario.die();
    disk.restart();
    EXPECT_TRUE(scenario.open());
    if (::testing::Test::HasFailure()) return false;
    scenario.expect_promises();
    scenario.expect_whole_or_absent();
    return has_failed;
  });
}

// Claim: what a cut tore is never believed, wherever a second cut strikes while the store is opened, also once its pack
// is full, another has been begun and the index is lost: then nobody compares the pack's payloads any more.
TEST(APackStore, NeverBelievesATornRecordOnceItsPackIsFull) {
  const auto open = [](SimDisk& disk) {
    auto opened = pack::PackStore::open(disk, "/srv/vaults/packs", {.pack_bytes_max = 4096});
    return opened ? *std::move(opened) : nullptr;
  };
  cut_everywhere({.seeds = 12, .step = 1}, [&](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    testing::SeededRandom random(seed);
    const auto append = [&](pack::PackStore& store, std::size_t bytes) {
      const Bytes chunk = random.bytes(bytes);
      EXPECT_TRUE(store.append(object::ChunkId(crypto::sha256(chunk)), chunk));
    };
    {
      const auto store = open(disk);
      append(*store, 100);
      EXPECT_TRUE(store->sync());
      append(*store, 1500);
      append(*store, 100);
      disk.cut_power();
    }
    disk.restart();
    disk.cut_power_at_call(call);
    (void)open(disk);
    const bool was_cut = disk.power_was_cut();
    disk.cut_power();
    disk.restart();
    {
      const auto store = open(disk);
      EXPECT_NE(store, nullptr);
      if (::testing::Test::HasFailure()) return false;
      for (int i = 0; i < 4; ++i) append(*store, 1500);
      EXPECT_TRUE(store->sync());
    }
    for (const char* name : {"index.db", "index.db-wal", "index.db-shm"})
      (void)disk.remove(std::string("/srv/vaults/packs/") + name);
    const auto store = open(disk);
    EXPECT_NE(store, nullptr);
    if (::testing::Test::HasFailure()) return false;
    EXPECT_TRUE(store->check(true)->bad.empty()) << "a torn record counts as stored";
    return was_cut;
  });
}

}  // namespace
}  // namespace coffer::power
