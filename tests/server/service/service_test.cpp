#include <cerrno>
#include <future>

#include "common/base/limits.h"
#include "tests/server/service/server_world.h"

namespace coffer::service {
namespace {

using namespace std::chrono_literals;

class Server : public ServerWorld {};

TEST_F(Server, StoresChunksAndGivesThemBack) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(300'000);
  const auto id = id_of(sealed);
  EXPECT_FALSE(client.have({id})->front().stored);
  EXPECT_FALSE(client.put(sealed)->was_stored);
  EXPECT_TRUE(client.put(sealed)->was_stored);
  EXPECT_TRUE(client.have({id})->front().stored);
  EXPECT_EQ(client.have({id})->front().received, sealed.size());
  EXPECT_EQ(*client.get(id), sealed);
  const auto unknown = id_of(random_.bytes(10));
  EXPECT_EQ(client.get(unknown).error().code, ENOENT);
  EXPECT_EQ(*client.verify({id, unknown}), (std::vector{rpc::VerifyState::good, rpc::VerifyState::missing}));
  EXPECT_EQ(client.ping()->stored_bytes, sealed.size() + store::kChunkOverheadBytes);
}

TEST_F(Server, StoresTheLargestChunk) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(limits::kChunkSealedBytesMax);
  ASSERT_TRUE(client.put(sealed));
  EXPECT_EQ(*client.get(id_of(sealed)), sealed);
}

TEST_F(Server, RefusesAChunkThatDoesNotMatchItsIdAndKeepsNothingOfIt) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(1000);
  const auto id = id_of(random_.bytes(1000));
  const auto put = client.put(id, sealed);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().fault, Fault::corrupt);
  EXPECT_FALSE(client.have({id})->front().stored);
  EXPECT_FALSE(client.have({id_of(sealed)})->front().stored);
  EXPECT_EQ(client.ping()->stored_bytes, 0u);
  EXPECT_TRUE(client.put(sealed)) << "the connection lives on";
}

TEST_F(Server, AppendsCommitsOfStoredChunksUnderTheLease) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(1000);
  const std::uint64_t epoch = client.lease()->epoch;
  const auto first = commit_after(client.vault.id, nullptr, epoch, {id_of(sealed)});
  EXPECT_EQ(client.append(first).error().code, ENOENT) << "the chunk is not stored yet";
  ASSERT_TRUE(client.put(sealed));
  const auto receipt = client.append(first);
  ASSERT_TRUE(receipt) << receipt.error().what;
  EXPECT_EQ(receipt->chunk_count, 1u);
  EXPECT_EQ(client.append(first)->signature, receipt->signature) << "the same bytes, the same receipt";
  EXPECT_EQ(client.append(commit_after(client.vault.id, &first, epoch + 1)).error().code, EROFS);
  EXPECT_TRUE(client.append(commit_after(client.vault.id, &first, epoch)));
  EXPECT_EQ(client.commits(1)->commits.size(), 2u);
  EXPECT_EQ(client.ping()->head_seq, 2u);
}

// Claim: chunks that come with the commit which adds them are stored with it, and only with it.
TEST_F(Server, StoresTheChunksThatACommitBringsAlong) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(1000);
  const Bytes other = random_.bytes(2000);
  const std::uint64_t epoch = client.lease()->epoch;
  EXPECT_GE(client.rpc->carried_bytes_max(), 3000u);
  const auto commit = commit_after(client.vault.id, nullptr, epoch, {id_of(sealed), id_of(other)});
  EXPECT_EQ(client.append(commit, {sealed}).error().code, ENOENT) << "one of two is not there";
  EXPECT_FALSE(client.append(commit, {sealed, random_.bytes(2000)})) << "and this is not the other one";
  EXPECT_EQ(client.append(commit_after(client.vault.id, nullptr, epoch + 1, {id_of(other)}), {other}).error().code,
            EROFS);
  EXPECT_FALSE(client.have({id_of(other)})->front().stored) << "nothing comes in without the lease";

  const auto receipt = client.append(commit, {sealed, other});
  ASSERT_TRUE(receipt) << receipt.error().what;
  EXPECT_EQ(receipt->chunk_count, 2u);
  EXPECT_EQ(*client.get(id_of(sealed)), sealed);
  EXPECT_EQ(*client.get(id_of(other)), other);
  EXPECT_EQ(client.append(commit, {sealed, other})->signature, receipt->signature);
  EXPECT_EQ(client.append(commit)->signature, receipt->signature) << "with or without its chunks";
}

