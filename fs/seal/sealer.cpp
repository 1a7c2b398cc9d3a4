#include "fs/seal/sealer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/hash_each.h"
#include "fs/seal/frame.h"
#include "fs/seal/padme.h"
#include "fs/seal/stream.h"
#include "fs/seal/table.h"

namespace coffer::seal {
namespace {

using crypto::kAeadTagBytes;
using limits::kChunkPlainBytesMax;
using limits::kFramePlainBytesMax;

constexpr std::array<std::byte, 8> kHead = {std::byte{'C'}, std::byte{'F'}, std::byte{'R'}, std::byte{'C'},
                                            std::byte{'H'}, std::byte{'K'}, std::byte{1},   std::byte{0}};
constexpr std::string_view kInfo = "coffer 1 chunk";
constexpr std::uint32_t kTableCounter = 0;  // The frames follow, from 1 on.

static_assert(kFramesOffset == kHeaderBytesMax);
static_assert(sizeof(kHead) + kSaltBytes == kTableOffset);
static_assert(padme(kFramesOffset + kChunkPlainBytesMax + kFrameCountMax * kAeadTagBytes) <=
              limits::kChunkSealedBytesMax);

Stream stream_of(const crypto::Secret& chunk_key, ByteView salt, const object::VaultId& vault) {
  Bytes associated = copy_of(kHead);
  append(associated, vault.bytes());
  return Stream(chunk_key.bytes(), salt, kInfo, std::move(associated));
}

Last last_if(bool is_last) { return is_last ? Last::yes : Last::no; }

/// Packs and encrypts all frames into `out`, and says in `header` what became of them.
void seal_frames(Stream& stream, ByteView plain, const Compression& compression, SealedHeader& header,
                 MutableByteView out) {
  std::size_t at = kFramesOffset;
  for (std::size_t begin = 0; begin < plain.size(); begin += kFramePlainBytesMax) {
    ByteView frame = plain.subspan(begin, std::min(kFramePlainBytesMax, plain.size() - begin));
    const bool is_last = begin + frame.size() == plain.size();
    const MutableByteView place = out.subspan(at);
    const Packed packed = pack(frame, compression, place.first(frame.size()));
    std::size_t body_bytes = packed.bytes;
    if (is_last) {
      header.sealed_bytes = static_cast<std::uint32_t>(padme(at + packed.bytes + kAeadTagBytes));
      body_bytes = header.sealed_bytes - at - kAeadTagBytes;
      if (packed.codec == FrameCodec::stored) std::ranges::copy(frame, place.begin());
      std::ranges::fill(place.subspan(packed.bytes, body_bytes - packed.bytes), std::byte{0});
    }
    // A stored frame is encrypted from where it is, all others in place.
    const bool is_elsewhere = packed.codec == FrameCodec::stored && !is_last;
    const ByteView body = is_elsewhere ? frame : ByteView(place.first(body_bytes));
    header.frames.push_back({.sealed_offset = static_cast<std::uint32_t>(at),
                             .sealed_bytes = static_cast<std::uint32_t>(body_bytes + kAeadTagBytes),
                             .plain_offset = static_cast<std::uint32_t>(begin),
                             .plain_bytes = static_cast<std::uint32_t>(frame.size()),
                             .packed_bytes = static_cast<std::uint32_t>(packed.bytes),
                             .codec = static_cast<std::uint8_t>(packed.codec)});
    stream.seal(static_cast<std::uint32_t>(header.frames.size()), last_if(is_last), body,
                place.first(body_bytes + kAeadTagBytes));
    at += body_bytes + kAeadTagBytes;
  }
}

/// Decrypts and unpacks one frame into `into`, which is frame.plain_bytes long. `scratch` is anyone's.
Result<void> open_frame_into(Stream& stream, const SealedHeader& header, std::size_t frame_index, ByteView frame_bytes,
                             Bytes& scratch, MutableByteView into) {
  const SealedFrame& frame = header.frames[frame_index];
  if (frame_bytes.size() != frame.sealed_bytes) return Error{Fault::corrupt, 0, "frame of a wrong length"};
  const auto counter = static_cast<std::uint32_t>(frame_index + 1);
  const Last last = last_if(frame_index + 1 == header.frames.size());
  const auto codec = static_cast<FrameCodec>(frame.codec);
  const std::size_t body_bytes = frame.sealed_bytes - kAeadTagBytes;
  if (codec == FrameCodec::stored && body_bytes == into.size()) return stream.open(counter, last, frame_bytes, into);

  scratch.resize(body_bytes);
  COFFER_DO(stream.open(counter, last, frame_bytes, scratch));
  const ByteView body(scratch);
  const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
  if (!std::ranges::all_of(body.subspan(frame.packed_bytes), is_zero)) {
    return Error{Fault::corrupt, 0, "sealed chunk with bytes that mean nothing"};
  }
  return unpack(codec, body.first(frame.packed_bytes), into);
}

}  // namespace

Sealer::Sealer(const keys::VaultKey& key, const object::VaultId& vault, os::Random& random, Compression compression)
    : vault_(vault),
      random_(random),
      compression_(compression),
      chunk_key_(key.derive(keys::kChunkLabel, vault)),
      commit_key_(key.derive(keys::kCommitLabel, vault)) {}

SealedChunk Sealer::seal(ByteView plain) const {
  const UnnamedChunk sealed = seal_unnamed(plain);
  return std::move(name(std::span(&sealed, 1)).front());
}

std::vector<SealedChunk> Sealer::name(std::span<const UnnamedChunk> chunks) {
  std::vector<ByteView> bytes;
  for (const UnnamedChunk& chunk : chunks) bytes.emplace_back(*chunk.bytes_);
  const std::vector<crypto::Digest> digests = crypto::sha256_each(bytes);
  std::vector<SealedChunk> named;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    named.push_back(SealedChunk(object::ChunkId(digests[i]), chunks[i].bytes_, chunks[i].plain_bytes_));
  }
  return named;
}

