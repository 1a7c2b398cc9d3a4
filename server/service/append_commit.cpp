// Appends a commit to the vault's log and answers with the receipt; server/oplog decides. Small chunks that the commit
// adds may come with it: they are stored once all else is found to be right.
#include <algorithm>
#include <future>
#include <map>

#include "common/base/log.h"
#include "common/crypto/hash.h"
#include "common/object/commit.h"
#include "server/service/requests.h"

namespace coffer::service {
namespace {

/// A vault whose quota is used up can still say what it removes: the log may grow this far beyond.
constexpr std::uint64_t kLogBytesBeyondQuota = 64u << 20;

/// What a request holds.
struct Incoming {
  Bytes body;
  std::size_t commit_bytes = 0;
  std::vector<std::uint32_t> carried_bytes;  ///< Of the chunks behind the commit, all of them not empty.

  ByteView commit() const { return ByteView(body).first(commit_bytes); }
};

using Carried = std::map<object::ChunkId, std::shared_ptr<const Bytes>>;

Result<Incoming> take_apart(const wire::AppendCommit& header, Bytes body) {
  Incoming incoming{.body = std::move(body), .commit_bytes = 0, .carried_bytes = {}};
  std::uint64_t all_bytes = 0;
  for (const std::uint32_t bytes : header.carried_bytes()) {
    if (bytes == 0) return Error{Fault::protocol, 0, "a chunk of an impossible length"};
    all_bytes += bytes;
    incoming.carried_bytes.push_back(bytes);
  }
  if (incoming.carried_bytes.size() > wire::kCarriedCountMax || all_bytes > wire::kCarriedBytesMax)
    return Error{Fault::protocol, 0, "more chunks than a commit may bring along"};
  if (all_bytes > incoming.body.size()) return Error{Fault::protocol, 0, "fewer bytes than the header says"};
  incoming.commit_bytes = incoming.body.size() - all_bytes;
  return incoming;
}

/// The chunks by their ids. Fault::corrupt for one that the commit does not add: it came damaged.
Result<Carried> carried_by(const Incoming& incoming) {
  Carried carried;
  if (incoming.carried_bytes.empty()) return carried;
  const Result<object::Commit> commit = object::decode_commit(incoming.commit());
  if (!commit) return carried;  // append() says what is wrong with it.
  ByteView rest = ByteView(incoming.body).subspan(incoming.commit_bytes);
  for (const std::uint32_t bytes : incoming.carried_bytes) {
    const object::ChunkId id(crypto::sha256(rest.first(bytes)));
    if (!std::ranges::binary_search(commit->added, id))
      return Error{Fault::corrupt, EBADMSG, "the bytes of a chunk match none that the commit adds"};
    carried.insert_or_assign(id, std::make_shared<const Bytes>(copy_of(rest.first(bytes))));
    rest = rest.subspan(bytes);
  }
  return carried;
}

/// Chunks on their way to the disk, all at once.
class Storing {
 public:
  void begin(const std::shared_ptr<OpenVault>& vault, const object::ChunkId& id, std::shared_ptr<const Bytes> sealed) {
    auto stored = std::make_shared<std::promise<Result<store::PutDone>>>();
    begun_.push_back(stored->get_future());
    auto done = [stored](Result<store::PutDone> outcome) { stored->set_value(std::move(outcome)); };
    store_chunk(vault, id, std::move(sealed), std::move(done), store::ChunkStore::Caller::goes_on);
  }

  /// Returns when they are on stable storage.
  Result<void> wait() {
    for (std::future<Result<store::PutDone>>& stored : begun_) COFFER_DO(stored.get());
    return {};
  }

 private:
  std::vector<std::future<Result<store::PutDone>>> begun_;
};

Result<Bytes> append(const std::shared_ptr<OpenVault>& vault, const Incoming& incoming, const object::ClientId& client,
                     std::uint64_t quota_bytes) {
  COFFER_TRY(const Carried carried, carried_by(incoming));
  for (const auto& [id, sealed] : carried) COFFER_DO(check_quota(*vault, quota_bytes, id, sealed->size()));
  Storing storing;
  const auto is_stored = [&](const object::ChunkId& id) -> Result<bool> {
    COFFER_TRY(const store::Held held, vault->chunks->find(id));
    if (held.stored) return true;
    const auto found = carried.find(id);
    if (found == carried.end()) return false;
    storing.begin(vault, id, found->second);
    return true;
  };
  const auto settled = [&storing] { return storing.wait(); };
  if (quota_bytes == 0) return vault->log->append(incoming.commit(), client, is_stored, oplog::kNoLogLimit, settled);
  const std::uint64_t chunk_bytes = std::min(vault->chunks->used_bytes(), quota_bytes);
  return vault->log->append(incoming.commit(), client, is_stored, quota_bytes - chunk_bytes + kLogBytesBeyondQuota,
                            settled);
}

}  // namespace

Answer append_commit(Call call) {
  COFFER_CO_TRY(const auto header, wire::parse<wire::AppendCommit>(call.request.header));
  COFFER_CO_TRY(Incoming incoming, take_apart(header, std::move(call.request.body)));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  const object::ClientId client = call.connection->access().client.id;
  const std::uint64_t quota_bytes = call.connection->access().grant->vault.quota_bytes;
  auto work = [vault, client, quota_bytes, incoming = std::move(incoming)] {
    return append(vault, incoming, client, quota_bytes);
  };
  auto receipt = co_await on_disk(call.disk(), std::move(work));
  if (!receipt) {
    log::warn("commit refused", {{"remote", call.session->remote()},
                                 {"client", call.connection->access().client.name},
                                 {"why", receipt.error().what}});
    co_return std::move(receipt).error();
  }
  wire::AppendCommitDone done;
  done.set_receipt(as_string(*receipt));
  co_return reply_to(call, done);
}

}  // namespace coffer::service
