// Client and server over a network that breaks: what arrives, and what is sent twice for it.
//
// With COFFER_LONG=1 in the environment the series have many more steps.
#include <atomic>
#include <cstdlib>
#include <future>
#include <iostream>

#include "tests/server/service/server_world.h"
#include "tests/testing/fault_proxy.h"

namespace coffer::service {
namespace {

using namespace std::chrono_literals;
using testing::End;
using testing::eventually;
using testing::FaultProxy;
using testing::Faults;

bool is_long() { return std::getenv("COFFER_LONG") != nullptr; }

class BadNetwork : public ServerWorld {
 protected:
  void SetUp() override {
    ServerWorld::SetUp();
    direct = enrol(new_vault("laptop"));
    ASSERT_TRUE(direct.wait_online());
  }

  /// The same client, by way of the proxy. One connection carries all, so that it is the one which the plan is for.
  TestClient behind(const FaultProxy& proxy, unsigned connections = 1) {
    TestClient client{.name = direct.name, .options = direct.options, .vault = direct.vault, .rpc = {}};
    client.options.server.port = proxy.port();
    client.options.connections = connections;
    client.options.keepalive = {.idle = 100ms, .lost = 200ms};
    client.connect();
    return client;
  }
  std::uint64_t received(const object::ChunkId& id) { return direct.have({id})->front().received; }

  TestClient direct;
};

struct Sums {
  unsigned cuts = 0;
  unsigned resumed = 0;  ///< Cuts after which the server had a part.
  std::uint64_t chunk_bytes = 0;
  std::uint64_t lacked = 0;  ///< Of them, what the server did not have when it was asked after the cut.
  std::uint64_t sent = 0;
  std::uint64_t sent_again = 0;

