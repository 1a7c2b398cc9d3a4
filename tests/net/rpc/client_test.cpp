// Client and Server, end to end over TLS on loopback.
#include <gmock/gmock.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <fstream>
#include <vector>

#include "tests/net/rpc/loopback.h"
#include "tests/testing/eventually.h"

namespace coffer::rpc {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using wire::Type;

class ClientAndServer : public ::testing::Test {
 protected:
  ClientAndServer() : identity(ca.new_client(handler.client)) { handler.ca = &ca; }

  Client& start_client(ClientOptions options) {
    client = std::make_unique<Client>(std::move(options), os::real_random());
    client->start();
    return *client;
  }
  Client& start_client() { return start_client(client_options(loopback, identity, handler.vault)); }

  Result<PutChunkDone> put(const std::shared_ptr<const Bytes>& chunk, Deadline deadline = soon()) {
    return wait<PutChunkDone>(
        [&](auto done) { client->put_chunk(id_of(*chunk), chunk, 0, deadline, std::move(done)); });
  }
  Result<Bytes> get(const object::ChunkId& id) {
    return wait<Bytes>([&](auto done) { client->get_chunk(id, soon(), std::move(done)); });
  }
  Result<VaultState> ping(Deadline deadline = soon()) {
    return wait<VaultState>([&](auto done) { client->ping(deadline, std::move(done)); });
  }

  Ca ca;
  MemoryHandler handler;
  ClientIdentity identity;
  Loopback loopback{handler, ca};
  std::unique_ptr<Client> client;
};

TEST_F(ClientAndServer, AgreeOnWhoTheClientIsAndWhatItMayUse) {
  start_client();
  ASSERT_TRUE(client->wait_online(soon()));
  EXPECT_EQ(client->link(), Link::online);
  EXPECT_EQ(client->why(), "");
  const auto facts = client->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->client, handler.client);
  EXPECT_EQ(facts->client_name, "laptop");
  EXPECT_EQ(facts->receipt_key, handler.receipt_key.public_key());
  ASSERT_EQ(facts->vaults.size(), 1u);
  EXPECT_EQ(facts->vaults[0].id, handler.vault);
  EXPECT_EQ(facts->vaults[0].quota_bytes, 1000u);
}

TEST_F(ClientAndServer, CarryChunksUnchangedInBothDirections) {
  start_client();
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{16384}, std::size_t{1u << 20}, limits::kChunkSealedBytesMax}) {
    SCOPED_TRACE(bytes);
    const auto chunk = chunk_of(bytes, 1);
    const auto first = put(chunk);
    ASSERT_TRUE(first) << first.error().what;
    EXPECT_FALSE(first->was_stored);
    EXPECT_TRUE(put(chunk)->was_stored);
    const auto back = get(id_of(*chunk));
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_TRUE(std::ranges::equal(*back, *chunk));
  }
  EXPECT_GT(client->bytes_sent(), 2 * limits::kChunkSealedBytesMax);
  EXPECT_GT(client->bytes_received(), limits::kChunkSealedBytesMax);
}

