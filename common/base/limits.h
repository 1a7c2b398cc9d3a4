// Every bound of the system: its unit, its value, and why that value.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace coffer::limits {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

/// Plain bytes of one frame: a 4 KiB random read opens one frame, and the 16-byte tag stays below 0.02 %.
inline constexpr std::size_t kFramePlainBytesMax = 128u << 10;
/// Plain bytes at which a chunk is sealed. One round trip and one fsync share are paid per chunk.
inline constexpr std::size_t kChunkPlainBytesTarget = 1u << 20;
inline constexpr std::size_t kChunkPlainBytesMax = 4u << 20;
/// Sealed bytes of the largest chunk: plain bytes stored as they are, plus headers, tags and 12 % Padmé padding.
inline constexpr std::size_t kChunkSealedBytesMax = (4u << 20) + (768u << 10);

/// Content-defined pieces: the mean keeps the piece table at about 100 bytes for 256 KiB of content.
inline constexpr std::size_t kPieceBytesMin = 128u << 10;
inline constexpr std::size_t kPieceBytesMax = 1u << 20;

/// A wire frame's protobuf header; 16,384 chunk ids of 34 encoded bytes fit.
inline constexpr std::size_t kWireHeaderBytesMax = 1u << 20;
/// A wire frame's raw body: one sealed chunk, or one commit.
inline constexpr std::size_t kWireBodyBytesMax = 8u << 20;
/// Chunk ids in one Have or one commit.
inline constexpr std::size_t kIdsPerMessageMax = 16'384;
/// Sealed tree operations of one commit.
inline constexpr std::size_t kCommitPayloadBytesMax = 4u << 20;

/// A pack is closed at this size: few files for a large vault, yet one can be rewritten in seconds.
inline constexpr std::uint64_t kPackBytesMax = 256u << 20;

/// Bytes of one name (NAME_MAX of Linux), of one symbolic link's target (PATH_MAX), of one xattr (XATTR_SIZE_MAX).
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kSymlinkBytesMax = 4095;
inline constexpr std::size_t kXattrBytesMax = 64u << 10;
/// The largest file: 8 EiB less one byte, as signed 64-bit offsets allow.
inline constexpr std::uint64_t kFileBytesMax = (std::uint64_t{1} << 63) - 1;

/// Written bytes that wait in memory for the chunker, over all files: writers wait beyond it.
inline constexpr std::size_t kBufferBytesMax = 64u << 20;
/// Contiguous bytes of one file that start chunking before its close().
inline constexpr std::size_t kBufferRunBytes = 8u << 20;
/// Decoded plain bytes that are kept for readers.
inline constexpr std::size_t kDecodedBytesMax = 64u << 20;

inline constexpr std::uint16_t kDefaultPort = 7465;
/// How long a peer may take for the TLS handshake and the first message.
inline constexpr auto kHandshakeDeadline = 10s;
/// How long one request may take, unless its caller says otherwise.
inline constexpr auto kRequestDeadline = 60s;
/// How long a read that needs the server waits before ETIMEDOUT.
inline constexpr auto kReadTimeout = 30s;
/// How long fsync waits for the server before ETIMEDOUT.
inline constexpr auto kFsyncTimeout = 60s;
/// A lease that is not renewed for this long may be taken by another client; it is renewed at a third of it.
inline constexpr auto kLeaseTime = 30s;

}  // namespace coffer::limits
