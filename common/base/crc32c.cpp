#include "common/base/crc32c.h"

#include <algorithm>
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
bool has_instruction() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}

/// The checks of kCount blocks that lie one behind another, side by side: the processor begins an instruction with each
/// cycle, and its result takes three.
template <std::size_t kCount>
__attribute__((target("sse4.2"))) std::array<std::uint32_t, kCount> with_instruction(ByteView blocks) {
  const std::size_t block_bytes = blocks.size() / kCount;
  std::array<std::uint64_t, kCount> crcs;
  crcs.fill(~std::uint32_t{0});
  std::size_t at = 0;
  for (; block_bytes - at >= sizeof(std::uint64_t); at += sizeof(std::uint64_t)) {
    for (std::size_t block = 0; block < kCount; ++block) {
      std::uint64_t eight = 0;
      std::memcpy(&eight, blocks.data() + block * block_bytes + at, sizeof eight);
      crcs[block] = __builtin_ia32_crc32di(crcs[block], eight);
    }
  }
  std::array<std::uint32_t, kCount> ends;
  for (std::size_t block = 0; block < kCount; ++block) {
    auto rest = static_cast<std::uint32_t>(crcs[block]);
    for (const std::byte b : blocks.subspan(block * block_bytes + at, block_bytes - at)) {
      rest = __builtin_ia32_crc32qi(rest, std::to_integer<unsigned char>(b));
    }
    ends[block] = ~rest;
  }
  return ends;
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
  if (has_instruction()) return with_instruction<1>(bytes)[0];
#endif
  return internal::crc32c_from_table(bytes);
}

std::vector<std::uint32_t> crc32c_of_blocks(ByteView bytes, std::size_t block_bytes) {
  std::vector<std::uint32_t> crcs;
  crcs.reserve((bytes.size() + block_bytes - 1) / block_bytes);
#ifdef __x86_64__
  constexpr std::size_t kAtOnce = 3;
  for (; has_instruction() && bytes.size() >= kAtOnce * block_bytes; bytes = bytes.subspan(kAtOnce * block_bytes)) {
    const auto some = with_instruction<kAtOnce>(bytes.first(kAtOnce * block_bytes));
    crcs.insert(crcs.end(), some.begin(), some.end());
  }
#endif
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), block_bytes))) {
    crcs.push_back(crc32c(bytes.first(std::min(bytes.size(), block_bytes))));
  }
  return crcs;
}

}  // namespace coffer
