#include "common/base/crc32c.h"

#include <array>
#include <cstring>

namespace coffer {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41 with its bits reversed.

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ ((rest & 1) != 0 ? kPolynomial : 0);
    table[byte] = rest;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kTable = make_table();

#ifdef __x86_64__
__attribute__((target("sse4.2"))) std::uint32_t with_instruction(ByteView bytes) {
  std::uint64_t crc = ~std::uint32_t{0};
  for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t))) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, bytes.data(), sizeof eight);
    crc = __builtin_ia32_crc32di(crc, eight);
  }
  auto rest = static_cast<std::uint32_t>(crc);
  for (const std::byte b : bytes) rest = __builtin_ia32_crc32qi(rest, std::to_integer<unsigned char>(b));
  return ~rest;
}
#endif

}  // namespace

std::uint32_t internal::crc32c_from_table(ByteView bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const std::byte b : bytes) crc = (crc >> 8) ^ kTable[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff];
  return ~crc;
}

std::uint32_t crc32c(ByteView bytes) {
#ifdef __x86_64__
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return with_instruction(bytes);
#endif
  return internal::crc32c_from_table(bytes);
}

}  // namespace coffer
