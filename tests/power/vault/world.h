// A client and a server in one process, each on a disk of its own whose power can go.
//
// All stations are the real ones, from commit to upload on the one side and store and oplog on the other; the network
// between them is a call. What fs/vault does at a start, this does too: open, catch up with the log, take the lease.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/commit/committer.h"
#include "fs/fetch/fetcher.h"
#include "fs/keys/vault_key.h"
#include "fs/upload/uploader.h"
#include "server/oplog/oplog.h"
#include "server/store/pack_chunk_store.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/sim_disk.h"

namespace coffer::power {

using testing::SimDisk;

class World {
 public:
  explicit World(std::uint64_t seed);
  World(const World&) = delete;
  ~World() { die(); }

  class Server;
  class Client;

  SimDisk server_disk;
  SimDisk client_disk;
  testing::SeededRandom random;

  bool open_server();
  /// Opens, catches up, takes the lease. The error says what a user would see.
  Result<void> open_client();
  /// Another machine that joins the vault: everything that it reads comes from the server.
  Result<std::unique_ptr<Client>> join(SimDisk& disk);
  /// All processes are gone.
  void die();
  void die_client();
  /// Both disks lose what they may.
  void lose_power();

  Client& client() { return *client_; }
  Server& server() { return *server_; }

 private:
  const crypto::SigningKey receipt_key_;
  const keys::VaultKey key_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

/// The server as the client's stations see it.
class World::Server : public upload::Remote, public fetch::ChunkSource {
 public:
  Server(SimDisk& disk, const crypto::SigningKey& key) : disk_(disk), writers_(1), key_(key) {}
  ~Server() override { close(); }

  Result<void> open();
  void close();

  bool online() const override { return !is_away && !disk_.power_was_cut(); }
  void somebody_waits(bool) override {}
  void have(std::vector<object::ChunkId> ids, rpc::Deadline, rpc::Done<std::vector<rpc::HaveState>> done) override;
  void put_chunk(const object::ChunkId& id, std::shared_ptr<const Bytes> sealed, std::uint64_t, rpc::Deadline,
                 rpc::Done<rpc::PutChunkDone> done) override;
  std::size_t carried_bytes_max() const override { return carries_bytes; }
  void append_commit(Bytes commit, std::vector<std::shared_ptr<const Bytes>> carried, rpc::Deadline,
                     rpc::Done<object::Receipt> done) override;
  void get_chunk(const object::ChunkId& id, os::SteadyTime, std::function<void(Result<Bytes>)> done) override;

  oplog::OpLog& log() { return *log_; }

  std::atomic<std::size_t> carries_bytes = 48u << 10;  ///< Of chunks, with a commit.
  std::atomic<std::size_t> carried_count = 0;
  std::atomic<bool> loses_commits = false;  ///< It is reached, and what is to be appended never arrives.
  std::atomic<bool> is_away = false;        ///< The client cannot reach it.

 private:
  SimDisk& disk_;
  store::WriterPool writers_;
  const crypto::SigningKey& key_;
  std::shared_ptr<store::ChunkStore> chunks_;
  std::unique_ptr<oplog::OpLog> log_;
};

class World::Client : public meta::TreeEvents {
 public:
  Client(SimDisk& disk, Server& server, const keys::VaultKey& key);
  ~Client() override { close(); }

  Result<void> open();
  /// The commits that the tree has not seen.
  Result<void> catch_up();
  /// The server's first `commits` commits, as a new tree at `path`.
  Result<void> replay(const std::string& path, std::uint64_t commits);
  void start_upload(std::uint64_t epoch);
  void close();

  // meta::TreeEvents
  void chunk_dropped(const ChunkRow& chunk) override;
  void changed() override;

  Result<InodeId> create(const std::string& name);
  Result<void> write(InodeId inode, std::uint64_t at, ByteView bytes);
  Result<void> truncate(InodeId inode, std::uint64_t bytes);
  Result<void> rename(const std::string& from, const std::string& to);
  Result<void> unlink(const std::string& name);
  /// fsync=local, and fsync=server.
  Result<void> make_power_safe() { return committer->make_power_safe(); }
  Result<void> wait_committed();
  /// answer(ENOENT) where there is no such name.
  Result<Bytes> read(const std::string& name);

  std::unique_ptr<meta::Tree> tree;
  std::unique_ptr<spool::Spool> spool;
  std::unique_ptr<spool::Staging> staging;
  std::unique_ptr<commit::Committer> committer;
  std::unique_ptr<fetch::Fetcher> fetcher;
  std::unique_ptr<upload::Uploader> uploader;

 private:
  SimDisk& disk_;
  Server& server_;
  testing::SeededRandom random_;
  const keys::VaultKey& key_;
  const crypto::Secret chunker_key_;
  const chunk::PieceHasher pieces_;
  const seal::Sealer sealer_;
  std::set<InodeId> written_;  ///< Since the last wait_committed(), by those writes that an fsync(2) follows.
  unsigned writes_ = 0;
  std::atomic<bool> is_running_ = false;
};

}  // namespace coffer::power
