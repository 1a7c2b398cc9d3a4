// LINK: fs_keys
//
// The first byte of an input says what the rest is: a key slot from a server, or a recovery key as it was typed.
#include <cstdint>
#include <cstring>
#include <span>

#include "common/base/check.h"
#include "fs/keys/key_slot.h"

namespace {

using namespace coffer;

/// Decoded costs up to the bound are honest work, but not for thousands of inputs.
bool is_cheap(ByteView slot) {
  std::uint64_t n;
  std::uint32_t r, p;
  std::memcpy(&n, slot.data() + 8, 8);
  std::memcpy(&r, slot.data() + 16, 4);
  std::memcpy(&p, slot.data() + 20, 4);
  return n <= 64 && r <= 8 && p <= 4;
}

void open_slot(ByteView slot) {
  const Result<keys::SlotKind> kind = keys::kind_of(slot);
  if (!kind) {
    COFFER_CHECK(kind.error().fault == Fault::corrupt);
    return;
  }
  if (*kind == keys::SlotKind::passphrase && !is_cheap(slot)) return;
  // The slots of the corpus were made with this secret; what is changed must not open.
  const Bytes secret(32, std::byte{'s'});
  const Result<keys::VaultKey> key = keys::unwrap(slot, secret, object::VaultId{});
  if (!key) COFFER_CHECK(key.error().fault == Fault::refused || key.error().fault == Fault::corrupt);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input = std::as_bytes(std::span(data, size)).subspan(1);
  if (data[0] % 2 == 0) {
    open_slot(input);
  } else {
    (void)keys::RecoveryKey::parse(as_text(input));
  }
  return 0;
}
