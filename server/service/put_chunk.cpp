// Takes a chunk: checked against its id, then stored; answered once it is on stable storage.
#include <cerrno>

#include "common/base/log.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

Result<object::ChunkId> check(const Call& call, const wire::PutChunk& put) {
  COFFER_TRY(const auto id, wire::parse_id<object::ChunkId>(put.id()));
  if (put.chunk_bytes() == 0 || put.chunk_bytes() > limits::kChunkSealedBytesMax)
    return Error{Fault::protocol, 0, "a chunk of an impossible length"};
  // No part of a chunk is kept here, as have said: there is nothing for this to go on from.
  if (put.offset() != 0) return Error{Fault::refused, EINVAL, "nothing of this chunk is kept; send it from its start"};
  if (call.request.body.size() != put.chunk_bytes())
    return Error{Fault::protocol, 0, "a chunk of another length than its header says"};
  if (!call.request.body_digest || object::ChunkId(*call.request.body_digest) != id)
    return Error{Fault::corrupt, EBADMSG, "the bytes do not match the chunk's id"};
  return id;
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

/// Whether the vault's quota allows for the chunk. One that is stored already takes nothing.
Result<void> check_quota(OpenVault& vault, std::uint64_t quota_bytes, const object::ChunkId& id, std::uint64_t bytes) {
  if (quota_bytes == 0) return {};
  COFFER_TRY(const std::uint64_t log_bytes, vault.log->log_bytes());
  if (vault.chunks->used_bytes() + log_bytes + bytes <= quota_bytes) return {};
  COFFER_TRY(const store::Held held, vault.chunks->find(id));
  if (held.stored) return {};
  return Error{Fault::full, EDQUOT, "the vault's quota is used up"};
}

}  // namespace

Answer put_chunk(Call call) {
  COFFER_CO_TRY(const wire::PutChunk put, wire::parse<wire::PutChunk>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  auto id = check(call, put);
  if (!id) {
    if (id.error().fault == Fault::corrupt)
      log::warn("chunk refused", {{"remote", call.session->remote()}, {"why", id.error().what}});
    co_return std::move(id).error();
  }
  COFFER_CO_DO(co_await wait_for_room(call, *vault));

  const std::uint64_t quota_bytes = call.connection->access().grant->vault.quota_bytes;
  auto body = std::make_shared<const Bytes>(std::move(call.request.body));
  std::function<void(Done<store::PutDone>)> start = [vault, quota_bytes, id = *id,
                                                     body = std::move(body)](const Done<store::PutDone>& done) {
    if (auto allowed = check_quota(*vault, quota_bytes, id, body->size()); !allowed)
      return done(std::move(allowed).error());
    vault->chunks->put(id, body, [vault, done](Result<store::PutDone> outcome) {
      vault->room.happened();
      done(std::move(outcome));
    });
  };
  COFFER_CO_TRY(const store::PutDone stored, co_await off_io(call.service.disk(), std::move(start)));
  wire::PutChunkDone done;
  done.set_was_stored(stored.was_stored);
  co_return reply_to(call, done);
}

}  // namespace coffer::service
