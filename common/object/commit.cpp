#include "common/object/commit.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/crypto/hash.h"

namespace coffer::object {
namespace {

constexpr std::string_view kMagic = "CFRCMT01";
constexpr std::size_t kHeadBytes = 88;

Error bad(const char* what) { return {Fault::corrupt, 0, what}; }

bool is_strictly_ascending(const std::vector<ChunkId>& ids) {
  return std::ranges::adjacent_find(ids, std::ranges::greater_equal()) == ids.end();
}

template <class Id>
Result<Id> get_id(Reader& reader) {
  COFFER_TRY(const ByteView bytes, reader.get_bytes(Id::kSize));
  return Id::from(bytes);
}

Result<std::vector<ChunkId>> get_ids(Reader& reader, std::uint32_t count) {
  std::vector<ChunkId> ids;
  ids.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    COFFER_TRY(const ChunkId id, get_id<ChunkId>(reader));
    if (!ids.empty() && ids.back() >= id) return bad("chunk ids of a commit are not ascending");
    ids.push_back(id);
  }
  return ids;
}

struct Counts {
  std::uint32_t added = 0;
  std::uint32_t released = 0;
  std::uint32_t payload_bytes = 0;
};

/// Reads the counts and compares them with what is there, so that nothing is allocated on their word.
Result<Counts> get_counts(Reader& reader) {
  Counts counts;
  COFFER_TRY(counts.added, reader.get<std::uint32_t>());
  COFFER_TRY(counts.released, reader.get<std::uint32_t>());
  COFFER_TRY(counts.payload_bytes, reader.get<std::uint32_t>());
  COFFER_TRY(const std::uint32_t zero, reader.get<std::uint32_t>());
  if (zero != 0) return bad("reserved bytes of a commit are not zero");
  if (std::max(counts.added, counts.released) > limits::kIdsPerMessageMax) return bad("too many ids in a commit");
  if (counts.payload_bytes > limits::kCommitPayloadBytesMax) return bad("payload of a commit is too long");
  const std::uint64_t rest = (std::uint64_t{counts.added} + counts.released) * ChunkId::kSize + counts.payload_bytes;
  if (rest != reader.rest().size()) return bad("length of a commit does not match its counts");
  return counts;
}

}  // namespace

Bytes encode(const Commit& commit) {
  COFFER_CHECK(is_strictly_ascending(commit.added) && is_strictly_ascending(commit.released));
  COFFER_CHECK(std::max(commit.added.size(), commit.released.size()) <= limits::kIdsPerMessageMax);
  COFFER_CHECK(commit.payload.size() <= limits::kCommitPayloadBytesMax);
  Bytes bytes;
  bytes.reserve(kHeadBytes + (commit.added.size() + commit.released.size()) * ChunkId::kSize + commit.payload.size());
  Writer writer(bytes);
  writer.put_bytes(as_bytes(kMagic));
  writer.put_bytes(commit.vault.bytes());
  writer.put(commit.seq);
  writer.put_bytes(commit.previous.bytes());
  writer.put(commit.epoch);
  writer.put(static_cast<std::uint32_t>(commit.added.size()));
  writer.put(static_cast<std::uint32_t>(commit.released.size()));
  writer.put(static_cast<std::uint32_t>(commit.payload.size()));
  writer.put(std::uint32_t{0});
  for (const ChunkId& id : commit.added) writer.put_bytes(id.bytes());
  for (const ChunkId& id : commit.released) writer.put_bytes(id.bytes());
  writer.put_bytes(commit.payload);
  return bytes;
}

Result<Commit> decode_commit(ByteView bytes) {
  Reader reader(bytes);
  COFFER_TRY(const ByteView magic, reader.get_bytes(kMagic.size()));
  if (as_text(magic) != kMagic) return bad("not a commit");
  Commit commit;
  COFFER_TRY(commit.vault, get_id<VaultId>(reader));
  COFFER_TRY(commit.seq, reader.get<std::uint64_t>());
  COFFER_TRY(commit.previous, get_id<CommitHash>(reader));
  COFFER_TRY(commit.epoch, reader.get<std::uint64_t>());
  if (commit.seq == 0) return bad("commit without a sequence number");
  if (commit.seq == 1 && commit.previous != CommitHash()) return bad("first commit names a previous one");
  COFFER_TRY(const Counts counts, get_counts(reader));
  COFFER_TRY(commit.added, get_ids(reader, counts.added));
  COFFER_TRY(commit.released, get_ids(reader, counts.released));
  commit.payload = copy_of(reader.rest());
  return commit;
}

CommitHash hash_of(ByteView commit_bytes) { return CommitHash(crypto::sha256(commit_bytes)); }

}  // namespace coffer::object
