// What the server does to peers that break the rules. They speak raw frames over a TLS stream of their own.
#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>

#include "net/rpc/stranger_log.h"
#include "tests/net/rpc/loopback.h"
#include "tests/net/rpc/raw_peer.h"
#include "tests/testing/eventually.h"

namespace coffer::rpc {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;
using testing::eventually;
using wire::Type;

class ServerOf : public ::testing::Test {
 protected:
  void serve(ServerOptions options = {}) { loopback = std::make_unique<Loopback>(handler, ca, std::move(options)); }
  std::unique_ptr<RawPeer> peer(Result<tls::Context> context) {
    return std::make_unique<RawPeer>(loopback->port(), std::move(context));
  }
  std::unique_ptr<RawPeer> client() { return peer(tls::Context::for_client(ca.new_client(handler.client))); }
  /// Connected, greeted, and answered.
  std::unique_ptr<RawPeer> greeted() {
    auto one = client();
    EXPECT_TRUE(one->handshake());
    EXPECT_TRUE(one->hello());
    EXPECT_EQ(one->receive()->head.type, wire::answer_to(Type::hello));
    return one;
  }
  std::unique_ptr<RawPeer> stranger() { return peer(tls::Context::for_enrolment(ca.pin())); }
  std::unique_ptr<RawPeer> greeted_as(unsigned number) {
    const auto id = *object::ClientId::from(Bytes(16, std::byte(number + 1)));
    auto one = peer(tls::Context::for_client(ca.new_client(id)));
    EXPECT_TRUE(one->handshake());
    EXPECT_TRUE(one->hello());
    EXPECT_EQ(one->receive()->head.type, wire::answer_to(Type::hello));
    return one;
  }
  static Bytes put_frame(std::uint64_t request, std::size_t bytes, unsigned seed) {
    const auto chunk = chunk_of(bytes, seed);
    wire::PutChunk message;
    message.set_id(std::string(as_text(id_of(*chunk).bytes())));
    message.set_chunk_bytes(bytes);
    return wire::encode_frame(Type::put_chunk, request, as_bytes(message.SerializeAsString()), *chunk);
  }
  static void put(RawPeer& peer, std::uint64_t request, std::size_t bytes, unsigned seed) {
    ASSERT_TRUE(peer.send(put_frame(request, bytes, seed)));
  }
  /// Of 64 connections: what each has of the memory for itself.
  static constexpr std::uint64_t kShares = 64u * (128u << 10);
  /// The server lives on: another client is served.
  void expect_service() {
    auto other = greeted();
    EXPECT_TRUE(other->send(Type::ping, 2));
    EXPECT_EQ(other->receive()->head.type, wire::answer_to(Type::ping));
  }

