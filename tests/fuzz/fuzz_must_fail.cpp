// LINK: common_base
//
// A decoder that trusts the length in its input: it must be caught, or no other fuzzer's silence means anything.
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= 4 && data[0] == 'L' && data[1] > size - 2) std::abort();
  return 0;
}
