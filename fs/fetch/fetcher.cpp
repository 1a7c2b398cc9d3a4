#include "fs/fetch/fetcher.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "fs/fetch/flights.h"
#include "fs/fetch/lru_cache.h"
#include "fs/fetch/read_ahead.h"

namespace coffer::fetch {
namespace {

constexpr std::uint32_t kFrameBytes = limits::kFramePlainBytesMax;
/// Heads of sealed chunks that are kept, so that a frame is read without reading its chunk's head again.
constexpr std::size_t kHeaderBytesMaxKept = 2u << 20;
/// Sealed chunks that came lately: all that is read ahead, and what its reader is at. He need not read it back from the
/// spool, perhaps from the disk.
constexpr std::size_t kSealedBytesMaxKept = kReadAheadBytesMax + (8u << 20);
/// How often the extents may change under a reader before the writer is to blame.
constexpr int kExtentTriesMax = 100;

struct FrameKey {
  object::ChunkId chunk;
  std::size_t index;
  friend bool operator==(const FrameKey&, const FrameKey&) = default;
};

struct FrameKeyHash {
  std::size_t operator()(const FrameKey& key) const noexcept {
    return std::hash<object::ChunkId>()(key.chunk) + key.index * 0x9E3779B97F4A7C15u;
  }
};

bool is_absent(const Error& error) { return error.fault == Fault::answer && error.code == ENOENT; }
bool is_stale(const Error& error) { return error.fault == Fault::answer && error.code == ESTALE; }

}  // namespace

using Frame = std::shared_ptr<const Bytes>;
using Header = std::shared_ptr<const seal::SealedHeader>;

struct Fetcher::State {
  struct Wait {
    os::SteadyTime deadline;
    const std::stop_token& stop;
  };

  State(const Parts& its_parts, const FetcherOptions& options)
      : parts(its_parts),
        frames(options.decoded_bytes_max),
        headers(kHeaderBytesMaxKept),
        fetched(kSealedBytesMaxKept),
        flights(std::make_shared<Flights>(its_parts.source, options.read_ahead_bytes_max)),
        file_walks(options.read_ahead_bytes_max) {}

  Result<bool> read_extents(InodeId inode, FileOffset at, MutableByteView into, const Wait& wait);
  Result<ChunkState> read_chunk(ChunkKey key, std::uint32_t offset, MutableByteView into, const Wait& wait);
  Result<Frame> frame(const ChunkRow& chunk, std::size_t index, const Wait& wait, bool& was_away);
  bool is_gone(ChunkKey chunk);
  Result<Frame> frame_from_spool(const ChunkRow& chunk, std::size_t index);
  Result<Frame> frame_from_sealed(const ChunkRow& chunk, std::size_t index, ByteView sealed);
  Result<Header> header(const ChunkRow& chunk, ByteView first_bytes);
  Result<Frame> decoded(const ChunkRow& chunk, const seal::SealedHeader& head, std::size_t index,
                        ByteView sealed_frame);
  void keep(const object::ChunkId& id, const Flights::Sealed& sealed);

  std::size_t ask_ahead(std::span<const ChunkKey> chunks);
  void read_ahead_in_file(InodeId inode, FileOffset at, std::size_t bytes);
  void read_ahead_in_chunks(ChunkKey chunk, bool was_away);

