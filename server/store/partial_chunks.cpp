#include "server/store/partial_chunks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace coffer::store {
namespace {

/// What an entry takes beside its bytes, so that a great many tiny ones are bounded, too.
constexpr std::uint64_t kEntryBytes = 1024;

}  // namespace

IncomingChunk::IncomingChunk(std::shared_ptr<PartialChunks> partials, const PartialKey& key, std::uint64_t chunk_bytes)
    : partials_(std::move(partials)), key_(key), bytes_(std::make_shared<Bytes>(chunk_bytes)), hash_(std::in_place) {}

IncomingChunk::~IncomingChunk() { partials_->ended(*this); }

void IncomingChunk::begin_with(ByteView prefix, std::optional<crypto::Sha256> hash) {
  std::memcpy(bytes_->data(), prefix.data(), prefix.size());
  if (hash) {
    hash_ = std::move(hash);
  } else {
    hash_->update(prefix);
  }
  received_ = prefix.size();
}

void IncomingChunk::add(std::size_t bytes) {
  COFFER_CHECK(hash_ && bytes <= room().size());
  hash_->update(room().first(bytes));
  received_ += bytes;
}

object::ChunkId IncomingChunk::digest() {
  COFFER_CHECK(is_whole() && hash_);
  const object::ChunkId digest(hash_->finish());
  hash_.reset();
  return digest;
}

std::shared_ptr<const Bytes> IncomingChunk::whole() const {
  COFFER_CHECK(is_whole());
  return bytes_;
}

void IncomingChunk::discard(std::uint64_t good_until) {
  received_ = std::min<std::uint64_t>(received_, good_until);
  hash_.reset();  // Made anew of what is kept, when someone goes on from it.
}

std::uint64_t PartialChunks::Kept::cost() const { return bytes.size() + kEntryBytes; }

void PartialChunks::ended(IncomingChunk& incoming) {
  Kept kept;
  kept.key = incoming.key_;
  kept.chunk_bytes = incoming.bytes_->size();
  kept.bytes =
      copy_of(ByteView(*incoming.bytes_).first(incoming.received_));  // The rest was room for what did not come.
  kept.hash = std::move(incoming.hash_);
  kept.since = clock_.steady();
  const MutexLock lock(mutex_);
  const auto [begin, end] = coming_in_.equal_range(incoming.key_);
  const auto found = std::find_if(begin, end, [&](const auto& one) { return one.second == &incoming; });
  if (found != end) coming_in_.erase(found);
  if (!kept.bytes.empty()) keep(std::move(kept));
}

void PartialChunks::keep(Kept kept) {
  remove_expired();
  if (const auto other = by_key_.find(kept.key); other != by_key_.end()) {
    const Kept& there = *other->second;
    if (there.chunk_bytes == kept.chunk_bytes && there.bytes.size() >= kept.bytes.size()) return;
    remove(other->second);
  }
  if (kept.cost() > options_.client_bytes_max || kept.cost() > options_.total_bytes_max) return;
  while (client_bytes_[kept.key.client] + kept.cost() > options_.client_bytes_max) remove_oldest_of(kept.key.client);
  while (kept_bytes_ + kept.cost() > options_.total_bytes_max) {
    const auto by_bytes = [](const auto& a, const auto& b) { return a.second < b.second; };
    const object::ClientId greediest = std::ranges::max_element(client_bytes_, by_bytes)->first;
    remove_oldest_of(greediest);
  }
  kept_bytes_ += kept.cost();
  client_bytes_[kept.key.client] += kept.cost();
  const PartialKey key = kept.key;
  by_key_[key] = kept_.insert(kept_.end(), std::move(kept));
}

PartialChunks::Kept PartialChunks::remove(Place place) {
  Kept kept = std::move(*place);
  const auto client = client_bytes_.find(kept.key.client);
  client->second -= kept.cost();
  if (client->second == 0) client_bytes_.erase(client);
  kept_bytes_ -= kept.cost();
  by_key_.erase(kept.key);
  kept_.erase(place);
  return kept;
}

void PartialChunks::remove_oldest_of(const object::ClientId& client) {
  const auto oldest = std::ranges::find_if(kept_, [&](const Kept& kept) { return kept.key.client == client; });
  COFFER_CHECK(oldest != kept_.end());
  remove(oldest);
}

void PartialChunks::remove_expired() {
  const os::SteadyTime before = clock_.steady() - options_.lifetime;
  while (!kept_.empty() && kept_.front().since < before) remove(kept_.begin());
}

void PartialChunks::expire() {
  const MutexLock lock(mutex_);
  remove_expired();
}

std::uint64_t PartialChunks::received(const PartialKey& key) {
  const MutexLock lock(mutex_);
  remove_expired();
  const auto found = by_key_.find(key);
  std::uint64_t received = found == by_key_.end() ? 0 : found->second->bytes.size();
  const auto [begin, end] = coming_in_.equal_range(key);
  for (auto one = begin; one != end; ++one) received = std::max(received, one->second->received());
  return received;
}

std::shared_ptr<IncomingChunk> PartialChunks::begin(const PartialKey& key, std::uint64_t chunk_bytes,
                                                    std::uint64_t offset) {
  COFFER_CHECK(offset <= chunk_bytes);
  auto incoming = std::make_shared<IncomingChunk>(shared_from_this(), key, chunk_bytes);
  std::optional<Kept> kept;
  std::shared_ptr<const Bytes> other;  // Of the same chunk, on a connection that its sender has given up.
  {
    const MutexLock lock(mutex_);
    remove_expired();
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      const Kept& there = *found->second;
      if (there.chunk_bytes != chunk_bytes || (offset > 0 && there.bytes.size() >= offset))
        kept = remove(found->second);
      if (kept && kept->chunk_bytes != chunk_bytes) kept.reset();
    }
    if (offset > 0 && !kept) {
      const auto [begin, end] = coming_in_.equal_range(key);
      for (auto one = begin; one != end && !other; ++one) {
        const IncomingChunk& candidate = *one->second;
        if (candidate.bytes_->size() == chunk_bytes && candidate.received() >= offset) other = candidate.bytes_;
      }
      if (!other) return nullptr;
    }
    coming_in_.emplace(key, incoming.get());
  }
  if (kept) {
    const bool is_all = kept->bytes.size() == offset;
    incoming->begin_with(ByteView(kept->bytes).first(offset), is_all ? std::move(kept->hash) : std::nullopt);
  } else if (other) {
    incoming->begin_with(ByteView(*other).first(offset), std::nullopt);
  }
  return incoming;
}

void PartialChunks::drop(const PartialKey& key) {
  const MutexLock lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) remove(found->second);
}

std::uint64_t PartialChunks::kept_bytes() const {
  const MutexLock lock(mutex_);
  return kept_bytes_;
}

std::uint64_t PartialChunks::kept_bytes(const object::ClientId& client) const {
  const MutexLock lock(mutex_);
  const auto found = client_bytes_.find(client);
  return found == client_bytes_.end() ? 0 : found->second;
}

}  // namespace coffer::store