// Claim: bringing chunks along is no way around the quota, and no way to make the server take more than it said.
TEST_F(Server, BoundsWhatACommitBringsAlong) {
  TestClient client = enrol(new_vault("laptop", 2500));
  const std::uint64_t epoch = client.lease()->epoch;
  const Bytes large = random_.bytes(3000);
  EXPECT_EQ(client.append(commit_after(client.vault.id, nullptr, epoch, {id_of(large)}), {large}).error().code, EDQUOT);
  EXPECT_FALSE(client.have({id_of(large)})->front().stored);

  TestClient other = enrol(new_vault("desktop"));
  const std::uint64_t its_epoch = other.lease()->epoch;
  const Bytes beyond = random_.bytes(other.rpc->carried_bytes_max() + 1);
  const auto taken = other.append(commit_after(other.vault.id, nullptr, its_epoch, {id_of(beyond)}), {beyond});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().fault, Fault::protocol);
  EXPECT_FALSE(other.have({id_of(beyond)})->front().stored);
  EXPECT_EQ(client.ping()->head_seq, 0u);
  EXPECT_EQ(client.ping()->stored_bytes, 0u);
}

TEST_F(Server, WakesThoseWhoWaitForACommit) {
  TestClient writer = enrol(new_vault("laptop"));
  accounts::Offer offer = new_vault("reader");
  offer.vault = writer.vault.id;
  offer.read_only = true;
  TestClient reader = enrol(offer);
  ASSERT_TRUE(reader.wait_online());
  EXPECT_TRUE(reader.commits(1)->commits.empty()) << "without a wait it is told at once that there is none";

  auto page = std::async(std::launch::async, [&] { return reader.commits(1, 15s); });
  const auto commit = commit_after(writer.vault.id, nullptr, writer.lease()->epoch);
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(writer.append(commit));
  const auto got = page.get();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->commits, std::vector<Bytes>{object::encode(commit)});
  EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
}

TEST_F(Server, StopsAtOnceThoughSomeoneWaitsForACommit) {
  TestClient client = enrol(new_vault("laptop"));
  ASSERT_TRUE(client.wait_online());
  auto page = std::async(std::launch::async, [&] { return client.commits(1, 60s); });
  const auto before = std::chrono::steady_clock::now();
  stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, 4s);
  client.rpc->stop();
  (void)page.get();
}

// Claim: a client cannot read, write, or learn of another's vault.
TEST_F(Server, KeepsClientsApart) {
  TestClient alice = enrol(new_vault("alice"));
  TestClient bob = enrol(new_vault("bob"));
  const Bytes sealed = random_.bytes(1000);
  ASSERT_TRUE(alice.put(sealed));
  EXPECT_FALSE(bob.have({id_of(sealed)})->front().stored) << "not even that the chunk is here";
  EXPECT_EQ(bob.get(id_of(sealed)).error().code, ENOENT);
  ASSERT_TRUE(bob.wait_online());
  ASSERT_EQ(bob.rpc->facts()->vaults.size(), 1u);
  EXPECT_EQ(bob.rpc->facts()->vaults[0].name, "bob");
  EXPECT_EQ(bob.append(commit_after(alice.vault.id, nullptr, bob.lease()->epoch)).error().code, EINVAL);

  bob.options.vault = alice.vault.id;
  bob.connect();
  const auto there = bob.wait_online();
  ASSERT_FALSE(there);
  EXPECT_EQ(there.error().fault, Fault::refused);
  std::array<std::byte, 16> nowhere{};
  bob.options.vault = object::VaultId(nowhere);
  nowhere[0] = std::byte{1};
  bob.options.vault = object::VaultId(nowhere);
  bob.connect();
  const auto absent = bob.wait_online();
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().what, there.error().what) << "the same answer whether it exists or not";
  EXPECT_EQ(absent.error().code, there.error().code);
}

