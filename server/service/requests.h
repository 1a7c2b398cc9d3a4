// The requests of the protocol, each in the file of its name (the lease's three in lease.cpp, those of the key slots in
// key_slots.cpp).
//
// Each is a coroutine on its session's executor that owns its Call, and takes nothing in it for granted: PROTOCOL.md
// says what a peer may send. What a connection may not do is Fault::refused; what no honest peer sends is
// Fault::protocol, and ends the connection.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "net/wire/message.h"
#include "server/service/off_io.h"
#include "server/service/service.h"

namespace coffer::service {

struct Call {
  Service& service;
  std::shared_ptr<rpc::Session> session;
  std::shared_ptr<Connection> connection;
  rpc::Request request;

  /// Work of this client's; of strangers', who share one turn, where nobody is known.
  DiskTurn disk() const;
};

using Answer = boost::asio::awaitable<Result<rpc::Reply>>;

Answer hello(Call call);
Answer have(Call call);
Answer put_chunk(Call call);
/// Where its body goes; only the request's header is there. What is wrong with it is put_chunk()'s to say.
std::shared_ptr<rpc::Body> body_of_put_chunk(const Call& call, std::size_t body_bytes);
Answer get_chunk(Call call);
Answer verify_chunks(Call call);
Answer append_commit(Call call);
Answer get_commits(Call call);
Answer acquire_lease(Call call);
Answer renew_lease(Call call);
Answer release_lease(Call call);
Answer get_key_slots(Call call);
Answer put_key_slot(Call call);
Answer remove_key_slot(Call call);
Answer ping(Call call);
Answer enroll(Call call);
Answer renew_certificate(Call call);
/// A type of a newer version: an answer, not a fault.
Answer unknown(Call call);

enum class Use { read, write };

/// The vault of the connection. Fault::refused where it has none, or with EROFS for Use::write where it may only be
/// read.
Result<std::shared_ptr<OpenVault>> vault_for(const Call& call, Use use);

/// Whether the vault's quota allows for the chunk. One that is stored already takes nothing. May wait for the disk.
Result<void> check_quota(OpenVault& vault, std::uint64_t quota_bytes, const object::ChunkId& id, std::uint64_t bytes);
/// ChunkStore::put(), and tells those who wait for room or for this chunk.
void store_chunk(const std::shared_ptr<OpenVault>& vault, const object::ChunkId& id,
                 std::shared_ptr<const Bytes> sealed, store::ChunkStore::Done done,
                 store::ChunkStore::Caller caller = store::ChunkStore::Caller::waits);

/// The answer to `call` with this message for its header.
rpc::Reply reply_to(const Call& call, const google::protobuf::MessageLite& message, Bytes body = {});

/// How the grant's vault stands. May wait for the disk.
Result<void> describe(VaultSet& vaults, const accounts::Grant& grant, wire::Vault& to);

inline std::string as_string(ByteView bytes) { return std::string(as_text(bytes)); }

}  // namespace coffer::service
