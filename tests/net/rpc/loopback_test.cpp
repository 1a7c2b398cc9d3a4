#include "tests/net/rpc/loopback.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <fstream>

#include "common/base/log.h"
#include "common/object/commit.h"
#include "net/rpc/event.h"

namespace coffer::rpc {

using boost::asio::awaitable;
using wire::Type;

namespace {

void write_file(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  COFFER_CHECK(file.good());
}

tls::Validity until(std::chrono::hours not_after) {
  const os::WallTime now = os::real_clock().now();
  return {now - std::chrono::hours(48), now + not_after};
}

}  // namespace

Ca::Ca() : authority_(tls::make_ca("Test CA", until(std::chrono::hours(48)))) {
  write_file(path("ca.pem"), authority_.certificate_pem);
  const tls::KeyAndCsr server = tls::make_key_pair_and_csr("server");
  const tls::NewCertificate wanted{.common_name = "server",
                                   .purpose = tls::Purpose::server,
                                   .hosts = {"localhost", "127.0.0.1"},
                                   .uris = {},
                                   .validity = until(std::chrono::hours(1))};
  write_file(path("server.pem"), *tls::issue_certificate(authority_, server.csr_der, wanted));
  write_file(path("server.key"), as_text(server.key_pem.bytes()));
}

std::string Ca::sign(ByteView csr_der, const object::ClientId& id, std::chrono::hours not_after) const {
  const tls::NewCertificate wanted{.common_name = "laptop",
                                   .purpose = tls::Purpose::client,
                                   .hosts = {},
                                   .uris = {tls::client_uri(id)},
                                   .validity = until(not_after)};
  return *tls::issue_certificate(authority_, csr_der, wanted);
}

ClientIdentity Ca::new_client(const object::ClientId& id, std::chrono::hours not_after) const {
  const tls::KeyAndCsr own = tls::make_key_pair_and_csr("laptop");
  const std::string name = id.hex() + std::to_string(not_after.count());
  write_file(path(name + ".pem"), sign(own.csr_der, id, not_after));
  write_file(path(name + ".key"), as_text(own.key_pem.bytes()));
  return {.ca_file = path("ca.pem"), .certificate_file = path(name + ".pem"), .key_file = path(name + ".key")};
}

tls::ServerFiles Ca::server_files() const {
  return {.certificate = path("server.pem"), .key = path("server.key"), .ca = path("ca.pem"), .extra_ca = path("none")};
}

crypto::Digest Ca::pin() const { return tls::read_certificate(authority_.certificate_pem)->fingerprint; }

MemoryHandler::MemoryHandler() : receipt_key(crypto::SigningKey::generate(os::real_random())) {}

void MemoryHandler::hold(Type type) {
  const MutexLock lock(mutex_);
  held_.insert(type);
}

void MemoryHandler::let_go() {
  const MutexLock lock(mutex_);
  held_.clear();
}

bool MemoryHandler::is_held(Type type) const {
  const MutexLock lock(mutex_);
  return held_.contains(type);
}

void MemoryHandler::fail_next(Type type, Error error) {
  const MutexLock lock(mutex_);
  failures_[type] = std::move(error);
}

void MemoryHandler::damage(const object::ChunkId& id) {
  const MutexLock lock(mutex_);
  chunks_.at(id).front() ^= std::byte{1};
}

void MemoryHandler::spoil_reads(unsigned count) {
  const MutexLock lock(mutex_);
  reads_to_spoil_ = count;
}

std::size_t MemoryHandler::count(Type type) const {
  const MutexLock lock(mutex_);
  const auto found = counts_.find(type);
  return found == counts_.end() ? 0 : found->second;
}

void MemoryHandler::closed(Session&) { ++closed_count_; }

awaitable<Result<Reply>> MemoryHandler::handle(std::shared_ptr<Session> session, Request request) {
  Event pause(session->executor());
  const std::size_t held = ++held_count_;
  held_count_max_ = std::max(held_count_max_.load(), held);
  while (is_held(request.type)) co_await pause.wait(std::chrono::steady_clock::now() + std::chrono::milliseconds(2));
  --held_count_;
  co_return answer(*session, request);
}

namespace {

template <class Message>
Reply reply_of(Type type, const Message& message, std::shared_ptr<const Bytes> body = nullptr) {
  return Reply{.type = wire::answer_to(type), .header = message.SerializeAsString(), .body = std::move(body)};
}

}  // namespace

Result<Reply> MemoryHandler::put_chunk(const Request& request) {
  COFFER_TRY(const auto message, wire::parse<wire::PutChunk>(request.header));
  COFFER_TRY(const auto id, wire::parse_id<object::ChunkId>(message.id()));
  if (id_of(request.body) != id) return Error{Fault::corrupt, 0, "chunk does not match its id"};
  wire::PutChunkDone done;
  done.set_was_stored(!chunks_.emplace(id, request.body).second);
  return reply_of(request.type, done);
}

Result<Reply> MemoryHandler::get_chunk(const Request& request) {
  COFFER_TRY(const auto message, wire::parse<wire::GetChunk>(request.header));
  COFFER_TRY(const auto id, wire::parse_id<object::ChunkId>(message.id()));
  const auto found = chunks_.find(id);
  if (found == chunks_.end()) return coffer::answer(ENOENT);
  wire::GetChunkDone done;
  done.set_chunk_bytes(found->second.size());
  const std::size_t at = std::min<std::size_t>(message.offset(), found->second.size());
  const std::size_t rest = found->second.size() - at;
  const std::size_t bytes = message.bytes() == 0 ? rest : std::min<std::size_t>(message.bytes(), rest);
  auto body = std::make_shared<Bytes>(copy_of(ByteView(found->second).subspan(at, bytes)));
  if (reads_to_spoil_ > 0 && !body->empty()) {
    --reads_to_spoil_;
    body->back() ^= std::byte{1};
  }
  return reply_of(request.type, done, std::move(body));
}

Result<Reply> MemoryHandler::append_commit(const Request& request) {
  commits_.push_back(request.body);
  object::Receipt receipt;
  receipt.vault = vault;
  receipt.seq = commits_.size();
  receipt.hash = object::hash_of(request.body);
  object::sign(receipt, receipt_key);
  if (forges_receipts) object::sign(receipt, crypto::SigningKey::generate(os::real_random()));
  wire::AppendCommitDone done;
  done.set_receipt(std::string(as_text(object::encode(receipt))));
  return reply_of(request.type, done);
}

Result<Reply> MemoryHandler::answer(Session& session, const Request& request) {
  const MutexLock lock(mutex_);
  ++counts_[request.type];
  if (const auto failure = failures_.find(request.type); failure != failures_.end()) {
    Error error = failure->second;
    failures_.erase(failure);
    return error;
  }
  const auto set_vault = [this](wire::Vault& message) {
    message.set_id(std::string(as_text(vault.bytes())));
    message.set_name("photos");
    message.set_quota_bytes(1000);
    message.set_head_seq(3);
  };
  switch (request.type) {
    case Type::hello: {
      wire::HelloDone done;
      done.set_version(wire::kVersion);
      done.set_client(std::string(as_text(session.peer()->client->bytes())));
      done.set_client_name("laptop");
      set_vault(*done.add_vaults());
      done.set_receipt_key(std::string(as_text(receipt_key.public_key())));
      done.set_chunk_bytes_max(4u << 20);
      done.set_window_requests(static_cast<std::uint32_t>(window_requests));
      done.set_window_bytes(window_bytes);
      return reply_of(request.type, done);
    }
    case Type::have: {
      COFFER_TRY(const auto message, wire::parse<wire::Have>(request.header));
      COFFER_TRY(const auto ids, wire::parse_ids(message.ids()));
      wire::HaveDone done;
      for (const object::ChunkId& id : ids) {
        const auto found = chunks_.find(id);
        done.add_stored(found != chunks_.end());
        done.add_received(found != chunks_.end() ? found->second.size() : 0);
      }
      return reply_of(request.type, done);
    }
    case Type::put_chunk: return put_chunk(request);
    case Type::get_chunk: return get_chunk(request);
    case Type::verify_chunks: {
      COFFER_TRY(const auto message, wire::parse<wire::VerifyChunks>(request.header));
      COFFER_TRY(const auto ids, wire::parse_ids(message.ids()));
      wire::VerifyChunksDone done;
      for (const object::ChunkId& id : ids) {
        const auto found = chunks_.find(id);
        if (found == chunks_.end()) {
          done.add_states(wire::VerifyChunksDone::MISSING);
        } else {
          done.add_states(id_of(found->second) == id ? wire::VerifyChunksDone::GOOD : wire::VerifyChunksDone::DAMAGED);
        }
      }
      return reply_of(request.type, done);
    }
    case Type::append_commit: return append_commit(request);
    case Type::get_commits: {
      wire::GetCommitsDone done;
      auto body = std::make_shared<Bytes>();
      for (const Bytes& commit : commits_) {
        done.add_commit_bytes(static_cast<std::uint32_t>(commit.size()));
        append(*body, commit);
      }
      done.set_head_seq(commits_.size());
      return reply_of(request.type, done, body);
    }
    case Type::acquire_lease: {
      wire::AcquireLeaseDone done;
      done.set_granted(true);
      done.set_epoch(5);
      done.set_ttl_ms(30'000);
      return reply_of(request.type, done);
    }
    case Type::renew_lease: {
      wire::RenewLeaseDone done;
      done.set_ttl_ms(20'000);
      return reply_of(request.type, done);
    }
    case Type::release_lease: return reply_of(request.type, wire::ReleaseLeaseDone());
    case Type::get_key_slots: {
      wire::GetKeySlotsDone done;
      for (const auto& [number, slot] : slots_) {
        wire::KeySlot* one = done.add_slots();
        one->set_number(number);
        one->set_slot(slot);
      }
      return reply_of(request.type, done);
    }
    case Type::put_key_slot: {
      COFFER_TRY(const auto message, wire::parse<wire::PutKeySlot>(request.header));
      if (message.only_if_first() && !slots_.empty()) return Error{Fault::refused, EEXIST, "the vault has a key slot"};
      wire::PutKeySlotDone done;
      done.set_number(slots_.size() + 1);
      slots_[done.number()] = message.slot();
      return reply_of(request.type, done);
    }
    case Type::remove_key_slot: {
      COFFER_TRY(const auto message, wire::parse<wire::RemoveKeySlot>(request.header));
      slots_.erase(message.number());
      return reply_of(request.type, wire::RemoveKeySlotDone());
    }
    case Type::ping: {
      wire::PingDone done;
      set_vault(*done.mutable_vault());
      return reply_of(request.type, done);
    }
    case Type::enroll: {
      COFFER_TRY(const auto message, wire::parse<wire::Enroll>(request.header));
      if (as_text(token_secret) != message.secret()) return Error{Fault::refused, EACCES, "unknown token"};
      wire::EnrollDone done;
      done.set_certificate(ca->sign(as_bytes(message.csr()), client, std::chrono::hours(1)));
      done.set_ca(ca->authority().certificate_pem);
      done.set_client(std::string(as_text(client.bytes())));
      done.set_client_name("laptop");
      set_vault(*done.mutable_vault());
      return reply_of(request.type, done);
    }
    case Type::renew_certificate: {
      COFFER_TRY(const auto message, wire::parse<wire::RenewCertificate>(request.header));
      wire::RenewCertificateDone done;
      done.set_certificate(ca->sign(as_bytes(message.csr()), client, std::chrono::hours(1)));
      done.set_ca(ca->authority().certificate_pem);
      return reply_of(request.type, done);
    }
    case Type::error: break;
  }
  return Error{Fault::answer, ENOSYS, "unknown type"};
}

Loopback::Loopback(Handler& handler, const Ca& ca, ServerOptions options)
    : handler_(handler), options_(std::move(options)) {
  options_.host = "127.0.0.1";
  options_.port = 0;
  options_.files = ca.server_files();
  start();
}

void Loopback::start() {
  io_ = std::make_unique<boost::asio::io_context>();
  server_ = std::make_unique<Server>(*io_, options_, handler_);
  options_.port = server_->listen().value();
  for (int i = 0; i < 2; ++i) {
    threads_.emplace_back([this] {
      const auto work = boost::asio::make_work_guard(*io_);
      io_->run();
    });
  }
}

void Loopback::stop(std::chrono::milliseconds grace) {
  if (!server_) return;
  server_->stop(grace);
  io_->stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  server_.reset();
  io_.reset();
}

Loopback::~Loopback() { stop(std::chrono::milliseconds(100)); }

ClientOptions client_options(const Loopback& loopback, const ClientIdentity& identity, const object::VaultId& vault) {
  ClientOptions options;
  options.server = {.host = "127.0.0.1", .port = loopback.port()};
  options.identity = identity;
  options.vault = vault;
  options.program = "test";
  options.retry_min = std::chrono::milliseconds(10);
  options.retry_max = std::chrono::milliseconds(50);
  return options;
}

std::shared_ptr<const Bytes> chunk_of(std::size_t bytes, unsigned seed) {
  auto chunk = std::make_shared<Bytes>(bytes);
  std::uint32_t state = seed * 2'654'435'761u + 1;
  for (std::byte& b : *chunk) {
    state = state * 1'664'525u + 1'013'904'223u;
    b = static_cast<std::byte>(state >> 24);
  }
  return chunk;
}

object::ChunkId id_of(const Bytes& chunk) { return object::ChunkId(crypto::sha256(chunk)); }

}  // namespace coffer::rpc