TEST_F(Server, LetsAReaderReadAndNothingElse) {
  TestClient writer = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(1000);
  ASSERT_TRUE(writer.put(sealed));
  ASSERT_TRUE(writer.put_slot("slot", true));
  accounts::Offer offer = new_vault("reader");
  offer.vault = writer.vault.id;
  offer.read_only = true;
  TestClient reader = enrol(offer);
  EXPECT_TRUE(reader.vault.read_only);
  EXPECT_EQ(*reader.get(id_of(sealed)), sealed);
  EXPECT_EQ(reader.slots()->size(), 1u);
  EXPECT_EQ(reader.put(random_.bytes(10)).error().code, EROFS);
  EXPECT_EQ(reader.lease().error().code, EROFS);
  EXPECT_EQ(reader.lease(true).error().code, EROFS);
  EXPECT_EQ(reader.put_slot("other").error().code, EROFS);
  EXPECT_EQ(reader.append(commit_after(writer.vault.id, nullptr, 1)).error().code, EROFS);

  ASSERT_TRUE(accounts()->grant("reader", "laptop", false));
  EXPECT_TRUE(testing::eventually([&] { return reader.put(random_.bytes(10)).has_value(); }))
      << "an open connection learns of a new grant";
}

TEST_F(Server, GivesTheLeaseToOneClientAtATime) {
  TestClient first = enrol(new_vault("first"));
  accounts::Offer offer = new_vault("second");
  offer.vault = first.vault.id;
  TestClient second = enrol(offer);
  const auto lease = first.lease();
  ASSERT_TRUE(lease && lease->granted);
  const auto refused = second.lease();
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->granted);
  EXPECT_EQ(refused->holder, "first");
  const auto forced = second.lease(true);
  EXPECT_TRUE(forced->granted);
  EXPECT_GT(forced->epoch, lease->epoch);
  EXPECT_EQ(first.append(commit_after(first.vault.id, nullptr, lease->epoch)).error().code, EROFS);

  ASSERT_TRUE(accounts()->revoke("second"));
  EXPECT_TRUE(first.lease()->granted) << "nobody need wait for a revoked client's lease";
}

TEST_F(Server, HoldsTheVaultToItsQuota) {
  TestClient client = enrol(new_vault("laptop", 2500 + 3 * store::kChunkOverheadBytes));
  const Bytes first = random_.bytes(1000);
  ASSERT_TRUE(client.put(first));
  ASSERT_TRUE(client.put(random_.bytes(1000)));
  const auto over = client.put(random_.bytes(1000));
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, EDQUOT);
  EXPECT_TRUE(client.put(first)) << "it is stored already";
  EXPECT_TRUE(client.put(random_.bytes(500)));
  EXPECT_EQ(*client.get(id_of(first)), first);
  EXPECT_EQ(client.ping()->quota_bytes, 2500 + 3 * store::kChunkOverheadBytes);
}

TEST_F(Server, CutsTheConnectionsOfARevokedClientWithinASecond) {
  TestClient client = enrol(new_vault("laptop"));
  ASSERT_TRUE(client.put(random_.bytes(10)));
  ASSERT_TRUE(accounts()->revoke("laptop"));
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(testing::eventually([&] { return client.rpc->link() == rpc::Link::refused; }));
  EXPECT_LT(std::chrono::steady_clock::now() - before, 1s);
  EXPECT_NE(client.rpc->why().find("revoked"), std::string::npos) << client.rpc->why();
  EXPECT_EQ(client.put(random_.bytes(10)).error().fault, Fault::refused);
}

TEST_F(Server, TakesATokenOnce) {
  const tls::Token once = token(new_vault("laptop"));
  const tls::KeyAndCsr made = tls::make_key_pair_and_csr("laptop");
  ASSERT_TRUE(rpc::enroll(once, made.csr_der, "test", soon()));
  const auto lost = rpc::enroll(once, made.csr_der, "test", soon());
  ASSERT_TRUE(lost) << "the same key asks again, where the answer was lost: " << lost.error().what;
  EXPECT_EQ(accounts()->clients()->size(), 1u);
  const auto again = rpc::enroll(once, tls::make_key_pair_and_csr("laptop").csr_der, "test", soon());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().fault, Fault::refused);
  EXPECT_NE(again.error().what.find("used already"), std::string::npos) << again.error().what;
}

