#include "fs/upload/healer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "common/os/disk.h"
#include "fs/keys/vault_key.h"
#include "fs/seal/sealer.h"
#include "tests/testing/eventually.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::upload {
namespace {

using testing::eventually;

/// Keeps what it was sent, or refuses everything.
class Receiver : public Remote {
 public:
  bool online() const override { return true; }
  void somebody_waits(bool) override {}
  void have(std::vector<object::ChunkId>, rpc::Deadline, rpc::Done<std::vector<rpc::HaveState>>) override {}
  void append_commit(Bytes, std::vector<std::shared_ptr<const Bytes>>, rpc::Deadline,
                     rpc::Done<object::Receipt>) override {}
  void put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes>, std::uint64_t, rpc::Deadline,
                 rpc::Done<rpc::PutChunkDone> done) override {
    {
      const MutexLock lock(mutex_);
      puts_.push_back(id);
    }
    if (refuses) return done(Error{Fault::refused, EROFS, "no"});
    done(rpc::PutChunkDone{});
  }
  std::vector<object::ChunkId> puts() const {
    const MutexLock lock(mutex_);
    return puts_;
  }
  std::atomic<bool> refuses = false;

 private:
  mutable Mutex mutex_;
  std::vector<object::ChunkId> puts_ GUARDED_BY(mutex_);
};

class HealerTest : public ::testing::Test {
 protected:
  HealerTest() {
    spool_ = *spool::Spool::open(os::real_disk(), dir_.path().string(), {}, [](const object::ChunkId&) {
      return Result<spool::Standing>(spool::Standing::cached);
    });
    healer_ = std::make_unique<Healer>(*spool_, receiver_);
    healer_->start();
  }
  object::ChunkId keep() {
    const Bytes plain = random_.bytes(1000);
    const seal::SealedChunk sealed = sealer_.seal(plain);
    EXPECT_TRUE(spool_->put(sealed));
    return sealed.id();
  }

  testing::TempDir dir_;
  testing::SeededRandom random_{1};
  keys::VaultKey key_ = keys::VaultKey::generate(random_);
  object::VaultId vault_;
  seal::Sealer sealer_{key_, vault_, random_, *seal::parse_compression("none")};
  std::unique_ptr<spool::Spool> spool_;
  Receiver receiver_;
  std::unique_ptr<Healer> healer_;
};

TEST_F(HealerTest, SendsWhatItHasAndPassesTheRestOver) {
  const object::ChunkId here = keep();
  const object::ChunkId elsewhere(std::array<std::byte, 32>{std::byte{9}});
  healer_->asked_for(std::vector{elsewhere, here});
  EXPECT_TRUE(eventually([&] { return healer_->healed_count() == 1; }));
  EXPECT_EQ(receiver_.puts(), std::vector{here});
}

// Claim: a server that asks for the same chunk for ever gets it three times.
TEST_F(HealerTest, SendsAChunkThreeTimesAtMost) {
  receiver_.refuses = true;
  const object::ChunkId id = keep();
  for (unsigned round = 1; round <= 6; ++round) {
    healer_->asked_for(std::vector{id});
    EXPECT_TRUE(eventually([&] { return receiver_.puts().size() >= std::min(round, 3u); }));
    const object::ChunkId marker = keep();  // Once it was sent, the one before it is out of the queue.
    healer_->asked_for(std::vector{marker});
    EXPECT_TRUE(eventually([&] { return !receiver_.puts().empty() && receiver_.puts().back() == marker; }));
  }
  EXPECT_EQ(std::ranges::count(receiver_.puts(), id), 3);
  EXPECT_EQ(healer_->healed_count(), 0u);
}

TEST_F(HealerTest, SendsNothingOnceThatIsForbidden) {
  healer_->forbid();
  healer_->asked_for(std::vector{keep()});
  EXPECT_FALSE(eventually([&] { return !receiver_.puts().empty(); }, std::chrono::milliseconds(200)));
}

}  // namespace
}  // namespace coffer::upload