TEST_F(ClientAndServer, CarryEveryOtherRequest) {
  start_client();
  const auto kept = chunk_of(100, 3);
  const auto bad = chunk_of(100, 4);
  const auto absent = id_of(*chunk_of(100, 5));
  ASSERT_TRUE(put(kept));
  ASSERT_TRUE(put(bad));
  handler.damage(id_of(*bad));
  const std::vector<object::ChunkId> ids{id_of(*kept), id_of(*bad), absent};

  const auto have = wait<std::vector<HaveState>>([&](auto done) { client->have(ids, soon(), std::move(done)); });
  ASSERT_TRUE(have);
  ASSERT_EQ(have->size(), 3u);
  EXPECT_TRUE((*have)[0].stored);
  EXPECT_EQ((*have)[0].received, 100u);
  EXPECT_FALSE((*have)[2].stored);

  const auto verified =
      wait<std::vector<VerifyState>>([&](auto done) { client->verify_chunks(ids, soon(), std::move(done)); });
  ASSERT_TRUE(verified);
  EXPECT_THAT(*verified, ::testing::ElementsAre(VerifyState::good, VerifyState::damaged, VerifyState::missing));

  const Bytes commit(1000, std::byte{1});
  const auto receipt =
      wait<object::Receipt>([&](auto done) { client->append_commit(commit, soon(), std::move(done)); });
  ASSERT_TRUE(receipt) << receipt.error().what;
  EXPECT_EQ(receipt->seq, 1u);
  const auto page = wait<CommitPage>([&](auto done) { client->get_commits(1, 1000, 0ms, soon(), std::move(done)); });
  ASSERT_TRUE(page);
  EXPECT_EQ(page->head_seq, 1u);
  EXPECT_THAT(page->commits, ::testing::ElementsAre(commit));

  const auto lease = wait<LeaseGrant>([&](auto done) { client->acquire_lease(false, soon(), std::move(done)); });
  ASSERT_TRUE(lease);
  EXPECT_TRUE(lease->granted);
  EXPECT_EQ(lease->epoch, 5u);
  EXPECT_EQ(lease->ttl, 30s);
  EXPECT_EQ(*wait<std::chrono::milliseconds>([&](auto done) { client->renew_lease(5, soon(), std::move(done)); }), 20s);
  EXPECT_TRUE(wait<void>([&](auto done) { client->release_lease(5, soon(), std::move(done)); }));

  const auto put_slot = [&](bool only_if_first) {
    return wait<std::uint64_t>(
        [&](auto done) { client->put_key_slot(Bytes(3, std::byte{8}), only_if_first, soon(), std::move(done)); });
  };
  EXPECT_EQ(*put_slot(true), 1u);
  const auto second = put_slot(true);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().fault, Fault::refused);
  EXPECT_EQ(second.error().code, EEXIST);
  EXPECT_EQ(*put_slot(false), 2u);
  EXPECT_TRUE(wait<void>([&](auto done) { client->remove_key_slot(1, soon(), std::move(done)); }));
  const auto slots = wait<std::vector<KeySlot>>([&](auto done) { client->get_key_slots(soon(), std::move(done)); });
  ASSERT_TRUE(slots);
  ASSERT_EQ(slots->size(), 1u);
  EXPECT_EQ((*slots)[0].number, 2u);
  EXPECT_EQ((*slots)[0].slot, Bytes(3, std::byte{8}));

  EXPECT_EQ(ping()->head_seq, 3u);
  const auto renewed = wait<RenewedCertificate>([&](auto done) {
    client->renew_certificate(tls::make_key_pair_and_csr("laptop").csr_der, soon(), std::move(done));
  });
  ASSERT_TRUE(renewed);
  EXPECT_EQ(tls::read_certificate(renewed->certificate_pem)->client, handler.client);
}

TEST_F(ClientAndServer, SayWhatIsWrongWithAChunk) {
  start_client();
  const auto chunk = chunk_of(5000, 6);
  const auto wrong = wait<PutChunkDone>(
      [&](auto done) { client->put_chunk(id_of(*chunk_of(5000, 7)), chunk, 0, soon(), std::move(done)); });
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().fault, Fault::corrupt);
  EXPECT_TRUE(put(chunk)) << "the session goes on";

  handler.damage(id_of(*chunk));
  const auto damaged = get(id_of(*chunk));
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().fault, Fault::corrupt);
  const auto absent = get(id_of(*chunk_of(5000, 8)));
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().fault, Fault::answer);
  EXPECT_EQ(absent.error().code, ENOENT);
}

TEST_F(ClientAndServer, MapEachErrorToWhatCanBeDoneAboutIt) {
  start_client();
  const auto told = [&](Error error) {
    handler.fail_next(Type::ping, std::move(error));
    return ping().error();
  };
  EXPECT_EQ(told({Fault::refused, EACCES, "no"}).fault, Fault::refused);
  const Error quota = told({Fault::full, EDQUOT, "quota"});
  EXPECT_EQ(quota.fault, Fault::refused);
  EXPECT_EQ(quota.code, EDQUOT);
  const Error disk = told({Fault::local_io, EIO, "/srv/secret/path"});
  EXPECT_EQ(disk.fault, Fault::offline);
  EXPECT_THAT(disk.what, ::testing::Not(::testing::HasSubstr("secret")));
  EXPECT_EQ(told({Fault::answer, 0, "nothing"}).fault, Fault::protocol) << "an answer that is none";
  handler.fail_next(Type::ping, {Fault::stopped, 0, "busy"});
  EXPECT_TRUE(ping()) << "asked again";
  EXPECT_EQ(told({Fault::protocol, 0, "header"}).fault, Fault::protocol);
  EXPECT_TRUE(ping()) << "on a new connection";
}

