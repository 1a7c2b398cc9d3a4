// A chunk that the server has lost is asked back from whoever has it, and healed.
#include <filesystem>

#include "common/pack/record.h"
#include "server/scrub/scrub_record.h"
#include "tests/server/service/server_world.h"

namespace coffer::service {
namespace {

namespace fs = std::filesystem;

class Healing : public ServerWorld {
 protected:
  std::string vault_folder(const TestClient& client) const { return dir() + "/vaults/" + client.vault.id.hex(); }
  std::string pack_of(const TestClient& client) const { return vault_folder(client) + "/packs/00000001.pack"; }

  /// Flips one bit of the pack that the vault has.
  void flip(const TestClient& client, std::uint64_t offset) {
    const auto file = os::real_disk().open(pack_of(client), os::Open::write);
    ASSERT_TRUE(file);
    std::byte one{};
    ASSERT_TRUE((*file)->read_at(MutableByteView(&one, 1), offset));
    one ^= std::byte{4};
    ASSERT_TRUE((*file)->write_at(ByteView(&one, 1), offset));
  }

  /// Puts `count` chunks and commits them.
  std::vector<Bytes> commit_chunks(TestClient& client, std::size_t count) {
    std::vector<Bytes> all;
    std::vector<object::ChunkId> ids;
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(random_.bytes(5000));
      ids.push_back(id_of(all.back()));
      EXPECT_TRUE(client.put(all.back()));
    }
    EXPECT_TRUE(client.append(commit_after(client.vault.id, nullptr, client.lease()->epoch, ids)));
    return all;
  }

  bool asks_for(TestClient& client, const object::ChunkId& id) {
    return testing::eventually([&] {
      const auto state = client.ping();
      return state && std::ranges::find(state->wanted, id) != state->wanted.end();
    });
  }

  static constexpr std::uint64_t kFirstPayload = pack::kPackHeaderBytes + pack::kRecordHeaderBytes;
};

// Claim: a damaged chunk that a client reads is not taken for the chunk, is kept aside on the server, asked for in the
// next ping, and is good again once it was sent, also for a server that starts anew.
TEST_F(Healing, AsksForADamagedChunkAndTakesItBack) {
  TestClient client = enrol(new_vault("laptop"));
  ASSERT_TRUE(client.wait_online());
  const std::vector<Bytes> chunks = commit_chunks(client, 2);
  const object::ChunkId id = id_of(chunks[0]);
  EXPECT_TRUE(client.ping()->wanted.empty());
  flip(client, kFirstPayload + 100);

  EXPECT_EQ(client.get(id).error().fault, Fault::corrupt);
  EXPECT_TRUE(asks_for(client, id));
  EXPECT_EQ(client.ping()->wanted_chunks, 1u);
  EXPECT_FALSE((*client.have({id}))[0].stored) << "what is damaged is not stored";
  EXPECT_TRUE(fs::exists(vault_folder(client) + "/packs/quarantine/" + id.hex()));
  EXPECT_EQ(*client.get(id_of(chunks[1])), chunks[1]);

  ASSERT_TRUE(client.put(chunks[0]));
  EXPECT_EQ(*client.get(id), chunks[0]);
  EXPECT_TRUE(client.ping()->wanted.empty());
  stop();
  EXPECT_EQ(admin::check({.dir = dir(), .json = true, .read_data = true, .rebuild_index = true}).value(),
            admin::kExitDone);
  start();
  EXPECT_EQ(*client.get(id), chunks[0]);
}

// Claim: a header that went bad while the server runs, found by verify, leaves no damage behind once it was healed.
TEST_F(Healing, MendsTheHeaderOfARecordThatWasSetAside) {
  TestClient client = enrol(new_vault("laptop"));
  ASSERT_TRUE(client.wait_online());
  const std::vector<Bytes> chunks = commit_chunks(client, 3);
  const object::ChunkId id = id_of(chunks[0]);
  flip(client, pack::kPackHeaderBytes + 20);
  flip(client, kFirstPayload + 7);
  EXPECT_EQ((*client.verify({id}))[0], rpc::VerifyState::damaged);
  ASSERT_TRUE(client.put(chunks[0]));
  EXPECT_EQ((*client.verify({id}))[0], rpc::VerifyState::good);
  stop();
  EXPECT_EQ(admin::check({.dir = dir(), .json = true, .read_data = true, .rebuild_index = false}).value(),
            admin::kExitDone);
}

// Claim: when a whole pack is lost, all that the log names of it is asked back, by a server that runs and by one that
// starts; what comes back is stored, and the rest goes on.
TEST_F(Healing, AsksForAllChunksOfALostPack) {
  TestClient client = enrol(new_vault("laptop"));
  ASSERT_TRUE(client.wait_online());
  const std::vector<Bytes> chunks = commit_chunks(client, 5);
  fs::remove(pack_of(client));
  stop();
  start();
  for (const Bytes& chunk : chunks) EXPECT_TRUE(asks_for(client, id_of(chunk)));
  for (const Bytes& chunk : chunks) EXPECT_TRUE(client.put(chunk));
  for (const Bytes& chunk : chunks) EXPECT_EQ(*client.get(id_of(chunk)), chunk);
  EXPECT_EQ(client.ping()->wanted_chunks, 0u);
  stop();
  EXPECT_EQ(admin::check({.dir = dir(), .json = true, .read_data = true, .rebuild_index = false}).value(),
            admin::kExitDone);
}

// Claim: the running server finds damage by itself, and says since when all was read back.
TEST_F(Healing, ScrubsAndSaysSinceWhen) {
  TestClient client = enrol(new_vault("laptop"));
  ASSERT_TRUE(client.wait_online());
  const std::vector<Bytes> chunks = commit_chunks(client, 3);
  flip(client, kFirstPayload + 1);
  stop();
  const std::int64_t before = os::real_clock().now().time_since_epoch().count();
  start();
  EXPECT_TRUE(asks_for(client, id_of(chunks[0])));
  EXPECT_TRUE(testing::eventually([&] { return client.ping()->scrubbed_ns >= before; }));
  const scrub::ScrubRecord record = scrub::read_scrub_record(os::real_disk(), vault_folder(client));
  EXPECT_EQ(record.damaged, 1u);
  EXPECT_EQ(record.chunks, 3u);
  EXPECT_EQ(record.wanted_chunks, 1u);
}

// Claim: what is wanted is taken from a client that may only read, and beyond the quota; anything else is not.
TEST_F(Healing, TakesWhatItWantsFromReadersAndBeyondTheQuota) {
  TestClient writer = enrol(new_vault("laptop", 27'000));
  ASSERT_TRUE(writer.wait_online());
  const std::vector<Bytes> chunks = commit_chunks(writer, 4);
  accounts::Offer offer = new_vault("reader");
  offer.vault = writer.vault.id;
  offer.read_only = true;
  TestClient reader = enrol(offer);
  ASSERT_TRUE(reader.wait_online());
  flip(writer, kFirstPayload);
  ASSERT_EQ(writer.get(id_of(chunks[0])).error().fault, Fault::corrupt);
  EXPECT_EQ(reader.put(random_.bytes(100)).error().code, EROFS);
  ASSERT_TRUE(writer.put(random_.bytes(9000)));
  EXPECT_EQ(writer.put(random_.bytes(4000)).error().code, EDQUOT);
  EXPECT_TRUE(reader.put(chunks[0]));
  EXPECT_EQ(*reader.get(id_of(chunks[0])), chunks[0]);
  EXPECT_EQ(reader.put(id_of(chunks[1]), chunks[2]).error().code, EROFS);
}

}  // namespace
}  // namespace coffer::service
