#include "common/pack/record.h"

#include <algorithm>
#include <bit>

#include "common/base/crc32c.h"

namespace coffer::pack {
namespace {

constexpr std::string_view kPackMagic = "CFRPACK1";
constexpr std::byte kTypeChunk{1};
constexpr std::size_t kTypeAt = 40;
constexpr std::size_t kPackCrcAt = 28;
constexpr std::size_t kRecordCrcAt = 44;

template <class T>
T load(ByteView bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

template <class T>
void store(MutableByteView bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

}  // namespace

std::array<std::byte, kPackHeaderBytes> encode_pack_header(std::uint64_t number) {
  std::array<std::byte, kPackHeaderBytes> bytes{};
  std::ranges::copy(as_bytes(kPackMagic), bytes.begin());
  store(bytes, 8, number);
  store(bytes, kPackCrcAt, crc32c(ByteView(bytes).first(kPackCrcAt)));
  return bytes;
}

std::optional<std::uint64_t> decode_pack_header(ByteView bytes) {
  if (bytes.size() < kPackHeaderBytes || as_text(bytes.first(8)) != kPackMagic) return std::nullopt;
  if (load<std::uint32_t>(bytes, kPackCrcAt) != crc32c(bytes.first(kPackCrcAt))) return std::nullopt;
  return load<std::uint64_t>(bytes, 8);
}

std::array<std::byte, kRecordHeaderBytes> encode_record_header(const object::ChunkId& id, std::uint32_t bytes) {
  std::array<std::byte, kRecordHeaderBytes> header{};
  std::ranges::copy(as_bytes(kRecordMagic), header.begin());
  store(header, 4, bytes);
  std::ranges::copy(id.bytes(), header.begin() + 8);
  header[kTypeAt] = kTypeChunk;
  header[kStateAt] = kStateStored;
  store(header, kRecordCrcAt, crc32c(ByteView(header).first(kStateAt)));
  return header;
}

std::optional<RecordHeader> decode_record_header(ByteView bytes) {
  if (bytes.size() < kRecordHeaderBytes || as_text(bytes.first(4)) != kRecordMagic) return std::nullopt;
  if (load<std::uint32_t>(bytes, kRecordCrcAt) != crc32c(bytes.first(kStateAt))) return std::nullopt;
  if (bytes[kTypeAt] != kTypeChunk) return std::nullopt;
  RecordHeader header;
  header.bytes = load<std::uint32_t>(bytes, 4);
  header.id = object::ChunkId::from(bytes.subspan(8, 32)).value();
  // The state is outside the CRC; the majority of its bits still holds when a few of them rot.
  header.removed = std::popcount(std::to_integer<unsigned>(bytes[kStateAt])) > 4;
  return header;
}

}  // namespace coffer::pack
