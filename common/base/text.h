// Bytes and sizes as text: hexadecimal, Crockford-style base32, and sizes such as "100G".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer::base {

/// Lower-case hexadecimal.
std::string to_hex(ByteView bytes);
/// Fails with Fault::corrupt unless `text` is hexadecimal of even length.
Result<Bytes> from_hex(std::string_view text);

/// RFC 4648 section 6 base32, upper case, without padding.
std::string to_base32(ByteView bytes);
/// Takes either case and skips '-' and spaces. Fails with Fault::corrupt on any other character, a length that
/// no whole number of bytes has, or set bits beyond the last byte.
Result<Bytes> from_base32(std::string_view text);

/// "512", "64K", "100G", "1.5T" (powers of 1024; an "i" and a "B" after the letter are allowed) to bytes.
Result<std::uint64_t> parse_size(std::string_view text);
/// Bytes for a person: "0 B", "1.5 KiB", "2.0 GiB".
std::string format_size(std::uint64_t bytes);
/// Seconds in "90", "90s", "15m", "24h", "7d".
Result<std::uint64_t> parse_seconds(std::string_view text);

}  // namespace coffer::base