  void print(const char* what) const {
    std::cout << what << ": " << cuts << " cuts that struck, " << resumed << " in the middle of a chunk; "
              << chunk_bytes << " bytes of chunks, of which the server lacked " << lacked << " after the cuts; " << sent
              << " sent, " << sent_again << " of them again\n";
  }
};

// Claim: wherever the connection is cut, the chunk arrives, and after the cut no more is sent than what the server had
// not received by its own word.
//
// Method: the first connection is cut at byte N of what goes to the server. Before the client may come back the server
// is asked on another connection how much of the chunk it has.
TEST_F(BadNetwork, ResumesAChunkAtTheByteWhereverItIsCut) {
  const std::size_t chunk_bytes = 300'000;
  const std::uint64_t until = chunk_bytes + 6000;  // With hello, heads and the overhead of TLS.
  const std::uint64_t step = is_long() ? 251 : 7919;
  Sums sums;
  for (std::uint64_t cut_at = 1; cut_at < until; cut_at += step) {
    SCOPED_TRACE(::testing::Message() << "cut at byte " << cut_at);
    const auto sealed = std::make_shared<const Bytes>(random_.bytes(chunk_bytes));
    const object::ChunkId id = id_of(*sealed);
    const End end = static_cast<End>(random_.below(2));
    std::atomic<bool> may_come_back = false;
    FaultProxy proxy(port_);
    proxy.plan([&](unsigned connection) {
      Faults faults;
      if (connection == 0) faults.to_server = {.cut_at = cut_at, .end = end};
      if (connection > 0 && !may_come_back) faults.to_server = {.cut_at = 1, .end = End::reset};
      return faults;
    });
    TestClient client = behind(proxy);
    std::promise<Result<rpc::PutChunkDone>> put;
    client.rpc->put_chunk(id, sealed, 0, soon(), [&](auto done) { put.set_value(std::move(done)); });
    ASSERT_TRUE(eventually([&] { return proxy.counts().cuts > 0 || direct.have({id})->front().stored; }));
    const bool was_cut = proxy.counts().cuts > 0;
    const std::uint64_t told = received(id);
    may_come_back = true;
    const auto done = put.get_future().get();
    ASSERT_TRUE(done) << done.error().what;
    ASSERT_TRUE(direct.have({id})->front().stored);
    if (!was_cut) continue;
    const std::uint64_t again = client.rpc->chunk_bytes_sent_again();
    EXPECT_LE(again, chunk_bytes - told);
    EXPECT_EQ(client.rpc->chunk_bytes_sent(), chunk_bytes + again);
    ++sums.cuts;
    sums.resumed += told > 0 && told < chunk_bytes ? 1 : 0;
    sums.chunk_bytes += chunk_bytes;
    sums.sent += client.rpc->chunk_bytes_sent();
    sums.sent_again += again;
    sums.lacked += chunk_bytes - told;
  }
  sums.print("puts");
  EXPECT_GT(sums.resumed, sums.cuts / 2);
  EXPECT_EQ(direct.ping()->stored_bytes % (chunk_bytes + store::kChunkOverheadBytes), 0u);
}

// Claim: a read goes on at the byte, too: what came before the cut is not asked for again.
TEST_F(BadNetwork, ResumesAReadAtTheByteWhereverItIsCut) {
  const Bytes sealed = random_.bytes(300'000);
  ASSERT_TRUE(direct.put(sealed));
  const std::uint64_t step = is_long() ? 251 : 7919;
  for (std::uint64_t cut_at = 1; cut_at < sealed.size() + 6000; cut_at += step) {
    SCOPED_TRACE(::testing::Message() << "cut at byte " << cut_at);
    FaultProxy proxy(port_);
    proxy.plan([&](unsigned connection) {
      Faults faults;
      if (connection == 0) faults.to_client = {.cut_at = cut_at, .end = static_cast<End>(cut_at % 2)};
      return faults;
    });
    TestClient client = behind(proxy);
    const auto got = client.get(id_of(sealed));
    ASSERT_TRUE(got) << got.error().what;
    EXPECT_EQ(*got, sealed);
    EXPECT_LE(client.rpc->bytes_received(), sealed.size() + 40'000) << "two handshakes, and a record that was cut";
  }
}

// Claim: a connection that dies without a word is noticed, in both directions, and the work goes on by itself from what
// the server had received, though the server takes the dead one for alive.
TEST_F(BadNetwork, GoesOnWhenAConnectionDiesWithoutAWord) {
  const auto sealed = std::make_shared<const Bytes>(random_.bytes(1'000'000));
  const object::ChunkId id = id_of(*sealed);
  FaultProxy proxy(port_);
  proxy.plan([&](unsigned connection) {
    Faults faults;
    if (connection == 0) faults.to_server = {.cut_at = 600'000, .end = End::silence};
    if (connection == 1) faults.to_client = {.cut_at = 400'000, .end = End::silence};
    return faults;
  });
  TestClient client = behind(proxy);
  const auto put = rpc::wait<rpc::PutChunkDone>([&](auto done) { client.rpc->put_chunk(id, sealed, 0, soon(), done); });
  ASSERT_TRUE(put) << put.error().what;
  EXPECT_LE(client.rpc->chunk_bytes_sent_again(), 450'000u);
  const auto got = client.get(id);
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(*got, *sealed);
  EXPECT_EQ(proxy.counts().cuts, 2u);
}

TEST_F(BadNetwork, GoesOnWhenTheServerStallsInTheMiddleOfAChunk) {
  const Bytes sealed = random_.bytes(1'000'000);
  ASSERT_TRUE(direct.put(sealed));
  FaultProxy proxy(port_);
  proxy.plan([&](unsigned connection) {
    Faults faults;
    if (connection == 0) faults.to_client.stall_at = 500'000;
    return faults;
  });
  TestClient client = behind(proxy);
  const auto got = client.get(id_of(sealed));
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(*got, sealed);
  EXPECT_EQ(proxy.counts().stalls, 1u);
  EXPECT_LE(client.rpc->bytes_received(), sealed.size() + 60'000);
}

// Claim: a flipped bit never becomes a wrong byte, nor an answer that is none: it costs a connection.
TEST_F(BadNetwork, TakesAFlippedBitForABrokenConnection) {
  const std::uint64_t step = is_long() ? 211 : 4001;
  std::uint64_t flips = 0;
  for (std::uint64_t at = 20; at < 60'000; at += step) {  // Behind the lengths of the first message.
    SCOPED_TRACE(::testing::Message() << "bit flipped at byte " << at);
    const Bytes sealed = random_.bytes(50'000);
    for (const bool to_server : {true, false}) {
      FaultProxy proxy(port_);
      proxy.plan([&](unsigned connection) {
        Faults faults;
        if (connection == 0) (to_server ? faults.to_server : faults.to_client).flip_at = at;
        return faults;
      });
      TestClient client = behind(proxy);
      if (to_server) {
        const auto put = client.put(sealed);
        ASSERT_TRUE(put) << put.error().what;
      } else {
        const auto got = client.get(id_of(sealed));
        ASSERT_TRUE(got) << got.error().what;
        EXPECT_EQ(*got, sealed);
      }
      flips += proxy.counts().flips;
    }
  }
  std::cout << flips << " flips that struck\n";
  EXPECT_GT(flips, 0u);
}

// Claim: bytes that change between the client's memory and the server's are refused with the offset up to which they
// are good, and the next try goes on there.
//
// Method: the bytes change after they were given to the client, while its server cannot be reached.
TEST_F(BadNetwork, GoesOnFromWhereADamagedChunkWasGood) {
  const auto sealed = std::make_shared<Bytes>(random_.bytes(300'000));
  const object::ChunkId id = id_of(*sealed);
  FaultProxy proxy(port_);
  proxy.set_down(true);
  TestClient client = behind(proxy);
  std::promise<Result<rpc::PutChunkDone>> put;
  client.rpc->put_chunk(id, sealed, 0, soon(), [&](auto done) { put.set_value(std::move(done)); });
  (*sealed)[200'000] ^= std::byte{1};
  proxy.set_down(false);
  const auto refused = put.get_future().get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault, Fault::corrupt);
  EXPECT_NE(refused.error().what.find("good up to byte 196608"), std::string::npos) << refused.error().what;
  EXPECT_EQ(received(id), 196'608u);

  (*sealed)[200'000] ^= std::byte{1};
  const std::uint64_t sent_before = client.rpc->chunk_bytes_sent();
  const auto done = rpc::wait<rpc::PutChunkDone>(
      [&](auto answered) { client.rpc->put_chunk(id, sealed, received(id), soon(), answered); });
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_EQ(client.rpc->chunk_bytes_sent() - sent_before, 300'000u - 196'608u);
  EXPECT_EQ(*client.get(id), *sealed);
}

// Claim: over a link of any kind that breaks again and again, everything arrives, unchanged, by itself.
TEST_F(BadNetwork, CarriesEverythingWhateverStrikes) {
  const unsigned seed_count = is_long() ? 100 : 3;
  FaultProxy::Counts all;
  for (unsigned seed = 1; seed <= seed_count; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    testing::SeededRandom random(seed);
    FaultProxy proxy(port_);
    proxy.plan([&random](unsigned connection) {
      Faults faults;
      if (connection > 60) return faults;  // Enough: the test is to end.
      for (testing::WayFaults* way : {&faults.to_server, &faults.to_client}) {
        const std::uint64_t at = random.below(150'000);
        switch (random.below(6)) {
          case 0: way->cut_at = at, way->end = End::reset; break;
          case 1: way->cut_at = at, way->end = End::close; break;
          case 2: way->cut_at = at, way->end = End::silence; break;
          case 3: way->stall_at = at, way->stall_for = std::chrono::milliseconds(random.below(500)); break;
          case 4: way->flip_at = at; break;
          default: way->delay = std::chrono::milliseconds(random.below(20)), way->bytes_per_second = 20'000'000;
        }
      }
      return faults;
    });
    TestClient client = behind(proxy, 3);
    std::vector<std::shared_ptr<const Bytes>> chunks;
    std::vector<std::promise<bool>> puts(24);
    for (auto& put : puts) {
      chunks.push_back(std::make_shared<const Bytes>(random.bytes(1 + random.below(400'000))));
      const auto deadline = std::chrono::steady_clock::now() + 60s;
      client.rpc->put_chunk(id_of(*chunks.back()), chunks.back(), 0, deadline,
                            [&put](const Result<rpc::PutChunkDone>& done) {
                              EXPECT_TRUE(done) << done.error().what;
                              put.set_value(done.has_value());
                            });
    }
    for (auto& put : puts) ASSERT_TRUE(put.get_future().get());
    for (const auto& chunk : chunks) {
      const auto got = client.get(id_of(*chunk));
      ASSERT_TRUE(got) << got.error().what;
      ASSERT_EQ(*got, *chunk);
    }
    const FaultProxy::Counts counts = proxy.counts();
    all.connections += counts.connections;
    all.cuts += counts.cuts;
    all.stalls += counts.stalls;
    all.flips += counts.flips;
  }
  std::cout << seed_count << " seeds: " << all.connections << " connections, " << all.cuts << " cuts, " << all.stalls
            << " stalls, " << all.flips << " flips that struck\n";
}

}  // namespace
}  // namespace coffer::service