  Ca ca;
  MemoryHandler handler;
  std::unique_ptr<Loopback> loopback;
};

TEST_F(ServerOf, StrangersLetsThemDoNothingButEnroll) {
  serve();
  for (const Type type : {Type::hello, Type::ping, Type::get_chunk}) {
    auto one = stranger();
    ASSERT_TRUE(one->handshake());
    ASSERT_TRUE(one->send(type, 7));
    const Result<Frame> frame = one->receive();
    ASSERT_TRUE(frame) << frame.error().what;
    EXPECT_EQ(frame->head.type, Type::error);
    EXPECT_EQ(frame->head.request, 7u);
    EXPECT_EQ(wire::parse<wire::Error>(frame->header)->reason(), wire::Error::REFUSED);
    EXPECT_TRUE(one->is_ended());
  }
  EXPECT_EQ(handler.count(Type::hello) + handler.count(Type::ping) + handler.count(Type::get_chunk), 0u);
}

TEST_F(ServerOf, StrangersDoesNotTrustThemAfterTheyEnrolled) {
  serve();
  handler.ca = &ca;
  auto one = stranger();
  ASSERT_TRUE(one->handshake());
  wire::Enroll message;
  message.set_secret(std::string(as_text(handler.token_secret)));
  message.set_csr(std::string(as_text(tls::make_key_pair_and_csr("x").csr_der)));
  ASSERT_TRUE(one->send(Type::enroll, 1, as_bytes(message.SerializeAsString())));
  EXPECT_EQ(one->receive()->head.type, wire::answer_to(Type::enroll));
  ASSERT_TRUE(one->send(Type::get_chunk, 2));
  EXPECT_EQ(one->receive_error().reason(), wire::Error::REFUSED);
  EXPECT_TRUE(one->is_ended());
}

TEST_F(ServerOf, OldProtocolsRefusesTls12) {
  serve();
  const auto context = tls::Context::for_client(ca.new_client(handler.client)).value();
  SSL_CTX_set_min_proto_version(context.native(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context.native(), TLS1_2_VERSION);
  EXPECT_FALSE(peer(context)->handshake());
  expect_service();
}

TEST_F(ServerOf, OtherProtocolsRefusesAnotherAlpn) {
  serve();
  const auto context = tls::Context::for_client(ca.new_client(handler.client)).value();
  const unsigned char http[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.native(), http, sizeof(http));
  EXPECT_FALSE(peer(context)->handshake());
  SSL_CTX_set_alpn_protos(context.native(), nullptr, 0);
  auto none = peer(context);
  EXPECT_TRUE(!none->handshake() || none->is_ended());
  EXPECT_EQ(handler.count(Type::hello), 0u);
}

TEST_F(ServerOf, SessionsGivesNoTicketsToResumeOne) {
  serve();
  const auto context = tls::Context::for_client(ca.new_client(handler.client)).value();
  SSL_CTX_clear_options(context.native(), SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.native(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  static std::atomic<int> tickets;
  tickets = 0;
  SSL_CTX_sess_set_new_cb(context.native(), [](SSL*, SSL_SESSION*) { return ++tickets, 0; });
  auto one = peer(context);
  ASSERT_TRUE(one->handshake());
  ASSERT_TRUE(one->hello());
  ASSERT_TRUE(one->receive());
  EXPECT_EQ(tickets, 0);
}

TEST_F(ServerOf, RudePeersEndsTheSessionOfOneThatDoesNotGreet) {
  serve();
  auto one = client();
  ASSERT_TRUE(one->handshake());
  ASSERT_TRUE(one->send(Type::ping, 3));
  EXPECT_EQ(one->receive_error().reason(), wire::Error::PROTOCOL);
  EXPECT_TRUE(one->is_ended());
}

TEST_F(ServerOf, RudePeersEndsTheSessionOfOneThatGreetsTwice) {
  serve();
  auto one = greeted();
  ASSERT_TRUE(one->hello());
  EXPECT_EQ(one->receive_error().reason(), wire::Error::PROTOCOL);
  EXPECT_TRUE(one->is_ended());
}

TEST_F(ServerOf, RudePeersEndsTheSessionAndServesOthersAfterGarbage) {
  serve();
  Bytes oversized_header = wire::encode_frame(Type::have, 2, {}, {});
  Bytes oversized_body = wire::encode_frame(Type::append_commit, 2, {}, {});
  const auto put = [](Bytes& frame, std::size_t at, std::uint32_t value) { std::memcpy(frame.data() + at, &value, 4); };
  put(oversized_header, 0, 16 + (2u << 20));
  put(oversized_header, 16, 2u << 20);
  put(oversized_body, 0, 0xffff'ffffu);
  Bytes contradiction = wire::encode_frame(Type::have, 2, {}, {});
  put(contradiction, 16, 1);
  Bytes too_long_chunk = wire::encode_frame(Type::put_chunk, 2, {}, {});
  put(too_long_chunk, 0, 16 + limits::kChunkSealedBytesMax + 1);
  for (const Bytes& garbage : {Bytes(100, std::byte{0xab}), Bytes(20, std::byte{0}), oversized_header, oversized_body,
                               contradiction, too_long_chunk}) {
    auto one = greeted();
    ASSERT_TRUE(one->send(garbage));
    EXPECT_EQ(one->receive_error().reason(), wire::Error::PROTOCOL);
    EXPECT_TRUE(one->is_ended());
  }
  expect_service();
}

TEST_F(ServerOf, RudePeersAnswersAHeaderThatIsNoMessageAndEnds) {
  serve();
  auto one = greeted();
  ASSERT_TRUE(one->send(Type::have, 2, Bytes(5, std::byte{0xff})));
  EXPECT_EQ(one->receive_error().reason(), wire::Error::PROTOCOL);
  EXPECT_TRUE(one->is_ended());
}

TEST_F(ServerOf, NewerPeersAnswersAnUnknownTypeAndGoesOn) {
  serve();
  auto one = greeted();
  ASSERT_TRUE(one->send(static_cast<Type>(99), 2, Bytes(10, std::byte{1}), Bytes(100'000, std::byte{2})));
  const wire::Error error = one->receive_error();
  EXPECT_EQ(error.reason(), wire::Error::ANSWER);
  EXPECT_EQ(error.code(), ENOSYS);
  ASSERT_TRUE(one->send(Type::ping, 3));
  EXPECT_EQ(one->receive()->head.type, wire::answer_to(Type::ping));
}

TEST_F(ServerOf, SlowPeersEndsOneThatDoesNotFinishItsHandshake) {
  serve({.host = "", .port = 0, .files = {}, .handshake_deadline = 50ms});
  auto silent = client();
  auto mute = client();
  ASSERT_TRUE(mute->handshake());
  EXPECT_TRUE(mute->is_ended());
  EXPECT_TRUE(eventually([&] { return loopback->server().session_count() == 0; }));
}

TEST_F(ServerOf, SlowPeersEndsAnIdleOneButNotOneThatWaits) {
  serve({.host = "", .port = 0, .files = {}, .idle_deadline = 50ms});
  auto waiting = greeted();
  handler.hold(Type::ping);
  ASSERT_TRUE(waiting->send(Type::ping, 2));
  auto idle = greeted();
  EXPECT_TRUE(idle->is_ended());
  handler.let_go();
  EXPECT_EQ(waiting->receive()->head.type, wire::answer_to(Type::ping));
}

// Claim: however much a peer sends, the server takes no more than its bounds before it has answered.
TEST_F(ServerOf, GreedyPeersReadsNoMoreThanFitsTheBounds) {
  serve({.host = "", .port = 0, .files = {}, .requests_in_flight_max = 4, .bytes_in_flight_max = 1u << 20});
  handler.hold(Type::put_chunk);
  auto one = greeted();
  const auto chunk = chunk_of(100'000, 1);
  wire::PutChunk message;
  message.set_id(std::string(as_text(id_of(*chunk).bytes())));
  const std::string header = message.SerializeAsString();
  // What the kernel takes of 20 MB is not known beforehand: the sender is a coroutine that gets stuck.
  TaskGroup tasks(one->io().get_executor());
  const auto flood = [&]() -> awaitable<void> {
    for (unsigned i = 0; i < 200; ++i) {
      const Bytes frame = wire::encode_frame(Type::put_chunk, i, as_bytes(header), *chunk);
      const Result<void> written = co_await one->stream().write(frame);
      if (!written) co_return;
    }
    static_cast<void>(co_await one->stream().flush());
  };
  tasks.start(flood());
  one->io().restart();
  const auto pumped = [&] {
    one->io().run_for(10ms);
    return handler.held_count() == 4;
  };
  EXPECT_TRUE(eventually(pumped));
  EXPECT_EQ(handler.held_count_max(), 4u);
  handler.let_go();
  EXPECT_TRUE(eventually([&] {
    one->io().run_for(10ms);
    return handler.count(Type::put_chunk) == 200;
  }));
  EXPECT_LE(handler.held_count_max(), 4u);
  one->stream().close();
  one->io().run_for(1s);
}

// The same by bytes: get_chunk counts what it may return.
TEST_F(ServerOf, GreedyPeersCountsTheAnswersThatTheyAskFor) {
  serve({.host = "", .port = 0, .files = {}, .requests_in_flight_max = 100, .bytes_in_flight_max = 3u << 20});
  handler.hold(Type::get_chunk);
  auto one = greeted();
  wire::GetChunk message;
  message.set_bytes(1u << 20);
  message.set_id(std::string(32, 'x'));
  for (unsigned i = 0; i < 50; ++i) ASSERT_TRUE(one->send(Type::get_chunk, i, as_bytes(message.SerializeAsString())));
  EXPECT_TRUE(eventually([&] { return handler.held_count() == 2; }));
  handler.let_go();
  for (unsigned i = 0; i < 50; ++i) EXPECT_EQ(one->receive_error().code(), ENOENT);
  EXPECT_EQ(handler.held_count_max(), 2u);
}

// Claim: what all connections hold together is bounded, however many there are and though each asks for one thing only;
// each gets its turn, and a small request needs none.
TEST_F(ServerOf, ManyPeersHoldsNoMoreForAllOfThemThanItsBound) {
  serve({.host = "", .port = 0, .files = {}, .sessions_max = 64, .memory_bytes_max = kShares + 2'100'000});
  handler.hold(Type::put_chunk);
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (unsigned i = 0; i < 40; ++i) {
    peers.push_back(greeted_as(i));
    put(*peers.back(), 2, 400'000, i);
  }
  EXPECT_TRUE(eventually([&] { return handler.held_count() == 5; }));
  EXPECT_FALSE(eventually([&] { return handler.held_count() > 5; }, 200ms));
  expect_service();
  handler.let_go();
  for (const auto& peer : peers) EXPECT_EQ(peer->receive()->head.type, wire::answer_to(Type::put_chunk));
  EXPECT_LE(handler.held_count_max(), 6u) << "and a ping";
}

// Claim: a client that fills the memory with its connections does not keep another out.
TEST_F(ServerOf, GreedyPeersLeavesRoomForAnotherClient) {
  serve({.host = "", .port = 0, .files = {}, .sessions_max = 64, .memory_bytes_max = kShares + 1'000'000});
  handler.hold(Type::put_chunk);
  std::vector<std::unique_ptr<RawPeer>> greedy;
  for (unsigned i = 0; i < 8; ++i) {
    greedy.push_back(greeted_as(1));
    put(*greedy.back(), 2, 200'000, i);
  }
  EXPECT_TRUE(eventually([&] { return handler.held_count() == 3; }));
  EXPECT_FALSE(eventually([&] { return handler.held_count() > 3; }, 200ms));
  auto modest = greeted_as(2);
  put(*modest, 2, 200'000, 99);
  EXPECT_TRUE(eventually([&] { return handler.held_count() == 4; }));
  handler.let_go();
  EXPECT_TRUE(modest->receive());
  for (const auto& peer : greedy) EXPECT_TRUE(peer->receive());
}

// Claim: who holds memory that others wait for, and lets hardly anything of it come, makes room.
TEST_F(ServerOf, SlowPeersEndsOneWhomOthersWaitFor) {
  serve({.host = "",
         .port = 0,
         .files = {},
         .sessions_max = 64,
         .memory_bytes_max = kShares + 300'000,
         .pressed_window = 200ms});
  auto slow = greeted_as(1);
  const Bytes frame = put_frame(2, 200'000, 1);
  ASSERT_TRUE(slow->send(ByteView(frame).first(100'000)));
  EXPECT_FALSE(eventually([&] { return loopback->server().session_count() == 0; }, 500ms)) << "nobody waits yet";
  auto other = greeted_as(2);
  put(*other, 2, 200'000, 2);
  EXPECT_TRUE(other->receive());
  EXPECT_TRUE(slow->is_ended());
}

// Claim: a long header is taken only where nothing comes behind it: it would be held while the rest waits in line.
TEST_F(ServerOf, RudePeersEndsTheSessionOfOneWithALongHeaderBeforeABody) {
  serve();
  auto one = greeted();
  ASSERT_TRUE(one->send(Type::put_chunk, 2, Bytes(65'537, std::byte{1}), Bytes(10, std::byte{2})));
  const wire::Error error = one->receive_error();
  EXPECT_EQ(error.reason(), wire::Error::PROTOCOL);
  EXPECT_EQ(error.what(), "header too long");
  auto another = greeted();
  ASSERT_TRUE(another->send(Type::have, 2, Bytes(65'537, std::byte{0xff})));
  EXPECT_EQ(another->receive_error().what(), wire::parse<wire::Have>(Bytes(5, std::byte{0xff})).error().what);
}

// Claim: a body that drips in is ended, however steadily: its room is held for it.
TEST_F(ServerOf, SlowPeersEndsOneWhoseBodyDrips) {
  serve({.host = "", .port = 0, .files = {}, .pace_window = 200ms, .pace_bytes_min = 50'000});
  auto one = greeted();
  const auto chunk = chunk_of(100'000, 1);
  wire::PutChunk message;
  message.set_id(std::string(as_text(id_of(*chunk).bytes())));
  const Bytes frame = wire::encode_frame(Type::put_chunk, 2, as_bytes(message.SerializeAsString()), *chunk);
  std::size_t at = frame.size() - chunk->size();
  ASSERT_TRUE(one->send(ByteView(frame).first(at)));
  EXPECT_TRUE(eventually([&] {
    if (at < frame.size()) (void)one->send(ByteView(frame).subspan(at++, 1));
    return loopback->server().session_count() == 0;
  }));
  EXPECT_LT(at, frame.size());
  expect_service();
}

// Claim: a stranger who fills the server pushes his own connections out, and not that of a client elsewhere which is
// slow to greet, though that one is the oldest.
TEST_F(ServerOf, ManyPeersMakesRoomAtTheAddressThatHasTheMostStrangers) {
  serve({.host = "127.0.0.1", .port = 0, .files = {}, .sessions_max = 4});
  auto slow = client();
  ASSERT_TRUE(eventually([&] { return loopback->server().session_count() == 1; }));
  std::vector<std::unique_ptr<RawPeer>> strangers;
  for (std::size_t i = 0; i < 12; ++i) {
    strangers.push_back(
        std::make_unique<RawPeer>(loopback->port(), tls::Context::for_enrolment(ca.pin()), "127.0.0.2"));
    // The one that was told to go is gone before the next comes.
    const std::size_t count = std::min<std::size_t>(i + 2, 4);
    ASSERT_TRUE(eventually([&] { return loopback->server().session_count() == count; }));
  }
  EXPECT_TRUE(slow->handshake());
  EXPECT_TRUE(slow->hello());
  EXPECT_TRUE(slow->receive());
}

TEST(AStrangerLog, WritesSoManyLinesAndSaysHowManyItLeftOut) {
  StrangerLog log;
  const StrangerLog::Time began{1h};
  for (std::uint64_t i = 0; i < StrangerLog::kLinesMax; ++i) EXPECT_EQ(log.admit(began), 0u);
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(log.admit(began + StrangerLog::kWindow - 1ns));
  EXPECT_EQ(log.admit(began + StrangerLog::kWindow), 7u);
  EXPECT_EQ(log.admit(began + StrangerLog::kWindow), 0u);
}

TEST_F(ServerOf, ManyPeersTurnsAwayMoreThanItsBound) {
  serve({.host = "", .port = 0, .files = {}, .sessions_max = 1});
  auto first = greeted();
  auto second = client();
  EXPECT_FALSE(second->handshake());
  ASSERT_TRUE(first->send(Type::ping, 2));
  EXPECT_TRUE(first->receive());
}

TEST_F(ServerOf, RevokedPeersTellsThemAndCutsThemAtOnce) {
  serve();
  auto one = greeted();
  loopback->server().for_each_session([](Session& session) {
    EXPECT_TRUE(session.peer()->client);
    EXPECT_EQ(session.peer()->subject, "CN=laptop");
    session.close("revoked");
  });
  const wire::Error error = one->receive_error();
  EXPECT_EQ(error.reason(), wire::Error::REFUSED);
  EXPECT_EQ(error.what(), "revoked");
  EXPECT_TRUE(one->is_ended());
}

TEST_F(ServerOf, RevokedPeersCutsEvenThoseThatDoNotRead) {
  serve();
  auto one = greeted();
  const auto started = std::chrono::steady_clock::now();
  loopback->server().for_each_session([](Session& session) { session.close("revoked"); });
  EXPECT_TRUE(eventually([&] { return loopback->server().session_count() == 0; }));
  EXPECT_LT(std::chrono::steady_clock::now() - started, 1s);
}

TEST_F(ServerOf, ItselfSaysWhatIsWrongWithItsFilesOrItsPort) {
  serve();
  asio::io_context io;
  ServerOptions options;
  options.host = "127.0.0.1";
  options.port = loopback->port();
  options.files = ca.server_files();
  const auto in_use = Server(io, options, handler).listen();
  ASSERT_FALSE(in_use);
  EXPECT_EQ(in_use.error().code, EADDRINUSE);
  options.files.key = ca.path("absent");
  const auto no_key = Server(io, options, handler).listen();
  ASSERT_FALSE(no_key);
  EXPECT_THAT(no_key.error().what, ::testing::HasSubstr("absent"));
}

}  // namespace
}  // namespace coffer::rpc