UnnamedChunk Sealer::seal_unnamed(ByteView plain) const {
  COFFER_CHECK(!plain.empty() && plain.size() <= kChunkPlainBytesMax);
  auto sealed = std::make_shared<Bytes>(sealed_bytes_max(plain.size()));
  const MutableByteView out(*sealed);
  SealedHeader header;
  header.plain_bytes = static_cast<std::uint32_t>(plain.size());
  random_.fill(header.salt);
  Stream stream = stream_of(chunk_key_, header.salt, vault_);

  seal_frames(stream, plain, compression_, header, out);
  std::ranges::copy(kHead, out.begin());
  std::ranges::copy(header.salt, out.begin() + kHead.size());
  stream.seal(kTableCounter, Last::no, encode_table(header), out.subspan(kTableOffset, kTableBytes + kAeadTagBytes));

  sealed->resize(header.sealed_bytes);
  // What compressed well would hold on to memory that it does not use, for as long as it waits for the spool.
  if (sealed->capacity() / 2 > sealed->size()) sealed->shrink_to_fit();
  return UnnamedChunk(std::move(sealed), header.plain_bytes);
}

Result<SealedHeader> Sealer::read_header(ByteView first_bytes) const {
  if (first_bytes.size() < kHeaderBytesMax) return Error{Fault::corrupt, 0, "sealed chunk ends early"};
  if (!std::ranges::equal(first_bytes.first(kHead.size()), kHead)) {
    return Error{Fault::corrupt, 0, "no sealed chunk, or one of another version of Coffer"};
  }
  const ByteView salt = first_bytes.subspan(kHead.size(), kSaltBytes);
  Stream stream = stream_of(chunk_key_, salt, vault_);
  std::array<std::byte, kTableBytes> table;
  COFFER_DO(
      stream.open(kTableCounter, Last::no, first_bytes.subspan(kTableOffset, kTableBytes + kAeadTagBytes), table));
  COFFER_TRY(SealedHeader header, decode_table(table));
  std::ranges::copy(salt, header.salt.begin());
  return header;
}

Result<Bytes> Sealer::open(ByteView sealed) const {
  COFFER_TRY(const SealedHeader header, read_header(sealed));
  if (sealed.size() != header.sealed_bytes) return Error{Fault::corrupt, 0, "sealed chunk of a wrong length"};
  Stream stream = stream_of(chunk_key_, header.salt, vault_);
  Bytes plain(header.plain_bytes);
  Bytes scratch;
  for (std::size_t i = 0; i < header.frames.size(); ++i) {
    const SealedFrame& frame = header.frames[i];
    COFFER_DO(open_frame_into(stream, header, i, sealed.subspan(frame.sealed_offset, frame.sealed_bytes), scratch,
                              MutableByteView(plain).subspan(frame.plain_offset, frame.plain_bytes)));
  }
  return plain;
}

Result<Bytes> Sealer::open_frame(const SealedHeader& header, std::size_t frame_index, ByteView frame_bytes) const {
  COFFER_CHECK(frame_index < header.frames.size());
  Stream stream = stream_of(chunk_key_, header.salt, vault_);
  Bytes plain(header.frames[frame_index].plain_bytes);
  Bytes scratch;
  COFFER_DO(open_frame_into(stream, header, frame_index, frame_bytes, scratch, plain));
  return plain;
}

}  // namespace coffer::seal
