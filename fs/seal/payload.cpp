// The payloads of commits: one message each. FORMAT.md has the bytes.
#include <algorithm>
#include <array>
#include <utility>

#include "common/base/check.h"
#include "fs/seal/frame.h"
#include "fs/seal/padme.h"
#include "fs/seal/sealer.h"
#include "fs/seal/stream.h"

namespace coffer::seal {
namespace {

using crypto::kAeadTagBytes;

constexpr std::array<std::byte, 8> kHead = {std::byte{'C'}, std::byte{'F'}, std::byte{'R'}, std::byte{'P'},
                                            std::byte{'A'}, std::byte{'Y'}, std::byte{1},   std::byte{0}};
constexpr std::string_view kInfo = "coffer 1 payload";
constexpr std::size_t kBodyOffset = sizeof(kHead) + kSaltBytes;
/// plain_bytes, packed_bytes, codec, three zeros.
constexpr std::size_t kInnerHeadBytes = 12;

// Tree operations are few and compress well, so they are compressed whatever is chosen for content.
constexpr Compression kCompression{Compression::Codec::zstd, 3};

/// The sequence number is bound too: the server cannot pass one commit's payload off as another's.
Stream stream_of(const crypto::Secret& commit_key, ByteView salt, const object::VaultId& vault, std::uint64_t seq) {
  Bytes associated = copy_of(kHead);
  append(associated, vault.bytes());
  Writer(associated).put(seq);
  return Stream(commit_key.bytes(), salt, kInfo, std::move(associated));
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

Bytes Sealer::seal_payload(ByteView plain, std::uint64_t seq) const {
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
  stream_of(commit_key_, salt, vault_, seq).seal(0, Last::yes, message.first(message.size() - kAeadTagBytes), message);
  return sealed;
}

Result<Bytes> Sealer::open_payload(ByteView sealed, std::uint64_t seq, std::size_t plain_bytes_max) const {
  if (sealed.size() < kBodyOffset + kInnerHeadBytes + kAeadTagBytes) {
    return Error{Fault::corrupt, 0, "commit payload ends early"};
  }
  if (!std::ranges::equal(sealed.first(kHead.size()), kHead)) {
    return Error{Fault::corrupt, 0, "no commit payload, or one of another version of Coffer"};
  }
  const ByteView salt = sealed.subspan(kHead.size(), kSaltBytes);
  const ByteView message = sealed.subspan(kBodyOffset);
  Bytes body(message.size() - kAeadTagBytes);
  COFFER_DO(stream_of(commit_key_, salt, vault_, seq).open(0, Last::yes, message, body));
  return decode_body(body, plain_bytes_max);
}

}  // namespace coffer::seal