// Claim: a chunk that comes damaged is asked for again; after three times its reader is told, and nobody else waits.
TEST_F(ClientAndServer, AskThreeTimesForAChunkThatComesDamaged) {
  start_client();
  const auto chunk = chunk_of(5000, 6);
  ASSERT_TRUE(put(chunk));
  handler.spoil_reads(2);
  const auto good = get(id_of(*chunk));
  ASSERT_TRUE(good) << good.error().what;
  EXPECT_EQ(*good, *chunk);
  EXPECT_EQ(handler.count(Type::get_chunk), 3u);
  handler.spoil_reads(3);
  const auto bad = get(id_of(*chunk));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().fault, Fault::corrupt);
  EXPECT_EQ(handler.count(Type::get_chunk), 6u);
}

TEST_F(ClientAndServer, ReadOnceTheServersDiskWorksAgain) {
  start_client();
  const auto chunk = chunk_of(5000, 6);
  ASSERT_TRUE(put(chunk));
  handler.fail_next(Type::get_chunk, {Fault::local_io, EIO, "disk"});
  EXPECT_TRUE(get(id_of(*chunk)));
}

TEST_F(ClientAndServer, FailACommitWhoseReceiptIsNotTheServers) {
  handler.forges_receipts = true;
  start_client();
  const auto receipt = wait<object::Receipt>(
      [&](auto done) { client->append_commit(Bytes(10, std::byte{1}), soon(), std::move(done)); });
  ASSERT_FALSE(receipt);
  EXPECT_EQ(receipt.error().fault, Fault::corrupt);
}

TEST_F(ClientAndServer, FailACommitWhoseReceiptIsForAnotherVault) {
  start_client(client_options(loopback, identity, *object::VaultId::from(Bytes(16, std::byte{1}))));
  const auto receipt = wait<object::Receipt>(
      [&](auto done) { client->append_commit(Bytes(10, std::byte{1}), soon(), std::move(done)); });
  ASSERT_FALSE(receipt);
  EXPECT_EQ(receipt.error().fault, Fault::corrupt);
}

TEST_F(ClientAndServer, EndARequestAtItsDeadline) {
  start_client();
  ASSERT_TRUE(ping());
  handler.hold(Type::ping);
  const auto late = ping(in(50ms));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().fault, Fault::offline);
  handler.let_go();
  EXPECT_TRUE(ping());
}

