// Chunks that come in parts, from clients that keep to the rules and from such as do not.
#include <cerrno>
#include <cstdlib>

#include "tests/net/rpc/raw_peer.h"
#include "tests/server/service/server_world.h"

namespace coffer::service {
namespace {

using testing::eventually;
using wire::Type;

class BrokenOff : public ServerWorld {
 protected:
  /// A connection of `client`, greeted, for its vault.
  std::unique_ptr<rpc::RawPeer> peer_of(const TestClient& client) {
    auto peer = std::make_unique<rpc::RawPeer>(port_, tls::Context::for_client(client.options.identity));
    EXPECT_TRUE(peer->handshake());
    wire::Hello hello;
    hello.set_version_min(1);
    hello.set_version_max(1);
    hello.set_vault(std::string(as_text(client.options.vault.bytes())));
    EXPECT_TRUE(peer->send(Type::hello, 1, as_bytes(hello.SerializeAsString())));
    EXPECT_EQ(peer->receive()->head.type, wire::answer_to(Type::hello));
    return peer;
  }
  static wire::PutChunk header_of(const object::ChunkId& id, std::uint64_t chunk_bytes, std::uint64_t offset = 0) {
    wire::PutChunk put;
    put.set_id(std::string(as_text(id.bytes())));
    put.set_chunk_bytes(chunk_bytes);
    put.set_offset(offset);
    return put;
  }
  static Result<void> send(rpc::RawPeer& peer, const wire::PutChunk& put, ByteView body) {
    return peer.send(Type::put_chunk, 2, as_bytes(put.SerializeAsString()), body);
  }
  /// The first `until` bytes arrive, then the connection breaks.
  void break_off(TestClient& client, const Bytes& chunk, std::uint64_t until) {
    break_off(client, id_of(chunk), chunk, until);
  }
  void break_off(TestClient& client, const object::ChunkId& id, const Bytes& chunk, std::uint64_t until) {
    const auto peer = peer_of(client);
    const std::string header = header_of(id, chunk.size()).SerializeAsString();
    const Bytes frame = wire::encode_frame(Type::put_chunk, 2, as_bytes(header), chunk);
    ASSERT_TRUE(peer->send(ByteView(frame).first(frame.size() - (chunk.size() - until))));
    ASSERT_TRUE(eventually([&] { return client.have({id})->front().received == until; }));
  }
  static std::uint64_t received(TestClient& client, const object::ChunkId& id) {
    const auto have = client.have({id});
    EXPECT_TRUE(have);
    EXPECT_FALSE(have->front().stored);
    return have->front().received;
  }
};

TEST_F(BrokenOff, ChunksGoOnWhereTheyWereCut) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  break_off(client, sealed, 123'456);
  const auto peer = peer_of(client);
  ASSERT_TRUE(send(*peer, header_of(id_of(sealed), sealed.size(), 123'456), ByteView(sealed).subspan(123'456)));
  EXPECT_EQ(peer->receive()->head.type, wire::answer_to(Type::put_chunk));
  EXPECT_EQ(*client.get(id_of(sealed)), sealed);
}

TEST_F(BrokenOff, ChunksGoOnWhileTheServerHoldsTheDeadConnectionForAlive) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  const auto dead = peer_of(client);
  const Bytes frame = wire::encode_frame(Type::put_chunk, 2,
                                         as_bytes(header_of(id_of(sealed), sealed.size()).SerializeAsString()), sealed);
  ASSERT_TRUE(dead->send(ByteView(frame).first(frame.size() - 100'000)));
  ASSERT_TRUE(eventually([&] { return received(client, id_of(sealed)) == 200'000; }));
  const auto peer = peer_of(client);
  ASSERT_TRUE(send(*peer, header_of(id_of(sealed), sealed.size(), 200'000), ByteView(sealed).last(100'000)));
  EXPECT_EQ(peer->receive()->head.type, wire::answer_to(Type::put_chunk));
  ASSERT_TRUE(dead->send(ByteView(frame).last(100'000))) << "and if it lives after all, that is no harm";
  EXPECT_EQ(dead->receive()->head.type, wire::answer_to(Type::put_chunk));
  EXPECT_EQ(*client.get(id_of(sealed)), sealed);
}

TEST_F(BrokenOff, ChunksThatGoOnElsewhereAreToldWhere) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  break_off(client, sealed, 100'000);
  const auto peer = peer_of(client);
  for (const std::uint64_t offset : {100'001u, 300'000u}) {
    ASSERT_TRUE(send(*peer, header_of(id_of(sealed), sealed.size(), offset), ByteView(sealed).subspan(offset)));
    const wire::Error error = peer->receive_error();
    EXPECT_EQ(error.reason(), wire::Error::REFUSED);
    EXPECT_EQ(error.code(), ESPIPE);
    EXPECT_EQ(error.good_until(), 100'000u);
  }
  ASSERT_TRUE(send(*peer, header_of(id_of(sealed), sealed.size(), 50'000), ByteView(sealed).subspan(50'000)));
  EXPECT_EQ(peer->receive()->head.type, wire::answer_to(Type::put_chunk)) << "fewer than are here are no harm";

  // A client that was told wrongly, or long ago, is put right without a word to its user.
  const Bytes other = random_.bytes(300'000);
  const auto shared = std::make_shared<const Bytes>(other);
  EXPECT_TRUE(rpc::wait<rpc::PutChunkDone>(
      [&](auto done) { client.rpc->put_chunk(id_of(other), shared, 200'000, soon(), done); }));
  EXPECT_EQ(*client.get(id_of(other)), other);
}

// Claim: a client whose second part is of other bytes gets no chunk and keeps no part.
TEST_F(BrokenOff, ChunksWithAnotherSecondPartAreThrownAwayWhole) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  break_off(client, sealed, 150'000);
  const auto peer = peer_of(client);
  ASSERT_TRUE(send(*peer, header_of(id_of(sealed), sealed.size(), 150'000), random_.bytes(150'000)));
  const wire::Error error = peer->receive_error();
  EXPECT_EQ(error.reason(), wire::Error::CORRUPT);
  EXPECT_EQ(error.good_until(), 0u);
  EXPECT_EQ(received(client, id_of(sealed)), 0u);
  EXPECT_TRUE(client.put(sealed)) << "the connection lives on";
}

TEST_F(BrokenOff, ChunksOfAnotherLengthAreThrownAway) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  break_off(client, sealed, 150'000);
  const auto peer = peer_of(client);
  ASSERT_TRUE(send(*peer, header_of(id_of(sealed), 200'000, 150'000), ByteView(sealed).first(50'000)));
  const wire::Error error = peer->receive_error();
  EXPECT_EQ(error.code(), ESPIPE);
  EXPECT_EQ(error.good_until(), 0u);
  EXPECT_EQ(received(client, id_of(sealed)), 0u);
}

// Claim: a chunk that arrives damaged is refused with the offset up to which it was good; from there it goes on.
TEST_F(BrokenOff, ChunksThatAreDamagedAreGoodUpToTheBlockThatIsNot) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  const auto peer = peer_of(client);
  for (const auto& [damaged_at, good_until] : std::map<std::size_t, std::uint64_t>{
           {0, 0}, {65'535, 0}, {65'536, 65'536}, {200'000, 196'608}, {299'999, 262'144}}) {
    SCOPED_TRACE(damaged_at);
    wire::PutChunk put = header_of(id_of(sealed), sealed.size());
    for (const std::uint32_t crc : wire::block_crcs(sealed)) put.add_block_crcs(crc);
    Bytes damaged = sealed;
    damaged[damaged_at] ^= std::byte{1};
    ASSERT_TRUE(send(*peer, put, damaged));
    const wire::Error error = peer->receive_error();
    EXPECT_EQ(error.reason(), wire::Error::CORRUPT);
    EXPECT_EQ(error.good_until(), good_until);
    EXPECT_EQ(received(client, id_of(sealed)), good_until);
  }
  ASSERT_TRUE(send(*peer, header_of(id_of(sealed), sealed.size(), 262'144), ByteView(sealed).subspan(262'144)));
  EXPECT_EQ(peer->receive()->head.type, wire::answer_to(Type::put_chunk));
  EXPECT_EQ(*client.get(id_of(sealed)), sealed);
}

TEST_F(BrokenOff, ChunksMayComeOnTwoConnectionsAtOnce) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  const Bytes frame = wire::encode_frame(Type::put_chunk, 2,
                                         as_bytes(header_of(id_of(sealed), sealed.size()).SerializeAsString()), sealed);
  const auto first = peer_of(client);
  const auto second = peer_of(client);
  ASSERT_TRUE(first->send(ByteView(frame).first(100'000)));
  ASSERT_TRUE(second->send(ByteView(frame).first(200'000)));
  ASSERT_TRUE(first->send(ByteView(frame).subspan(100'000)));
  EXPECT_EQ(first->receive()->head.type, wire::answer_to(Type::put_chunk));
  ASSERT_TRUE(second->send(ByteView(frame).subspan(200'000)));
  EXPECT_EQ(second->receive()->head.type, wire::answer_to(Type::put_chunk));
  EXPECT_EQ(*client.get(id_of(sealed)), sealed);
  EXPECT_EQ(client.ping()->stored_bytes, sealed.size() + store::kChunkOverheadBytes);
}

// Claim: nobody learns of another client's parts or goes on from them, in his own vault or in one that both use.
TEST_F(BrokenOff, ChunksAreTheirSendersAlone) {
  TestClient alice = enrol(new_vault("alice"));
  accounts::Offer offer = new_vault("bob");
  offer.vault = alice.vault.id;
  TestClient bob = enrol(offer);
  offer.client_name = "reader";
  offer.read_only = true;
  TestClient reader = enrol(offer);
  TestClient stranger = enrol(new_vault("stranger"));
  const Bytes sealed = random_.bytes(300'000);
  break_off(alice, sealed, 150'000);
  for (TestClient* other : {&bob, &reader, &stranger}) EXPECT_EQ(received(*other, id_of(sealed)), 0u) << other->name;
  const auto peer = peer_of(bob);
  ASSERT_TRUE(send(*peer, header_of(id_of(sealed), sealed.size(), 150'000), ByteView(sealed).subspan(150'000)));
  EXPECT_EQ(peer->receive_error().good_until(), 0u);
  const auto denied = peer_of(reader);
  ASSERT_TRUE(send(*denied, header_of(id_of(sealed), sealed.size()), sealed));
  EXPECT_EQ(denied->receive_error().code(), EROFS);
  EXPECT_EQ(received(reader, id_of(sealed)), 0u) << "who may not write leaves no part";
  EXPECT_EQ(received(alice, id_of(sealed)), 150'000u);
}

TEST_F(BrokenOff, ChunksOfImpossibleLengthsEndTheConnection) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(1000);
  std::vector<std::pair<wire::PutChunk, std::size_t>> wrong;
  wrong.emplace_back(header_of(id_of(sealed), 1000, 1001), 0);
  wrong.emplace_back(header_of(id_of(sealed), 1000, 999), 1000);
  wrong.emplace_back(header_of(id_of(sealed), 1000, UINT64_MAX), 1000);
  wrong.emplace_back(header_of(id_of(sealed), limits::kChunkSealedBytesMax + 1, limits::kChunkSealedBytesMax), 1);
  wrong.emplace_back(header_of(id_of(sealed), 1000), 1000);
  wrong.back().first.add_block_crcs(1);
  wrong.back().first.add_block_crcs(2);
  for (const auto& [put, bytes] : wrong) {
    const auto peer = peer_of(client);
    ASSERT_TRUE(send(*peer, put, ByteView(sealed).first(bytes)));
    EXPECT_EQ(peer->receive_error().reason(), wire::Error::PROTOCOL);
    EXPECT_TRUE(peer->is_ended());
  }
  EXPECT_EQ(received(client, id_of(sealed)), 0u);
  EXPECT_TRUE(client.put(sealed));
}

// Claim: whatever a client sends as parts of a chunk (wrong offsets and lengths, damaged bytes, wrong checks,
// connections that break anywhere, several at once), the server answers or ends the connection, stores nothing that
// does not match its id, and takes the chunk from whoever sends it rightly.
TEST_F(BrokenOff, ChunksOfAHostileClientHarmNobody) {
  TestClient client = enrol(new_vault("laptop"));
  std::vector<Bytes> chunks;
  for (int i = 0; i < 4; ++i) chunks.push_back(random_.bytes(1 + random_.below(200'000)));
  std::vector<std::unique_ptr<rpc::RawPeer>> open;
  const int step_count = std::getenv("COFFER_LONG") != nullptr ? 3000 : 60;
  for (int step = 0; step < step_count; ++step) {
    SCOPED_TRACE(::testing::Message() << "step " << step);
    const Bytes& chunk = chunks[random_.below(chunks.size())];
    const object::ChunkId id = id_of(chunk);
    const std::array<std::uint64_t, 4> offsets{0, client.have({id})->front().received, random_.below(chunk.size() + 1),
                                               random_.below(2 * chunk.size())};
    const std::uint64_t offset = offsets[random_.below(offsets.size())];
    const std::uint64_t length = random_.below(8) == 0 ? 1 + random_.below(2 * chunk.size()) : chunk.size();
    wire::PutChunk put = header_of(id, length, offset);
    if (random_.below(2) == 0) {
      for (const std::uint32_t crc : wire::block_crcs(chunk)) put.add_block_crcs(random_.below(4) == 0 ? crc ^ 1 : crc);
    }
    Bytes body = copy_of(ByteView(chunk).subspan(std::min<std::uint64_t>(offset, chunk.size())));
    if (random_.below(2) == 0 && !body.empty()) body[random_.below(body.size())] ^= std::byte{1};
    const Bytes frame = wire::encode_frame(Type::put_chunk, 2, as_bytes(put.SerializeAsString()), body);
    const std::size_t until = random_.below(3) == 0 ? frame.size() : random_.below(frame.size());
    auto peer = peer_of(client);
    ASSERT_TRUE(peer->send(ByteView(frame).first(until)));
    if (until == frame.size()) {
      EXPECT_TRUE(peer->receive());
    } else if (random_.below(3) == 0 && open.size() < 8) {
      open.push_back(std::move(peer));
    }
  }
  open.clear();
  for (const Bytes& chunk : chunks) {
    const auto put = client.put(chunk);
    ASSERT_TRUE(put) << put.error().what;
    EXPECT_EQ(*client.get(id_of(chunk)), chunk);
  }
}

TEST_F(BrokenOff, ChunksAreForgottenByAServerThatIsStartedAgainWhichSaysSo) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  break_off(client, sealed, 150'000);
  stop();
  start();
  EXPECT_EQ(received(client, id_of(sealed)), 0u);
  EXPECT_TRUE(client.put(sealed));
}

}  // namespace
}  // namespace coffer::service
