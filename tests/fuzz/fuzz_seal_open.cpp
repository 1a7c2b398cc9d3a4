// LINK: fs_seal fs_keys
//
// The first byte of an input says what the rest is: bytes as they come from a server, or bytes that the decoder sees
// only after a tag held. The latter are sealed here with the right key, because no mutation would get past the tag.
#include <algorithm>
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/crypto/hash.h"
#include "common/object/commit.h"
#include "fs/seal/frame.h"
#include "fs/seal/padme.h"
#include "fs/seal/sealer.h"
#include "fs/seal/stream.h"
#include "fs/seal/table.h"
#include "tests/testing/seeded_random.h"

namespace {

using namespace coffer;

constexpr std::size_t kSealedBytesMax = 1u << 20;  // Longer ones only take longer.

/// Key and vault of tests/vectors/seal.
struct Fixture {
  testing::SeededRandom random{1};
  keys::VaultKey key = keys::VaultKey::from_bytes(counting(32, 0x00)).value();
  object::VaultId vault = object::VaultId::from(counting(16, 0xa0)).value();
  seal::Sealer sealer{key, vault, random, {}};

  static Bytes counting(std::size_t count, unsigned from) {
    Bytes bytes;
    for (std::size_t i = 0; i < count; ++i) bytes.push_back(static_cast<std::byte>(from + i));
    return bytes;
  }
};

Bytes head(const char* magic, std::byte version, const object::VaultId* vault) {
  Bytes bytes = copy_of(as_bytes(magic));
  append(bytes, Bytes{version, std::byte{0}});
  if (vault != nullptr) append(bytes, vault->bytes());
  return bytes;
}

void check(const Result<Bytes>& opened) { COFFER_CHECK(opened || opened.error().fault == Fault::corrupt); }

/// A chunk whose table is the first bytes of `input` and whose frames are the rest, as far as it goes.
void open_chunk_of(Fixture& fixture, ByteView input) {
  if (input.size() < seal::kTableBytes) return;
  const Result<seal::SealedHeader> header = seal::decode_table(input.first(seal::kTableBytes));
  if (!header || header->sealed_bytes > kSealedBytesMax) return;
  const seal::Salt salt{};
  Bytes sealed = head("CFRCHK", std::byte{1}, nullptr);
  append(sealed, salt);
  sealed.resize(header->sealed_bytes, std::byte{0});
  const MutableByteView out(sealed);
  seal::Stream stream(fixture.key.derive(keys::kChunkLabel, fixture.vault).bytes(), salt, "coffer 1 chunk",
                      head("CFRCHK", std::byte{1}, &fixture.vault));
  stream.seal(0, seal::Last::no, input.first(seal::kTableBytes),
              out.subspan(seal::kTableOffset, seal::kTableBytes + 16));
  input = input.subspan(seal::kTableBytes);
  for (std::size_t i = 0; i < header->frames.size(); ++i) {
    const seal::SealedFrame& frame = header->frames[i];
    Bytes body(frame.sealed_bytes - 16, std::byte{0});
    const ByteView given = input.first(std::min(input.size(), body.size()));
    std::ranges::copy(given, body.begin());
    input = input.subspan(given.size());
    const bool is_last = i + 1 == header->frames.size();
    stream.seal(static_cast<std::uint32_t>(i + 1), is_last ? seal::Last::yes : seal::Last::no, body,
                out.subspan(frame.sealed_offset, frame.sealed_bytes));
  }
  const Result<Bytes> opened = fixture.sealer.open(sealed);
  check(opened);
  if (opened) COFFER_CHECK(opened->size() == header->plain_bytes);
}

object::Commit first_commit(const Fixture& fixture, ByteView payload) {
  object::Commit commit;
  commit.vault = fixture.vault;
  commit.seq = 1;
  commit.epoch = 1;
  commit.payload = copy_of(payload);
  return commit;
}

void open_payload_of(Fixture& fixture, ByteView body) {
  const seal::Salt salt{};
  Bytes sealed = head("CFRPAY", std::byte{2}, nullptr);
  append(sealed, salt);
  const std::size_t at = sealed.size();
  sealed.resize(at + body.size() + 16);
  Bytes associated = head("CFRPAY", std::byte{2}, &fixture.vault);
  Writer writer(associated);
  writer.put(std::uint64_t{1});
  writer.put_bytes(object::CommitHash().bytes());
  writer.put(std::uint64_t{1});
  for (int list = 0; list < 2; ++list) writer.put_bytes(crypto::sha256({}));
  seal::Stream(fixture.key.derive(keys::kCommitLabel, fixture.vault).bytes(), salt, "coffer 1 payload", associated)
      .seal(0, seal::Last::yes, body, MutableByteView(sealed).subspan(at));
  check(fixture.sealer.open_payload(first_commit(fixture, sealed), kSealedBytesMax));
}

void open_frame_of(ByteView input) {
  if (input.empty()) return;
  Bytes plain(64u << 10);
  const auto codec = static_cast<seal::FrameCodec>(std::to_integer<unsigned>(input[0]) % 4);
  (void)seal::unpack(codec, input.subspan(1), plain);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Fixture fixture;
  if (size == 0) return 0;
  const ByteView input = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0] % 4) {
    case 0:
      check(fixture.sealer.open(input));
      check(fixture.sealer.open_payload(first_commit(fixture, input), kSealedBytesMax));
      break;
    case 1: open_chunk_of(fixture, input); break;
    case 2: open_payload_of(fixture, input); break;
    default: open_frame_of(input); break;
  }
  return 0;
}
