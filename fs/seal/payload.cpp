// The payloads of commits: one message each. FORMAT.md has the bytes.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/crypto/hash.h"
#include "fs/seal/frame.h"
#include "fs/seal/padme.h"
#include "fs/seal/sealer.h"
#include "fs/seal/stream.h"

namespace coffer::seal {
namespace {

using crypto::kAeadTagBytes;

constexpr std::array<std::byte, 8> kHead = {std::byte{'C'}, std::byte{'F'}, std::byte{'R'}, std::byte{'P'},
                                            std::byte{'A'}, std::byte{'Y'}, std::byte{2},   std::byte{0}};
constexpr std::size_t kVersionOffset = 6;
constexpr std::string_view kInfo = "coffer 1 payload";
constexpr std::size_t kBodyOffset = sizeof(kHead) + kSaltBytes;
/// plain_bytes, packed_bytes, codec, three zeros.
constexpr std::size_t kInnerHeadBytes = 12;

// Tree operations are few and compress well, so they are compressed whatever is chosen for content.
constexpr Compression kCompression{Compression::Codec::zstd, 3};

crypto::Digest digest_of(const std::vector<object::ChunkId>& ids) {
  crypto::Sha256 hash;
  for (const object::ChunkId& id : ids) hash.update(id.bytes());
  return hash.finish();
}

/// All that the commit says in clear is bound, with the hash of the one before it, and so the whole log up to here: the
/// server can neither rewrite a commit nor put one behind another log. FORMAT.md draws the bytes.
Stream stream_of(const crypto::Secret& commit_key, ByteView salt, const object::Commit& commit) {
  Bytes associated = copy_of(kHead);
  append(associated, commit.vault.bytes());
  Writer writer(associated);
  writer.put(commit.seq);
  writer.put_bytes(commit.previous.bytes());
  writer.put(commit.epoch);
  writer.put_bytes(digest_of(commit.added));
  writer.put_bytes(digest_of(commit.released));
  return Stream(commit_key.bytes(), salt, kInfo, std::move(associated));
}

Result<void> check_head(ByteView sealed) {
  const ByteView head = sealed.first(kHead.size());
  if (std::ranges::equal(head, kHead)) return {};
  if (!std::ranges::equal(head.first(kVersionOffset), ByteView(kHead).first(kVersionOffset))) {
    return Error{Fault::corrupt, 0, "no commit payload"};
  }
  return Error{Fault::corrupt, 0,
               "commit payload has version " + std::to_string(std::to_integer<unsigned>(head[kVersionOffset])) +
                   ", and this Coffer reads version " +
                   std::to_string(std::to_integer<unsigned>(kHead[kVersionOffset])) +
                   ": read the vault with the Coffer that wrote it, and copy its files into a new one"};
}

Result<Bytes> decode_body(ByteView body, std::size_t plain_bytes_max) {
  const Error damaged{Fault::corrupt, 0, "commit payload is not well-formed"};
  Reader reader(body);
  COFFER_TRY(const std::uint32_t plain_bytes, reader.get<std::uint32_t>());
  COFFER_TRY(const std::uint32_t packed_bytes, reader.get<std::uint32_t>());
  COFFER_TRY(const std::uint8_t codec, reader.get<std::uint8_t>());
  COFFER_TRY(const ByteView zeros, reader.get_bytes(3));
  COFFER_TRY(const ByteView packed, reader.get_bytes(packed_bytes));
  const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
  if (codec > kFrameCodecMax || !std::ranges::all_of(zeros, is_zero)) return damaged;
  const bool is_stored = codec == static_cast<std::uint8_t>(FrameCodec::stored);
  if (is_stored ? packed_bytes != plain_bytes : packed_bytes >= plain_bytes) return damaged;
  if (body.size() + kBodyOffset + kAeadTagBytes !=
      padme(kBodyOffset + kInnerHeadBytes + std::uint64_t{packed_bytes} + kAeadTagBytes)) {
    return damaged;
  }
  if (!std::ranges::all_of(reader.rest(), is_zero)) return damaged;
  if (plain_bytes > plain_bytes_max) return Error{Fault::corrupt, 0, "commit payload is too long"};
  Bytes plain(plain_bytes);
  COFFER_DO(unpack(static_cast<FrameCodec>(codec), packed, plain));
  return plain;
}

}  // namespace

Bytes Sealer::seal_payload(ByteView plain, const object::Commit& commit) const {
  COFFER_CHECK(commit.vault == vault_);
  COFFER_CHECK(plain.size() <= kPayloadPlainBytesMax);
  constexpr std::size_t kPackedOffset = kBodyOffset + kInnerHeadBytes;
  Bytes sealed(padme(kPackedOffset + plain.size() + kAeadTagBytes));
  const MutableByteView place = MutableByteView(sealed).subspan(kPackedOffset, plain.size());
  const Packed packed = pack(plain, kCompression, place);
  if (packed.codec == FrameCodec::stored) std::ranges::copy(plain, place.begin());
  const std::size_t packed_end = kPackedOffset + packed.bytes;
  sealed.resize(padme(packed_end + kAeadTagBytes));
  const MutableByteView out(sealed);
  std::ranges::fill(out.subspan(packed_end), std::byte{0});

  Salt salt;
  random_.fill(salt);
  std::ranges::copy(kHead, out.begin());
  std::ranges::copy(salt, out.begin() + kHead.size());
  Bytes inner_head;
  Writer writer(inner_head);
  writer.put(static_cast<std::uint32_t>(plain.size()));
  writer.put(static_cast<std::uint32_t>(packed.bytes));
  writer.put(static_cast<std::uint32_t>(packed.codec));
  std::ranges::copy(inner_head, out.begin() + kBodyOffset);

  const MutableByteView message = out.subspan(kBodyOffset);
  stream_of(commit_key_, salt, commit).seal(0, Last::yes, message.first(message.size() - kAeadTagBytes), message);
  return sealed;
}

Result<Bytes> Sealer::open_payload(const object::Commit& commit, std::size_t plain_bytes_max) const {
  const ByteView sealed = commit.payload;
  if (commit.vault != vault_) return Error{Fault::corrupt, 0, "commit of another vault"};
  if (sealed.size() < kBodyOffset + kInnerHeadBytes + kAeadTagBytes) {
    return Error{Fault::corrupt, 0, "commit payload ends early"};
  }
  COFFER_DO(check_head(sealed));
  const ByteView salt = sealed.subspan(kHead.size(), kSaltBytes);
  const ByteView message = sealed.subspan(kBodyOffset);
  Bytes body(message.size() - kAeadTagBytes);
  COFFER_DO(stream_of(commit_key_, salt, commit).open(0, Last::yes, message, body));
  return decode_body(body, plain_bytes_max);
}

}  // namespace coffer::seal
