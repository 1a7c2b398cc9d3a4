#include "common/base/text.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>

namespace coffer::base {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

Error bad(const char* what) { return {Fault::corrupt, 0, what}; }

/// The number before a unit; `rest` is what stands behind it.
Result<double> leading_number(std::string_view text, std::string_view& rest) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (code != std::errc() || !(value >= 0)) return bad("not a number");  // std::from_chars() also takes "nan".
  rest = text.substr(static_cast<std::size_t>(end - text.data()));
  return value;
}

}  // namespace

std::string to_hex(ByteView bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text += kHex[std::to_integer<unsigned>(b) >> 4];
    text += kHex[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return bad("hexadecimal of odd length");
  Bytes bytes(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = kHex.find(static_cast<char>(std::tolower(static_cast<unsigned char>(text[i]))));
    if (digit == std::string_view::npos) return bad("not hexadecimal");
    const auto nibble = static_cast<std::byte>(digit);
    bytes[i / 2] = i % 2 == 0 ? nibble << 4 : bytes[i / 2] | nibble;
  }
  return bytes;
}

std::string to_base32(ByteView bytes) {
  std::string text;
  text.reserve((bytes.size() * 8 + 4) / 5);  // Never moved while it grows: a key leaves no copy behind.
  unsigned held = 0;
  unsigned held_bits = 0;
  for (const std::byte b : bytes) {
    held = held << 8 | std::to_integer<unsigned>(b);
    for (held_bits += 8; held_bits >= 5; held_bits -= 5) text += kBase32[held >> (held_bits - 5) & 31];
    held &= 31;  // At most four bits are still unwritten.
  }
  if (held_bits > 0) text += kBase32[held << (5 - held_bits) & 31];
  return text;
}

Result<Bytes> from_base32(std::string_view text) {
  Bytes bytes;
  bytes.reserve(text.size() * 5 / 8);
  unsigned held = 0;
  unsigned held_bits = 0;
  for (const char c : text) {
    if (c == '-' || c == ' ') continue;
    const auto digit = kBase32.find(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    if (digit == std::string_view::npos) return bad("not base32");
    held = held << 5 | static_cast<unsigned>(digit);
    held_bits += 5;
    if (held_bits < 8) continue;
    held_bits -= 8;
    bytes.push_back(static_cast<std::byte>(held >> held_bits));
    held &= (1u << held_bits) - 1;
  }
  if (held_bits >= 5 || held != 0) return bad("base32 of a length that nothing has");
  return bytes;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  std::string_view unit;
  COFFER_TRY(double value, leading_number(text, unit));
  if (!unit.empty()) {
    const auto power =
        std::string_view("BKMGTP").find(static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0]))));
    if (power == std::string_view::npos) return bad("not a size: write it as in 512M or 100G");
    for (std::size_t i = 0; i < power; ++i) value *= 1024;
    const std::string_view tail = unit.substr(1);
    if (!tail.empty() && tail != "i" && tail != "iB" && tail != "B")
      return bad("not a size: write it as in 512M or 100G");
  }
  if (value >= 9.2e18) return bad("size too large");
  return static_cast<std::uint64_t>(value);
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

Result<std::uint64_t> parse_seconds(std::string_view text) {
  std::string_view unit;
  COFFER_TRY(const double value, leading_number(text, unit));
  const double factor = unit.empty() || unit == "s" ? 1
                        : unit == "m"               ? 60
                        : unit == "h"               ? 3600
                        : unit == "d"               ? 86400
                                                    : 0;
  if (factor == 0) return bad("not a time: write it as in 90s, 15m, 24h or 7d");
  if (value * factor >= 1e12) return bad("time too long");
  return static_cast<std::uint64_t>(value * factor);
}

}  // namespace coffer::base
