// OpenSSL's functions for a SHA-256 with its state in view: the lanes go on from such a state and leave one, and
// OpenSSL does what is left of each message, and all of it where there are no lanes.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/crypto/hash_each.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/check.h"
#include "common/crypto/sha256_lanes.h"
#include "common/crypto/wipe.h"

namespace coffer::crypto {
namespace {

struct Hash {
  SHA256_CTX state;
  ByteView rest;  ///< Not yet in the state.

  std::size_t whole_blocks() const { return rest.size() / kSha256BlockBytes; }
};

void add(SHA256_CTX& state, ByteView bytes) {
  COFFER_CHECK(bytes.empty() || SHA256_Update(&state, bytes.data(), bytes.size()) == 1);
}
Digest finish(SHA256_CTX& state) {
  Digest digest;
  COFFER_CHECK(SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &state) == 1);
  return digest;
}

SHA256_CTX begun() {
  SHA256_CTX state;
  COFFER_CHECK(SHA256_Init(&state) == 1);
  return state;
}
/// After a key's bytes, each changed by `mask` (RFC 2104).
SHA256_CTX begun_with(const std::array<std::byte, kSha256BlockBytes>& key, std::byte mask) {
  std::array<std::byte, kSha256BlockBytes> block = key;
  for (std::byte& b : block) b ^= mask;
  SHA256_CTX state = begun();
  add(state, block);
  wipe(block);
  return state;
}

void load(Sha256Lanes& lanes, std::size_t lane, const Hash& hash) {
  for (std::size_t i = 0; i < lanes.words.size(); ++i) lanes.words[i][lane] = hash.state.h[i];
  lanes.data[lane] = hash.rest.data();
}

/// What SHA256_Update() would have left after `block_count` blocks.
void store(const Sha256Lanes& lanes, std::size_t lane, Hash& hash, std::size_t block_count) {
  for (std::size_t i = 0; i < lanes.words.size(); ++i) hash.state.h[i] = lanes.words[i][lane];
  std::uint64_t bits = (std::uint64_t{hash.state.Nh} << 32) | hash.state.Nl;
  bits += std::uint64_t{block_count} * kSha256BlockBytes * 8;
  hash.state.Nl = static_cast<SHA_LONG>(bits);
  hash.state.Nh = static_cast<SHA_LONG>(bits >> 32);
  hash.rest = hash.rest.subspan(block_count * kSha256BlockBytes);
}

/// Adds whole blocks side by side, as long as enough messages have some left. No state has a part of a block in it.
void add_together(std::vector<Hash>& hashes) {
  if (!has_sha256_lanes()) return;
  // The longest first: what is left at the end, with too few to go together, is short.
  std::vector<Hash*> waiting;
  for (Hash& hash : hashes) {
    if (hash.whole_blocks() > 0) waiting.push_back(&hash);
  }
  const auto by_blocks = [](const Hash* a, const Hash* b) { return a->whole_blocks() < b->whole_blocks(); };
  std::ranges::sort(waiting, by_blocks);
  Sha256Lanes lanes;
  std::vector<Hash*> active;
  for (;;) {
    std::erase_if(active, [](const Hash* hash) { return hash->whole_blocks() == 0; });
    for (; !waiting.empty() && active.size() < kSha256LanesMax; waiting.pop_back()) active.push_back(waiting.back());
    if (active.size() < kHashedTogetherMin) break;
    const std::size_t lane_count = active.size() > 8 ? 16 : 8;
    const std::size_t block_count = (*std::ranges::min_element(active, by_blocks))->whole_blocks();
    // A lane without a message of its own works on another's, for nothing.
    for (std::size_t lane = 0; lane < lane_count; ++lane) load(lanes, lane, *active[std::min(lane, active.size() - 1)]);
    compress(lanes, lane_count, block_count);
    for (std::size_t lane = 0; lane < active.size(); ++lane) store(lanes, lane, *active[lane], block_count);
  }
  wipe(std::as_writable_bytes(std::span(lanes.words)));
}

std::vector<Hash> added(const SHA256_CTX& begin, std::span<const ByteView> messages) {
  std::vector<Hash> hashes;
  hashes.reserve(messages.size());
  for (const ByteView message : messages) hashes.push_back({begin, message});
  add_together(hashes);
  for (Hash& hash : hashes) add(hash.state, hash.rest);
  return hashes;
}

}  // namespace

std::vector<Digest> sha256_each(std::span<const ByteView> messages) {
  std::vector<Digest> digests;
  digests.reserve(messages.size());
  for (Hash& hash : added(begun(), messages)) digests.push_back(finish(hash.state));
  return digests;
}

std::vector<Digest> hmac_sha256_each(ByteView key, std::span<const ByteView> messages) {
  std::array<std::byte, kSha256BlockBytes> block{};
  if (key.size() > block.size()) {
    Digest hashed = sha256(key);
    std::ranges::copy(hashed, block.begin());
    wipe(hashed);
  } else {
    std::ranges::copy(key, block.begin());
  }
  SHA256_CTX inner = begun_with(block, std::byte{0x36});
  SHA256_CTX outer = begun_with(block, std::byte{0x5c});
  wipe(block);
  std::vector<Digest> digests;
  digests.reserve(messages.size());
  std::vector<Hash> hashes = added(inner, messages);
  for (Hash& hash : hashes) {
    SHA256_CTX state = outer;
    add(state, finish(hash.state));
    digests.push_back(finish(state));
  }
  wipe(std::as_writable_bytes(std::span(&inner, 1)));
  wipe(std::as_writable_bytes(std::span(&outer, 1)));
  return digests;
}

}  // namespace coffer::crypto