TEST_F(ClientAndServer, LetSmallRequestsPassWhileChunksWait) {
  start_client();
  handler.hold(Type::put_chunk);
  std::atomic<int> stored = 0;
  for (unsigned i = 0; i < 100; ++i) {
    const auto chunk = chunk_of(100'000, i);
    client->put_chunk(id_of(*chunk), chunk, 0, soon(),
                      [&](const Result<PutChunkDone>& done) { stored += done ? 1 : 0; });
  }
  EXPECT_TRUE(ping());
  EXPECT_EQ(stored, 0);
  handler.let_go();
  EXPECT_TRUE(eventually([&] { return stored == 100; }));
}

TEST_F(ClientAndServer, LetACommitPassWhileAPollForCommitsWaits) {
  handler.window_bytes = 12u << 20;
  start_client();
  handler.hold(Type::get_commits);
  std::promise<Result<CommitPage>> polled;
  client->get_commits(1, 8u << 20, 20s, soon(), [&](auto page) { polled.set_value(std::move(page)); });
  ASSERT_TRUE(eventually([&] { return handler.held_count() == 1; }));
  const Bytes commit(5u << 20, std::byte{1});
  EXPECT_TRUE(wait<object::Receipt>([&](auto done) { client->append_commit(commit, in(5s), std::move(done)); }));
  handler.let_go();
  EXPECT_TRUE(polled.get_future().get());
}

// Claim: a chunk that comes alone need not wait for a connection of its own, which takes four round trips.
TEST_F(ClientAndServer, ExchangeAFewChunksOnTheConnectionThatIsThere) {
  start_client();
  ASSERT_TRUE(ping());
  const auto chunk = chunk_of(1'000'000, 1);
  EXPECT_TRUE(put(chunk));
  EXPECT_TRUE(get(id_of(*chunk)));
  EXPECT_EQ(loopback.server().session_count(), 1u);
}

TEST_F(ClientAndServer, OpenFurtherConnectionsOnlyForManyChunks) {
  start_client();
  ASSERT_TRUE(ping());
  EXPECT_EQ(loopback.server().session_count(), 1u);
  handler.hold(Type::put_chunk);
  for (unsigned i = 0; i < 16; ++i) {
    const auto chunk = chunk_of(1000, i);
    client->put_chunk(id_of(*chunk), chunk, 0, soon(), [](const Result<PutChunkDone>&) {});
  }
  EXPECT_TRUE(eventually([&] { return loopback.server().session_count() == 4; }));
  handler.let_go();
}

TEST_F(ClientAndServer, GoOnWhenTheServerComesBack) {
  start_client();
  ASSERT_TRUE(ping());
  handler.hold(Type::put_chunk);
  std::atomic<int> stored = 0;
  std::atomic<int> failed = 0;
  for (unsigned i = 0; i < 10; ++i) {
    const auto chunk = chunk_of(100'000, i);
    client->put_chunk(id_of(*chunk), chunk, 0, soon(),
                      [&](const Result<PutChunkDone>& done) { ++(done ? stored : failed); });
  }
  ASSERT_TRUE(eventually([&] { return handler.held_count() > 0; }));
  std::thread release([&] {
    eventually([&] { return client->link() == Link::offline; });
    handler.let_go();
  });
  loopback.stop(0ms);
  release.join();
  EXPECT_EQ(client->link(), Link::offline);
  EXPECT_NE(client->why(), "");
  EXPECT_EQ(ping(in(50ms)).error().fault, Fault::offline);
  loopback.start();
  EXPECT_TRUE(eventually([&] { return stored == 10; }));
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(client->link(), Link::online);
}

// Claim: a client whose pause between attempts has grown long goes online soon after somebody begins to wait, and while
// he waits it tries about once a second: no less, and no more.
TEST_F(ClientAndServer, MeetSoonWhereSomebodyWaits) {
  ClientOptions options = client_options(loopback, identity, handler.vault);
  options.retry_min = options.retry_max = 1min;
  loopback.stop();
  start_client(options);
  ASSERT_TRUE(eventually([&] { return client->link() == Link::offline; }));
  loopback.start();
  const auto begun = std::chrono::steady_clock::now();
  client->somebody_waits(true);
  EXPECT_TRUE(eventually([&] { return client->link() == Link::online; }, 5s));
  client->somebody_waits(false);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

TEST_F(ClientAndServer, AreNotTriedMoreThanOnceASecondByWhoeverWaits) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor silent(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  ClientOptions options = client_options(loopback, identity, handler.vault);
  options.server.port = silent.local_endpoint().port();
  options.retry_min = options.retry_max = 1min;
  start_client(options);
  client->somebody_waits(true);
  std::vector<std::chrono::steady_clock::time_point> tries;
  for (int i = 0; i < 3; ++i) {
    silent.accept().close();  // No handshake: the attempt has failed.
    tries.push_back(std::chrono::steady_clock::now());
  }
  EXPECT_GT(tries[2] - tries[0], 1800ms);
  EXPECT_LT(tries[2] - tries[0], 10s);
  client->somebody_waits(false);
}

TEST_F(ClientAndServer, AnswerWhatIsInFlightBeforeTheServerStops) {
  start_client();
  ASSERT_TRUE(ping());
  handler.hold(Type::renew_lease);
  std::promise<Result<std::chrono::milliseconds>> renewed;
  client->renew_lease(5, soon(), [&](auto done) { renewed.set_value(std::move(done)); });
  ASSERT_TRUE(eventually([&] { return handler.held_count() > 0; }));
  std::thread stop([&] { loopback.stop(10s); });
  EXPECT_TRUE(eventually([&] { return !ping(in(50ms)); })) << "what is new is refused as busy";
  handler.let_go();
  const auto answer = renewed.get_future().get();
  stop.join();
  EXPECT_TRUE(answer) << answer.error().what;
}

TEST_F(ClientAndServer, CallEachDoneOnceWhenTheClientStops) {
  start_client();
  handler.hold(Type::ping);
  handler.hold(Type::put_chunk);
  std::atomic<int> stopped = 0;
  std::atomic<int> other = 0;
  const auto count = [&](const auto& result) {
    ++(!result && result.error().fault == Fault::stopped ? stopped : other);
  };
  for (unsigned i = 0; i < 50; ++i) {
    client->ping(soon(), [&](const Result<VaultState>& done) { count(done); });
    const auto chunk = chunk_of(10'000, i);
    client->put_chunk(id_of(*chunk), chunk, 0, soon(), [&](const Result<PutChunkDone>& done) { count(done); });
  }
  ASSERT_TRUE(eventually([&] { return handler.held_count() > 0; }));
  client->stop();
  EXPECT_EQ(stopped, 100);
  client->ping(soon(), [&](const Result<VaultState>& done) { count(done); });
  EXPECT_EQ(stopped, 101);
  EXPECT_EQ(other, 0);
  handler.let_go();
}

TEST_F(ClientAndServer, StopBeforeTheyStarted) {
  std::atomic<int> stopped = 0;
  {
    Client never(client_options(loopback, identity, handler.vault), os::real_random());
    never.ping(soon(),
               [&](const Result<VaultState>& done) { stopped += done.error().fault == Fault::stopped ? 1 : 0; });
  }
  EXPECT_EQ(stopped, 1);
}

TEST_F(ClientAndServer, StopSoonWhileANameIsBeingResolved) {
  ClientOptions options = client_options(loopback, identity, handler.vault);
  options.server.host = "name.that.does.not.exist.invalid";
  start_client(std::move(options));
  const auto started = std::chrono::steady_clock::now();
  client->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - started, 5s);
}

TEST_F(ClientAndServer, NoticeAServerThatSaysNothing) {
  ClientOptions options = client_options(loopback, identity, handler.vault);
  options.keepalive = {.idle = 30ms, .lost = 60ms};
  start_client(std::move(options));
  ASSERT_TRUE(ping());
  EXPECT_TRUE(eventually([&] { return handler.count(Type::ping) >= 3; })) << "a silent connection is asked";
  handler.hold(Type::ping);
  EXPECT_TRUE(eventually([&] { return client->link() == Link::offline; }));
  handler.let_go();
  EXPECT_TRUE(client->wait_online(soon()));
}

// Claim: a server that is stopped is noticed though its kernel goes on taking requests; before the window is full of
// them.
TEST_F(ClientAndServer, NoticeASilentServerWhoseKernelStillTakesRequests) {
  ClientOptions options = client_options(loopback, identity, handler.vault);
  options.keepalive = {.idle = 30ms, .lost = 400ms};
  start_client(std::move(options));
  ASSERT_TRUE(ping());
  handler.hold(Type::ping);
  handler.hold(Type::renew_lease);
  int count = 0;
  auto next = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] {
    if (std::chrono::steady_clock::now() >= next) {
      client->renew_lease(1, soon(), [](const auto&) {});
      ++count;
      next += 100ms;
    }
    return client->link() == Link::offline;
  }));
  EXPECT_LT(count, 20);
  handler.let_go();
}

