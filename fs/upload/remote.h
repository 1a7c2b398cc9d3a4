// What the uploader asks of the server: the few calls behind which a test can stand in for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "net/rpc/client.h"

namespace coffer::upload {

/// Thread-safe. Every Done is called exactly once, perhaps before the call returns, and must not block.
class Remote {
 public:
  virtual ~Remote() = default;

  virtual bool online() const = 0;
  /// Somebody waits for what is sent, or one fewer does; counted. A link that is down is tried sooner then.
  virtual void somebody_waits(bool begins) = 0;
  virtual void have(std::vector<object::ChunkId> ids, rpc::Deadline deadline,
                    rpc::Done<std::vector<rpc::HaveState>> done) = 0;
  /// From `offset` on, which have() told.
  virtual void put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, std::uint64_t offset,
                         rpc::Deadline deadline, rpc::Done<rpc::PutChunkDone> done) = 0;
  /// How many bytes of chunks that its commit is the first to name append_commit() may take along.
  virtual std::size_t carried_bytes_max() const { return 0; }
  /// `carried` are stored first, or the commit is refused.
  virtual void append_commit(Bytes commit, std::vector<std::shared_ptr<const Bytes>> carried, rpc::Deadline deadline,
                             rpc::Done<object::Receipt> done) = 0;
  /// The key with which receipts have been checked when append_commit() hands them on; none: they have not.
  virtual std::optional<crypto::PublicKey> checks_receipts_with() const { return std::nullopt; }
};

/// The server behind an rpc::Client, which must outlive it.
class RpcRemote : public Remote {
 public:
  explicit RpcRemote(rpc::Client& client) : client_(client) {}

  bool online() const override { return client_.link() == rpc::Link::online; }
  void somebody_waits(bool begins) override { client_.somebody_waits(begins); }
  void have(std::vector<object::ChunkId> ids, rpc::Deadline deadline,
            rpc::Done<std::vector<rpc::HaveState>> done) override {
    client_.have(std::move(ids), deadline, std::move(done));
  }
  void put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, std::uint64_t offset,
                 rpc::Deadline deadline, rpc::Done<rpc::PutChunkDone> done) override {
    client_.put_chunk(id, std::move(sealed), offset, deadline, std::move(done));
  }
  std::size_t carried_bytes_max() const override { return client_.carried_bytes_max(); }
  void append_commit(Bytes commit, std::vector<std::shared_ptr<const Bytes>> carried, rpc::Deadline deadline,
                     rpc::Done<object::Receipt> done) override {
    client_.append_commit(std::move(commit), carried, deadline, std::move(done));
  }
  std::optional<crypto::PublicKey> checks_receipts_with() const override {
    const std::optional<rpc::ServerFacts> facts = client_.facts();
    return facts ? std::optional(facts->receipt_key) : std::nullopt;
  }

 private:
  rpc::Client& client_;
};

}  // namespace coffer::upload
