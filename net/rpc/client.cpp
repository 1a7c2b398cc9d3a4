#include "net/rpc/client.h"

#include <span>

#include "common/base/log.h"
#include "net/rpc/client_core.h"
#include "net/rpc/decode.h"
#include "net/wire/message.h"

namespace coffer::rpc {

using wire::Type;

namespace {

constexpr unsigned kGetTriesMax = 3;

/// A call whose answer `decode` turns into what `done` wants.
template <class T, class Message, class Decode>
Call call_of(Type type, const Message& message, Deadline deadline, Done<T> done, Decode decode) {
  Call call;
  call.type = type;
  call.header = message.SerializeAsString();
  call.deadline = deadline;
  call.done = [done = std::move(done), decode = std::move(decode)](Result<Answer> answer) {
    if (!answer) {
      done(std::move(answer).error());
    } else {
      done(decode(*std::move(answer)));
    }
  };
  return call;
}

/// Parses the answer as an `AnswerMessage` and hands it to `convert`.
template <class AnswerMessage, class Convert>
auto decoded_as(Convert convert) {
  return [convert](const Answer& answer) -> decltype(convert(AnswerMessage())) {
    COFFER_TRY(const auto message, wire::parse<AnswerMessage>(answer.header));
    return convert(message);
  };
}

std::string field(const object::ChunkId& id) { return std::string(as_text(id.bytes())); }

Call verify_call(std::span<const object::ChunkId> ids, Deadline deadline, Done<std::vector<VerifyState>> done) {
  wire::VerifyChunks message;
  message.set_ids(wire::join_ids(ids));
  return call_of(Type::verify_chunks, message, deadline, std::move(done),
                 [count = ids.size()](const Answer& answer) { return decode_verify(answer, count); });
}

Error other_bytes(const object::ChunkId& id, const std::string& why) {
  return {Fault::corrupt, 0, "chunk " + id.hex() + " " + why};
}

/// The server reads chunks out without hashing them, as this side must do it anyway. One that came with other bytes was
/// spoilt on its disk, and it is told to look; or on the way, or by a machine in between: it is asked for again.
void get_whole(ClientCore& core, const object::ChunkId& id, Deadline deadline, Done<Bytes> done, unsigned tries) {
  wire::GetChunk message;
  message.set_id(field(id));
  Call call;
  call.type = Type::get_chunk;
  call.header = message.SerializeAsString();
  call.header_at = [message](std::uint64_t at) mutable {
    message.set_offset(at);
    return message.SerializeAsString();
  };
  call.is_bulk = true;
  call.deadline = deadline;
  call.done = [&core, id, deadline, done = std::move(done), tries](Result<Answer> answer) {
    if (!answer) return done(std::move(answer).error());
    if (object::ChunkId(answer->body_digest.value_or(crypto::Digest{})) == id) return done(std::move(answer->body));
    log::warn("chunk came damaged", {{"chunk", id.hex()}, {"tries_left", tries - 1}});
    auto looked = [&core, id, deadline, done, tries](const Result<std::vector<VerifyState>>& states) {
      if (!states) return done(Error(states.error()));
      if (states->front() != VerifyState::good) return done(other_bytes(id, "is damaged on the server"));
      if (tries > 1) return get_whole(core, id, deadline, done, tries - 1);
      done(other_bytes(id, "came with other bytes"));
    };
    core.submit(verify_call(std::span(&id, 1), deadline, std::move(looked)));
  };
  core.submit(std::move(call));
}

}  // namespace

Client::Client(ClientOptions options, os::Random& random)
    : core_(std::make_unique<ClientCore>(std::move(options), random)) {}
Client::~Client() = default;
void Client::start() { core_->start(); }
void Client::stop() { core_->stop(); }
Link Client::link() const { return core_->link(); }
std::string Client::why() const { return core_->why(); }
void Client::on_link_change(std::function<void(Link)> callback) { core_->on_link_change(std::move(callback)); }
std::optional<ServerFacts> Client::facts() const { return core_->facts(); }
Result<void> Client::wait_online(Deadline deadline) { return core_->wait_online(deadline); }
void Client::somebody_waits(bool begins) { core_->somebody_waits(begins); }
void Client::reload_identity() { core_->reload_identity(); }
std::uint64_t Client::bytes_sent() const { return core_->bytes_sent(); }
std::uint64_t Client::bytes_received() const { return core_->bytes_received(); }
std::uint64_t Client::chunk_bytes_sent() const { return core_->chunk_bytes_sent(); }
std::uint64_t Client::chunk_bytes_sent_again() const { return core_->chunk_bytes_sent_again(); }

void Client::have(std::vector<object::ChunkId> ids, Deadline deadline, Done<std::vector<HaveState>> done) {
  wire::Have message;
  message.set_ids(wire::join_ids(ids));
  core_->submit(call_of(Type::have, message, deadline, std::move(done),
                        [count = ids.size()](const Answer& answer) { return decode_have(answer, count); }));
}

void Client::put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, std::uint64_t offset,
                       Deadline deadline, Done<PutChunkDone> done) {
  COFFER_CHECK(offset <= sealed->size());
  wire::PutChunk message;
  message.set_id(field(id));
  message.set_chunk_bytes(sealed->size());
  message.set_offset(offset);
  const std::vector<std::uint32_t> crcs = wire::block_crcs(*sealed);
  message.mutable_block_crcs()->Add(crcs.begin(), crcs.end());
  Call call = call_of(Type::put_chunk, message, deadline, std::move(done),
                      decoded_as<wire::PutChunkDone>([](const wire::PutChunkDone& answer) -> Result<PutChunkDone> {
                        return PutChunkDone{.was_stored = answer.was_stored()};
                      }));
  call.header_at = [message](std::uint64_t at) mutable {
    message.set_offset(at);
    return message.SerializeAsString();
  };
  call.body = std::move(sealed);
  call.body_offset = offset;
  call.is_bulk = true;
  core_->submit(std::move(call));
}

