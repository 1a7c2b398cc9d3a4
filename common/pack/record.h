// The bytes of a pack's header and of a record's header; PACKS.md draws them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "common/base/bytes.h"
#include "common/object/ids.h"

namespace coffer::pack {

inline constexpr std::size_t kPackHeaderBytes = 32;
inline constexpr std::size_t kRecordHeaderBytes = 48;
/// Where in a record's header its state stands: the one byte that is ever overwritten.
inline constexpr std::size_t kStateAt = 43;
inline constexpr std::byte kStateStored{0x00};
inline constexpr std::byte kStateRemoved{0xff};
inline constexpr std::string_view kRecordMagic = "CFRr";

struct RecordHeader {
  object::ChunkId id;
  std::uint32_t bytes = 0;  ///< Of the payload, which follows.
  bool removed = false;
};

std::array<std::byte, kPackHeaderBytes> encode_pack_header(std::uint64_t number);
/// The pack's number; nothing if `bytes` do not begin with a whole pack header.
std::optional<std::uint64_t> decode_pack_header(ByteView bytes);

/// Of a record that is stored.
std::array<std::byte, kRecordHeaderBytes> encode_record_header(const object::ChunkId& id, std::uint32_t bytes);
/// Nothing if `bytes` do not begin with a whole record header.
std::optional<RecordHeader> decode_record_header(ByteView bytes);

}  // namespace coffer::pack
