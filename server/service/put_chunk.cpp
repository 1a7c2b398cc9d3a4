// Takes a chunk, whole or from where it was broken off: checked against its id, then stored; answered once it is on
// stable storage.
#include <cerrno>

#include "common/base/log.h"
#include "server/service/chunk_body.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

struct Wanted {
  wire::PutChunk put;
  object::ChunkId id;
  std::shared_ptr<OpenVault> vault;
  bool is_lost = false;  ///< The log names it and the server has lost it: it is taken from whoever has it.
};

/// What can be said of a put_chunk by its header and the length of its body.
Result<Wanted> check(const Call& call, std::uint64_t body_bytes) {
  Wanted wanted;
  COFFER_TRY(wanted.put, wire::parse<wire::PutChunk>(call.request.header));
  COFFER_TRY(wanted.id, wire::parse_id<object::ChunkId>(wanted.put.id()));
  const wire::PutChunk& put = wanted.put;
  if (put.chunk_bytes() == 0 || put.chunk_bytes() > limits::kChunkSealedBytesMax)
    return Error{Fault::protocol, 0, "a chunk of an impossible length"};
  if (put.offset() > put.chunk_bytes() || put.chunk_bytes() - put.offset() != body_bytes)
    return Error{Fault::protocol, 0, "a chunk of another length than its header says"};
  const auto crc_count = static_cast<std::size_t>(put.block_crcs_size());
  if (crc_count != 0 && crc_count != wire::block_count(put.chunk_bytes()))
    return Error{Fault::protocol, 0, "another number of checks than the chunk has blocks"};
  COFFER_TRY(wanted.vault, vault_for(call, Use::read));
  wanted.is_lost = wanted.vault->health.is_wanted(wanted.id);
  if (!wanted.is_lost) {
    COFFER_TRY(wanted.vault, vault_for(call, Use::write));
  }
  return wanted;
}

store::PartialKey key_of(const Call& call, const Wanted& wanted) {
  return {.client = call.connection->access().client.id, .vault = wanted.vault->id, .chunk = wanted.id};
}

/// An answer that says how far the bytes that are here are good.
rpc::Reply refuse(wire::Error::Reason reason, int code, std::uint64_t good_until, std::string what) {
  wire::Error error;
  error.set_reason(reason);
  error.set_code(code);
  error.set_good_until(good_until);
  error.set_what(std::move(what));
  return {.type = wire::Type::error, .header = error.SerializeAsString(), .body = {}};
}

/// Of a whole chunk that does not match its id, keeps what its sender's checks prove to be good.
rpc::Reply refuse_damaged(const Call& call, const Wanted& wanted, store::IncomingChunk& chunk) {
  const auto& field = wanted.put.block_crcs();
  const std::vector<std::uint32_t> crcs(field.begin(), field.end());
  const std::uint64_t good_until = wire::good_until(chunk.bytes(), crcs);
  call.service.partials().drop(key_of(call, wanted));
  chunk.discard(good_until);
  log::warn("chunk refused", {{"remote", call.session->remote()},
                              {"chunk", wanted.id.hex()},
                              {"why", "the bytes do not match its id"},
                              {"good_until", good_until}});
  return refuse(wire::Error::CORRUPT, EBADMSG, good_until,
                "the bytes do not match the chunk's id; they are good up to byte " + std::to_string(good_until));
}

/// Waits with the sender while the vault has much to write.
boost::asio::awaitable<Result<void>> wait_for_room(Call& call, OpenVault& vault) {
  const auto deadline = call.service.parts().clock.steady() + limits::kRequestDeadline / 2;
  const auto executor = call.session->executor();
  for (;;) {
    const auto waiter = vault.room.enter(executor);
    if (vault.chunks->queued_bytes() < call.service.options().queued_bytes_max) co_return Result<void>();
    if (call.service.is_stopping() || call.connection->is_closed()) co_return Error{Fault::stopped, 0, "stopping"};
    if (call.service.parts().clock.steady() >= deadline) co_return Error{Fault::offline, EAGAIN, "the disk is busy"};
    co_await waiter->wait(deadline);
  }
}

}  // namespace

Result<void> check_quota(OpenVault& vault, std::uint64_t quota_bytes, const object::ChunkId& id, std::uint64_t bytes) {
  if (quota_bytes == 0) return {};
  COFFER_TRY(const std::uint64_t log_bytes, vault.log->log_bytes());
  if (vault.chunks->used_bytes() + log_bytes + object::counted_chunk_bytes(bytes, 1) <= quota_bytes) return {};
  COFFER_TRY(const store::Held held, vault.chunks->find(id));
  if (held.stored) return {};
  return Error{Fault::full, EDQUOT, "the vault's quota is used up"};
}

void store_chunk(const std::shared_ptr<OpenVault>& vault, const object::ChunkId& id,
                 std::shared_ptr<const Bytes> sealed, store::ChunkStore::Done done, store::ChunkStore::Caller caller) {
  auto stored = [vault, id, done = std::move(done)](Result<store::PutDone> outcome) {
    vault->room.happened();
    if (outcome && vault->health.came(id)) log::info("chunk healed", {{"vault", vault->id.hex()}, {"chunk", id.hex()}});
    done(std::move(outcome));
  };
  vault->chunks->put(id, std::move(sealed), std::move(stored), caller);
}

std::shared_ptr<rpc::Body> body_of_put_chunk(const Call& call, std::size_t body_bytes) {
  std::shared_ptr<store::IncomingChunk> chunk;
  if (const auto wanted = check(call, body_bytes)) {
    chunk = call.service.partials().begin(key_of(call, *wanted), wanted->put.chunk_bytes(), wanted->put.offset());
  }
  return std::make_shared<ChunkBody>(std::move(chunk), body_bytes);
}

Answer put_chunk(Call call) {
  const auto sink = std::static_pointer_cast<ChunkBody>(std::move(call.request.body_sink));
  COFFER_CO_TRY(const Wanted wanted, check(call, sink->body_bytes()));
  const std::shared_ptr<store::IncomingChunk> chunk = sink->chunk();
  const store::PartialKey key = key_of(call, wanted);
  if (!chunk) {
    const std::uint64_t received = call.service.partials().received(key);
    co_return refuse(wire::Error::REFUSED, ESPIPE, received,
                     "of this chunk " + std::to_string(received) + " bytes are here: send it from there");
  }
  if (chunk->digest() != wanted.id) co_return refuse_damaged(call, wanted, *chunk);
  // From here on, what cannot be stored now is kept as it is, and need not be sent again.
  COFFER_CO_DO(co_await wait_for_room(call, *wanted.vault));

  const std::uint64_t quota_bytes = wanted.is_lost ? 0 : call.connection->access().grant->vault.quota_bytes;
  const std::shared_ptr<const Bytes> body = chunk->whole();
  std::function<void(Done<store::PutDone>)> start = [vault = wanted.vault, quota_bytes, id = wanted.id,
                                                     body](const Done<store::PutDone>& done) {
    if (auto allowed = check_quota(*vault, quota_bytes, id, body->size()); !allowed)
      return done(std::move(allowed).error());
    store_chunk(vault, id, body, done);
  };
  COFFER_CO_TRY(const store::PutDone stored, co_await off_io(call.disk(), std::move(start)));
  chunk->discard();
  call.service.partials().drop(key);
  wire::PutChunkDone done;
  done.set_was_stored(stored.was_stored);
  co_return reply_to(call, done);
}

}  // namespace coffer::service