void Client::get_chunk(const object::ChunkId& id, Deadline deadline, Done<Bytes> done) {
  get_whole(*core_, id, deadline, std::move(done), kGetTriesMax);
}

void Client::verify_chunks(std::vector<object::ChunkId> ids, Deadline deadline, Done<std::vector<VerifyState>> done) {
  core_->submit(verify_call(ids, deadline, std::move(done)));
}

std::size_t Client::carried_bytes_max() const { return core_->carried_bytes_max(); }

void Client::append_commit(Bytes commit, std::span<const std::shared_ptr<const Bytes>> carried, Deadline deadline,
                           Done<object::Receipt> done) {
  const auto hash = object::hash_of(commit);
  const auto decode = [this, hash](const Answer& answer) -> Result<object::Receipt> {
    return decode_receipt(answer, core_->facts()->receipt_key, core_->options().vault, hash);
  };
  wire::AppendCommit message;
  for (const auto& chunk : carried) {
    message.add_carried_bytes(static_cast<std::uint32_t>(chunk->size()));
    append(commit, *chunk);
  }
  Call call = call_of(Type::append_commit, message, deadline, std::move(done), decode);
  call.body = std::make_shared<const Bytes>(std::move(commit));
  core_->submit(std::move(call));
}

void Client::get_commits(std::uint64_t from_seq, std::uint64_t bytes_max, std::chrono::milliseconds wait,
                         Deadline deadline, Done<CommitPage> done) {
  wire::GetCommits message;
  message.set_from_seq(from_seq);
  message.set_bytes_max(bytes_max);
  message.set_wait_ms(static_cast<std::uint32_t>(wait.count()));
  core_->submit(call_of(Type::get_commits, message, deadline, std::move(done), decode_commits));
}

void Client::acquire_lease(bool force, Deadline deadline, Done<LeaseGrant> done) {
  wire::AcquireLease message;
  message.set_force(force);
  const auto convert = [](const wire::AcquireLeaseDone& answer) -> Result<LeaseGrant> {
    COFFER_TRY(std::string holder, wire::parse_name(answer.holder()));
    return LeaseGrant{.granted = answer.granted(),
                      .epoch = answer.epoch(),
                      .ttl = std::chrono::milliseconds(answer.ttl_ms()),
                      .holder = std::move(holder)};
  };
  core_->submit(
      call_of(Type::acquire_lease, message, deadline, std::move(done), decoded_as<wire::AcquireLeaseDone>(convert)));
}

void Client::renew_lease(std::uint64_t epoch, Deadline deadline, Done<std::chrono::milliseconds> done) {
  wire::RenewLease message;
  message.set_epoch(epoch);
  const auto convert = [](const wire::RenewLeaseDone& answer) -> Result<std::chrono::milliseconds> {
    return std::chrono::milliseconds(answer.ttl_ms());
  };
  core_->submit(
      call_of(Type::renew_lease, message, deadline, std::move(done), decoded_as<wire::RenewLeaseDone>(convert)));
}

void Client::release_lease(std::uint64_t epoch, Deadline deadline, Done<void> done) {
  wire::ReleaseLease message;
  message.set_epoch(epoch);
  const auto convert = [](const wire::ReleaseLeaseDone&) { return Result<void>(); };
  core_->submit(
      call_of(Type::release_lease, message, deadline, std::move(done), decoded_as<wire::ReleaseLeaseDone>(convert)));
}

void Client::get_key_slots(Deadline deadline, Done<std::vector<KeySlot>> done) {
  core_->submit(call_of(Type::get_key_slots, wire::GetKeySlots(), deadline, std::move(done), decode_key_slots));
}

void Client::put_key_slot(Bytes slot, bool only_if_first, Deadline deadline, Done<std::uint64_t> done) {
  wire::PutKeySlot message;
  message.set_slot(std::string(as_text(slot)));
  message.set_only_if_first(only_if_first);
  const auto convert = [](const wire::PutKeySlotDone& answer) -> Result<std::uint64_t> { return answer.number(); };
  core_->submit(
      call_of(Type::put_key_slot, message, deadline, std::move(done), decoded_as<wire::PutKeySlotDone>(convert)));
}

void Client::remove_key_slot(std::uint64_t number, Deadline deadline, Done<void> done) {
  wire::RemoveKeySlot message;
  message.set_number(number);
  const auto convert = [](const wire::RemoveKeySlotDone&) { return Result<void>(); };
  core_->submit(
      call_of(Type::remove_key_slot, message, deadline, std::move(done), decoded_as<wire::RemoveKeySlotDone>(convert)));
}

void Client::ping(Deadline deadline, Done<VaultState> done) {
  const auto convert = [](const wire::PingDone& answer) { return decode(answer); };
  core_->submit(call_of(Type::ping, wire::Ping(), deadline, std::move(done), decoded_as<wire::PingDone>(convert)));
}

void Client::renew_certificate(Bytes csr_der, Deadline deadline, Done<RenewedCertificate> done) {
  wire::RenewCertificate message;
  message.set_csr(std::string(as_text(csr_der)));
  const auto convert = [](const wire::RenewCertificateDone& answer) -> Result<RenewedCertificate> {
    return RenewedCertificate{.certificate_pem = answer.certificate(), .ca_pem = answer.ca()};
  };
  core_->submit(call_of(Type::renew_certificate, message, deadline, std::move(done),
                        decoded_as<wire::RenewCertificateDone>(convert)));
}

}  // namespace coffer::rpc