TEST_F(Server, TakesNoTokenThatIsWrongOrOver) {
  const tls::KeyAndCsr made = tls::make_key_pair_and_csr("laptop");
  tls::Token wrong = token(new_vault("laptop"));
  wrong.secret[0] ^= std::byte{1};
  EXPECT_EQ(rpc::enroll(wrong, made.csr_der, "test", soon()).error().fault, Fault::refused);
  const tls::Token over = token(new_vault("laptop"), 0s);
  const auto expired = rpc::enroll(over, made.csr_der, "test", soon());
  ASSERT_FALSE(expired);
  EXPECT_NE(expired.error().what.find("expired"), std::string::npos) << expired.error().what;
  EXPECT_TRUE(accounts()->clients()->empty());
}

TEST_F(Server, TakesNoRequestForACertificateThatIsNotSignedByItsKey) {
  const tls::Token token = this->token(new_vault("laptop"));
  tls::KeyAndCsr made = tls::make_key_pair_and_csr("laptop");
  made.csr_der.back() ^= std::byte{1};
  EXPECT_FALSE(rpc::enroll(token, made.csr_der, "test", soon()));
  EXPECT_FALSE(rpc::enroll(token, as_bytes("nonsense"), "test", soon()));
  made = tls::make_key_pair_and_csr("laptop");
  EXPECT_TRUE(rpc::enroll(token, made.csr_der, "test", soon())) << "the token was not used up";
}

TEST_F(Server, RenewsACertificateAndEndsTheOldOneOnceTheNewOneIsShown) {
  TestClient client = enrol(new_vault("laptop"));
  ASSERT_TRUE(client.put(random_.bytes(10)));
  const auto old_identity = client.options.identity;
  const tls::KeyAndCsr made = tls::make_key_pair_and_csr("laptop");
  const auto renewed =
      rpc::wait<rpc::RenewedCertificate>([&](auto done) { client.rpc->renew_certificate(made.csr_der, soon(), done); });
  ASSERT_TRUE(renewed) << renewed.error().what;
  EXPECT_TRUE(client.put(random_.bytes(10))) << "the old one is good until the new one was shown";
  client.options.identity = write_identity("renewed", renewed->ca_pem, renewed->certificate_pem, made.key_pem.bytes());
  client.connect();
  EXPECT_TRUE(client.put(random_.bytes(10)));
  client.options.identity = old_identity;
  client.connect();
  EXPECT_EQ(client.wait_online().error().fault, Fault::refused);
}

TEST_F(Server, KeepsEverythingOverARestart) {
  TestClient client = enrol(new_vault("laptop"));
  const Bytes sealed = random_.bytes(1000);
  ASSERT_TRUE(client.put(sealed));
  const std::uint64_t epoch = client.lease()->epoch;
  const auto first = commit_after(client.vault.id, nullptr, epoch, {id_of(sealed)});
  const auto receipt = client.append(first);
  ASSERT_TRUE(client.put_slot("slot", true));
  stop();
  start();
  EXPECT_EQ(*client.get(id_of(sealed)), sealed) << "without a word from the user";
  EXPECT_EQ(client.append(first)->signature, receipt->signature);
  EXPECT_TRUE(client.append(commit_after(client.vault.id, &first, epoch))) << "the lease outlives the restart";
  EXPECT_EQ(client.slots()->size(), 1u);
  EXPECT_EQ(client.put_slot("x", true).error().code, EEXIST);
}

TEST_F(Server, TakesManyChunksAtOnceFromManyClients) {
  std::vector<TestClient> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(enrol(new_vault("client" + std::to_string(i))));
  std::atomic<int> stored = 0;
  for (TestClient& client : clients) {
    for (int i = 0; i < 50; ++i) {
      const auto sealed = std::make_shared<const Bytes>(random_.bytes(50'000));
      client.rpc->put_chunk(id_of(*sealed), sealed, 0, soon(), [&](const Result<rpc::PutChunkDone>& done) {
        EXPECT_TRUE(done) << done.error().what;
        ++stored;
      });
    }
  }
  EXPECT_TRUE(testing::eventually([&] { return stored == 200; }));
  for (TestClient& client : clients)
    EXPECT_EQ(client.ping()->stored_bytes, 50u * (50'000 + store::kChunkOverheadBytes));
}

}  // namespace
}  // namespace coffer::service