  const Parts parts;
  LruCache<FrameKey, Bytes, FrameKeyHash> frames;
  LruCache<object::ChunkId, seal::SealedHeader> headers;
  LruCache<object::ChunkId, Bytes> fetched;
  const std::shared_ptr<Flights> flights;
  FileWalks file_walks;
  ChunkWalks chunk_walks;
  std::thread keeper;  // Puts what has landed into the spool.
};

// ---- from extents to frames ------------------------------------------------------------------------------------

/// False where the extents were replaced meanwhile, so that what was read may be neither old nor new.
Result<bool> Fetcher::State::read_extents(InodeId inode, FileOffset at, MutableByteView into, const Wait& wait) {
  const FileOffset end(at.value() + into.size());
  COFFER_TRY(const std::vector<Extent> extents, parts.tree.extents(inode, at, end));
  bool may_have_changed = false;
  std::uint64_t filled = at.value();
  const auto fill_hole = [&](std::uint64_t until) {
    std::memset(into.data() + (filled - at.value()), 0, until - filled);
    filled = until;
  };
  for (const Extent& extent : extents) {
    const std::uint64_t begin = std::max(at.value(), extent.at.value());
    const std::uint64_t bytes = std::min(end.value(), extent.end().value()) - begin;
    fill_hole(begin);
    const auto offset = static_cast<std::uint32_t>(extent.chunk_offset + (begin - extent.at.value()));
    const auto state = read_chunk(extent.chunk, offset, into.subspan(begin - at.value(), bytes), wait);
    if (!state && is_stale(state.error())) return false;
    if (!state) return Error(state.error());
    // An open chunk is sealed without what was overwritten in time. Later states may have been reached meanwhile.
    may_have_changed = may_have_changed || *state == ChunkState::spooled || *state == ChunkState::stored;
    filled = begin + bytes;
  }
  fill_hole(end.value());
  if (!may_have_changed) return true;
  COFFER_TRY(const std::vector<Extent> extents_now, parts.tree.extents(inode, at, end));
  return extents_now == extents;
}

Result<ChunkState> Fetcher::State::read_chunk(ChunkKey key, std::uint32_t offset, MutableByteView into,
                                              const Wait& wait) {
  // In this order: what is no longer open is spooled, and the tree says so already.
  COFFER_TRY(const bool was_open, parts.open_chunks.read_open(key, offset, into));
  if (was_open) return ChunkState::open;
  const auto found = parts.tree.chunk(key);
  if (!found && is_absent(found.error())) return answer(ESTALE);
  if (!found) return Error(found.error());
  const ChunkRow& chunk = *found;
  if (chunk.state == ChunkState::open || offset > chunk.plain_bytes || into.size() > chunk.plain_bytes - offset) {
    log::error("bytes of a chunk lost", {{"chunk_row", key.value()}});
    return Error{Fault::corrupt, EIO, "an extent names bytes that its chunk does not have"};
  }
  bool was_away = false;
  while (!into.empty()) {
    COFFER_TRY(const Frame plain, frame(chunk, offset / kFrameBytes, wait, was_away));
    const std::size_t skip = offset % kFrameBytes;
    if (skip >= plain->size()) return Error{Fault::corrupt, EIO, "a frame is shorter than its chunk says"};
    const std::size_t bytes = std::min(into.size(), plain->size() - skip);
    std::memcpy(into.data(), plain->data() + skip, bytes);
    into = into.subspan(bytes);
    offset += static_cast<std::uint32_t>(bytes);
  }
  if (!was_away) read_ahead_in_chunks(key, false);
  return chunk.state;
}

/// Memory, what came lately, the spool, the server.
Result<Frame> Fetcher::State::frame(const ChunkRow& chunk, std::size_t index, const Wait& wait, bool& was_away) {
  if (Frame found = frames.find({chunk.id, index})) return found;
  if (const Flights::Sealed landed = flights->landed(chunk.id)) return frame_from_sealed(chunk, index, *landed);
  if (const Flights::Sealed sealed = fetched.find(chunk.id)) return frame_from_sealed(chunk, index, *sealed);

  Result<Frame> spooled = frame_from_spool(chunk, index);
  if (spooled || (spooled.error().fault != Fault::corrupt && !is_absent(spooled.error()))) return spooled;
  if (spooled.error().fault == Fault::corrupt) {
    log::error("chunk damaged in the spool", {{"chunk", chunk.id.hex()}});
    if (chunk.state == ChunkState::spooled) {  // The only copy: nobody has a better one.
      COFFER_DO(parts.tree.forget_pieces(std::span(&chunk.key, 1)));
      return spooled;
    }
    if (auto dropped = parts.spool.drop(chunk.id); !dropped) return std::move(dropped).error();
  }

  // Owed chunks are not on the server as a rule: this one was dropped, with the last extent that named it.
  if (chunk.state == ChunkState::spooled && is_gone(chunk.key)) return answer(ESTALE);

  was_away = true;
  auto sealed = flights->fetch(chunk.id, chunk.sealed_bytes, wait.deadline, wait.stop,
                               [&] { read_ahead_in_chunks(chunk.key, true); });
  if (sealed) return frame_from_sealed(chunk, index, **sealed);
  if (!is_absent(sealed.error()) && sealed.error().fault != Fault::corrupt) return std::move(sealed).error();
  if (is_gone(chunk.key)) return answer(ESTALE);
  log::error("no good copy of a chunk", {{"chunk", chunk.id.hex()}, {"error", sealed.error().what}});
  COFFER_DO(parts.tree.forget_pieces(std::span(&chunk.key, 1)));
  return Error{Fault::corrupt, EIO, "chunk " + chunk.id.hex() + ": the server has no good copy"};
}

bool Fetcher::State::is_gone(ChunkKey chunk) {
  const auto found = parts.tree.chunk(chunk);
  return !found && is_absent(found.error());
}

Result<Header> Fetcher::State::header(const ChunkRow& chunk, ByteView first_bytes) {
  COFFER_TRY(seal::SealedHeader read, parts.sealer.read_header(first_bytes));
  auto head = std::make_shared<const seal::SealedHeader>(std::move(read));
  headers.put(chunk.id, head, sizeof(*head) + head->frames.size() * sizeof(seal::SealedFrame));
  return Header(head);
}

Result<Frame> Fetcher::State::frame_from_spool(const ChunkRow& chunk, std::size_t index) {
  Header head = headers.find(chunk.id);
  if (head == nullptr) {
    const auto first = static_cast<std::uint32_t>(std::min<std::size_t>(chunk.sealed_bytes, seal::kHeaderBytesMax));
    COFFER_TRY(const Bytes first_bytes, parts.spool.get_range(chunk.id, 0, first));
    COFFER_TRY(head, header(chunk, first_bytes));
  }
  if (index >= head->frames.size()) return Error{Fault::corrupt, EIO, "a chunk has too few frames"};
  const seal::SealedFrame& at = head->frames[index];
  COFFER_TRY(const Bytes sealed, parts.spool.get_range(chunk.id, at.sealed_offset, at.sealed_bytes));
  return decoded(chunk, *head, index, sealed);
}

Result<Frame> Fetcher::State::frame_from_sealed(const ChunkRow& chunk, std::size_t index, ByteView sealed) {
  Header head = headers.find(chunk.id);
  if (head == nullptr) {
    COFFER_TRY(head, header(chunk, sealed));
  }
  if (index >= head->frames.size()) return Error{Fault::corrupt, EIO, "a chunk has too few frames"};
  const seal::SealedFrame& at = head->frames[index];
  if (at.sealed_offset > sealed.size() || at.sealed_bytes > sealed.size() - at.sealed_offset) {
    return Error{Fault::corrupt, EIO, "a chunk is shorter than its head says"};
  }
  return decoded(chunk, *head, index, sealed.subspan(at.sealed_offset, at.sealed_bytes));
}

Result<Frame> Fetcher::State::decoded(const ChunkRow& chunk, const seal::SealedHeader& head, std::size_t index,
                                      ByteView sealed_frame) {
  COFFER_TRY(Bytes plain, parts.sealer.open_frame(head, index, sealed_frame));
  auto frame = std::make_shared<const Bytes>(std::move(plain));
  frames.put({chunk.id, index}, frame, frame->size());
  return Frame(frame);
}

/// A chunk came from the server: into the spool, or where that has no room, decoded into memory for those who asked.
void Fetcher::State::keep(const object::ChunkId& id, const Flights::Sealed& sealed) {
  const auto kept = parts.spool.put_fetched(id, *sealed);
  if (kept) return fetched.put(id, sealed, sealed->size());
  if (kept.error().fault != Fault::full) log::warn("chunk not kept", {{"error", kept.error().what}});
  ChunkRow chunk;
  chunk.id = id;
  const auto head = header(chunk, *sealed);
  for (std::size_t index = 0; head && index < (*head)->frames.size(); ++index) {
    if (!frame_from_sealed(chunk, index, *sealed)) return;
  }
}

// ---- ahead of the reader ---------------------------------------------------------------------------------------

/// How many of `chunks`, from the first on, are here or on their way now.
std::size_t Fetcher::State::ask_ahead(std::span<const ChunkKey> chunks) {
  const os::SteadyTime deadline = std::chrono::steady_clock::now() + limits::kReadTimeout;
  for (std::size_t index = 0; index < chunks.size(); ++index) {
    const auto chunk = parts.tree.chunk(chunks[index]);
    if (!chunk || chunk->state == ChunkState::open || chunk->state == ChunkState::spooled) continue;
    if (parts.spool.contains(chunk->id) || flights->has(chunk->id)) continue;
    if (!flights->ask_ahead(chunk->id, chunk->sealed_bytes, deadline)) return index;
  }
  return chunks.size();
}

void Fetcher::State::read_ahead_in_file(InodeId inode, FileOffset at, std::size_t bytes) {
  const std::optional<Range> ahead = file_walks.was_read(inode, at.value(), bytes);
  if (!ahead) return;
  const auto extents = parts.tree.extents(inode, at, FileOffset(ahead->end));  // What is read now first.
  if (!extents) return;  // Only a guess; the read itself will say what is wrong.
  if (extents->empty() || extents->back().end().value() <= at.value() + bytes) return;
  std::vector<ChunkKey> chunks;
  std::vector<std::uint64_t> begins;
  for (const Extent& extent : *extents) {
    if (!chunks.empty() && chunks.back() == extent.chunk) continue;
    chunks.push_back(extent.chunk);
    begins.push_back(extent.at.value());
  }
  const std::size_t asked = ask_ahead(chunks);
  if (asked < chunks.size()) file_walks.asked_until(inode, begins[asked]);
}

void Fetcher::State::read_ahead_in_chunks(ChunkKey chunk, bool was_away) {
  const std::vector<ChunkKey> ahead = chunk_walks.was_read(chunk, was_away);
  const std::size_t asked = ask_ahead(ahead);
  if (asked < ahead.size()) chunk_walks.not_asked(ahead[asked]);
}

// ---- the Fetcher -----------------------------------------------------------------------------------------------

Fetcher::Fetcher(const Parts& parts, const FetcherOptions& options) : state_(std::make_unique<State>(parts, options)) {}

Fetcher::~Fetcher() { stop(); }

void Fetcher::start() {
  state_->keeper = std::thread([state = state_.get()] {
    while (state->flights->land_next(
        [state](const object::ChunkId& id, const Flights::Sealed& sealed) { state->keep(id, sealed); })) {
    }
  });
}

void Fetcher::stop() {
  state_->flights->stop();
  if (state_->keeper.joinable()) state_->keeper.join();
}

Result<void> Fetcher::read(InodeId inode, FileOffset at, MutableByteView into, os::SteadyTime deadline,
                           const std::stop_token& stop) {
  if (into.empty()) return {};
  state_->read_ahead_in_file(inode, at, into.size());
  for (int tries = 0; tries < kExtentTriesMax; ++tries) {
    COFFER_TRY(const bool is_good, state_->read_extents(inode, at, into, {deadline, stop}));
    if (is_good) return {};
  }
  return Error{Fault::local_io, EIO, "the extents of a file change faster than they can be read"};
}

Result<void> Fetcher::read_chunk(ChunkKey chunk, std::uint32_t offset, MutableByteView into, os::SteadyTime deadline,
                                 const std::stop_token& stop) {
  COFFER_DO(state_->read_chunk(chunk, offset, into, {deadline, stop}));
  return {};
}

void Fetcher::prefetch(std::span<const ChunkKey> chunks) { state_->ask_ahead(chunks); }

void Fetcher::forget_decoded() {
  state_->frames.clear();
  state_->fetched.clear();
}

FetchProgress Fetcher::progress() const {
  return {.chunks_fetched = state_->flights->fetched_chunks(),
          .bytes_fetched = state_->flights->fetched_bytes(),
          .requests_in_flight = state_->flights->asked_count(),
          .bytes_in_flight = state_->flights->flying_bytes()};
}

}  // namespace coffer::fetch