TEST_F(ClientAndServer, TellOfEachChangeOfTheLink) {
  Mutex mutex;
  std::vector<Link> links;
  client = std::make_unique<Client>(client_options(loopback, identity, handler.vault), os::real_random());
  client->on_link_change([&](Link link) {
    const MutexLock lock(mutex);
    links.push_back(link);
  });
  client->start();
  ASSERT_TRUE(client->wait_online(soon()));
  loopback.stop(0ms);
  ASSERT_TRUE(eventually([&] { return client->link() == Link::offline; }));
  client->stop();
  const MutexLock lock(mutex);
  EXPECT_THAT(links, ::testing::ElementsAre(Link::online, Link::offline));
}

TEST_F(ClientAndServer, UseANewCertificateAfterReload) {
  const ClientIdentity longer = ca.new_client(handler.client, 2h);
  start_client();
  ASSERT_TRUE(ping());
  std::filesystem::copy_file(longer.certificate_file, identity.certificate_file,
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::copy_file(longer.key_file, identity.key_file, std::filesystem::copy_options::overwrite_existing);
  client->reload_identity();
  const auto wanted = tls::read_certificate([&] {
                        std::ifstream file(longer.certificate_file);
                        return std::string(std::istreambuf_iterator<char>(file), {});
                      }())
                          ->serial;
  EXPECT_TRUE(eventually([&] {
    bool is_used = false;
    loopback.server().for_each_session([&](Session& session) {
      if (session.peer() && session.peer()->serial == wanted) is_used = true;
    });
    return is_used;
  }));
  EXPECT_TRUE(ping());
}

// ---- who is let in

TEST_F(ClientAndServer, RefuseAClientOfAForeignCa) {
  const Ca foreign;
  ClientIdentity stranger = foreign.new_client(handler.client);
  stranger.ca_file = identity.ca_file;
  start_client(client_options(loopback, stranger, handler.vault));
  const auto online = client->wait_online(soon());
  ASSERT_FALSE(online);
  EXPECT_EQ(online.error().fault, Fault::refused) << online.error().what;
  EXPECT_EQ(ping().error().fault, Fault::refused) << "at once, not at the deadline";
  EXPECT_EQ(handler.count(Type::hello), 0u);
}

TEST_F(ClientAndServer, RefuseAnExpiredCertificate) {
  start_client(client_options(loopback, ca.new_client(handler.client, -1h), handler.vault));
  const auto online = client->wait_online(soon());
  ASSERT_FALSE(online);
  EXPECT_EQ(online.error().fault, Fault::refused) << online.error().what;
  EXPECT_EQ(handler.count(Type::hello), 0u);
}

TEST_F(ClientAndServer, RefuseAServerOfAForeignCa) {
  const Ca foreign;
  ClientIdentity mistaken = identity;
  mistaken.ca_file = foreign.path("ca.pem");
  start_client(client_options(loopback, mistaken, handler.vault));
  const auto online = client->wait_online(soon());
  ASSERT_FALSE(online);
  EXPECT_EQ(online.error().fault, Fault::refused);
  EXPECT_THAT(online.error().what, ::testing::HasSubstr("the server's certificate does not verify"));
}

TEST_F(ClientAndServer, RefuseAServerWhoseCertificateIsForAnotherHost) {
  ClientOptions options = client_options(loopback, identity, handler.vault);
  options.server.host = "127.0.0.2";
  start_client(std::move(options));
  EXPECT_FALSE(client->wait_online(in(300ms)));
}

TEST_F(ClientAndServer, TellAClientThatItIsNotWelcomeAnyMore) {
  start_client();
  ASSERT_TRUE(ping());
  handler.fail_next(Type::hello, {Fault::refused, EACCES, "revoked"});
  loopback.server().for_each_session([](Session& session) { session.close("revoked"); });
  EXPECT_TRUE(eventually([&] { return handler.closed_count() == 1; }));
  EXPECT_TRUE(eventually([&] { return client->link() == Link::refused; }));
  EXPECT_THAT(client->why(), ::testing::HasSubstr("revoked"));
  EXPECT_TRUE(client->wait_online(soon()) || eventually([&] { return client->link() == Link::online; }))
      << "a refused client asks again now and then";
}

// ---- enrolment

class Enrolment : public ClientAndServer {
 protected:
  Enrolment() {
    os::real_random().fill(handler.token_secret);
    token = {.host = "127.0.0.1",
             .port = loopback.port(),
             .expires = {},
             .ca_pin = ca.pin(),
             .secret = handler.token_secret};
  }
  Result<Enrolled> enroll_now() { return enroll(token, own.csr_der, "test", soon()); }

  tls::Token token;
  tls::KeyAndCsr own = tls::make_key_pair_and_csr("laptop");
};

TEST_F(Enrolment, TurnsATokenIntoACertificateThatIsLetIn) {
  const auto enrolled = enroll_now();
  ASSERT_TRUE(enrolled) << enrolled.error().what;
  EXPECT_EQ(enrolled->client, handler.client);
  EXPECT_EQ(enrolled->vault.id, handler.vault);
  EXPECT_TRUE(*tls::fits(enrolled->certificate_pem, own.key_pem.bytes()));
  std::ofstream(ca.path("new.pem")) << enrolled->certificate_pem;
  std::ofstream(ca.path("new.key")) << as_text(own.key_pem.bytes());
  std::ofstream(ca.path("new-ca.pem")) << enrolled->ca_pem;
  start_client(
      client_options(loopback, {ca.path("new-ca.pem"), ca.path("new.pem"), ca.path("new.key")}, handler.vault));
  EXPECT_TRUE(client->wait_online(soon())) << client->why();
}

TEST_F(Enrolment, IsRefusedWithAnotherSecret) {
  token.secret[0] ^= std::byte{1};
  const auto enrolled = enroll_now();
  ASSERT_FALSE(enrolled);
  EXPECT_EQ(enrolled.error().fault, Fault::refused);
  EXPECT_THAT(enrolled.error().what, ::testing::HasSubstr("unknown token"));
}

TEST_F(Enrolment, SendsNothingToAServerWithAnotherCa) {
  token.ca_pin[0] ^= std::byte{1};
  const auto enrolled = enroll_now();
  ASSERT_FALSE(enrolled);
  EXPECT_EQ(enrolled.error().fault, Fault::refused);
  EXPECT_EQ(handler.count(Type::enroll), 0u);
}

TEST_F(Enrolment, IsOfflineWithoutAServer) {
  loopback.stop(0ms);
  const auto enrolled = enroll_now();
  ASSERT_FALSE(enrolled);
  EXPECT_EQ(enrolled.error().fault, Fault::offline);
}

}  // namespace
}  // namespace coffer::rpc
