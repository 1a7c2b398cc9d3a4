// What the server's answers say, as plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/crypto/sign.h"
#include "common/object/ids.h"

namespace coffer::rpc {

struct VaultState {
  object::VaultId id;
  std::string name;
  bool read_only = false;         ///< For this client.
  std::uint64_t quota_bytes = 0;  ///< 0: none.
  std::uint64_t stored_bytes = 0;
  std::uint64_t head_seq = 0;
  object::CommitHash head_hash;
  std::uint64_t wanted_chunks = 0;      ///< That the log names and the server has lost.
  std::int64_t scrubbed_ns = 0;         ///< All that was stored then was read back since; 0: not yet.
  std::vector<object::ChunkId> wanted;  ///< Of ping(): some of them, asked back from whoever has them.
};

struct ServerFacts {
  object::ClientId client;
  std::string client_name;
  std::vector<VaultState> vaults;
  crypto::PublicKey receipt_key{};
  std::uint32_t chunk_bytes_max = 0;
  std::uint32_t carried_bytes_max = 0;  ///< Of chunks that an append_commit may bring along.
};

struct HaveState {
  std::uint64_t received = 0;  ///< Bytes that the server keeps of a chunk that was broken off.
  bool stored = false;
};

struct PutChunkDone {
  bool was_stored = false;  ///< It was there before.
};

enum class VerifyState { good, missing, damaged };

struct CommitPage {
  std::vector<Bytes> commits;
  std::uint64_t head_seq = 0;
};

struct LeaseGrant {
  bool granted = false;
  std::uint64_t epoch = 0;
  std::chrono::milliseconds ttl{0};
  std::string holder;  ///< The name of the client that has it, where it was not granted.
};

struct KeySlot {
  std::uint64_t number = 0;
  Bytes slot;
};

struct RenewedCertificate {
  std::string certificate_pem;
  std::string ca_pem;
};

}  // namespace coffer::rpc
