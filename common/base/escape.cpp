#include "common/base/escape.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace coffer::base {

namespace {

constexpr std::size_t kNone = 0;

unsigned at(std::string_view text, std::size_t index) { return static_cast<unsigned char>(text[index]); }

/// How many bytes the UTF-8 character (RFC 3629) at the start of `text` has; kNone where there is none, or one of C1.
std::size_t length_of_character(std::string_view text) {
  const unsigned first = at(text, 0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return kNone;
  std::uint32_t character = first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(text, i) & 0xc0) != 0x80) return kNone;
    character = character << 6 | (at(text, i) & 0x3f);
  }
  constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0xa0, 0x800, 0x10000};  // Of two bytes: behind C1.
  const bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
  return character < kSmallest.at(length) || is_surrogate || character > 0x10ffff ? kNone : length;
}

void append_escape(std::string& line, unsigned byte) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  line += '\\';
  switch (byte) {
    case '\n': line += 'n'; return;
    case '\r': line += 'r'; return;
    case '\t': line += 't'; return;
    default: line += 'x';
  }
  line += kDigits[byte >> 4];
  line += kDigits[byte & 15];
}

}  // namespace

std::string escaped(std::string_view text, std::string_view also) {
  std::string line;
  line.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = length_of_character(text);
    const unsigned first = at(text, 0);
    if (length == kNone || first < 0x20 || first == 0x7f) {
      append_escape(line, first);
      text.remove_prefix(1);
      continue;
    }
    if (also.find(text[0]) != std::string_view::npos) line += '\\';
    line += text.substr(0, length);
    text.remove_prefix(length);
  }
  return line;
}

}  // namespace coffer::base
