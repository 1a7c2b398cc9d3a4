// tests/vectors/seal/cases.txt: what every reader of sealed chunks and payloads must open, and what it must not.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "fs/seal/frame.h"
#include "fs/seal/padme.h"
#include "fs/seal/sealer.h"
#include "fs/seal/stream.h"
#include "fs/seal/table.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/vectors.h"

namespace coffer::seal {
namespace {

const std::string kFolder = std::string(COFFER_VECTORS) + "/seal/";
constexpr std::size_t kPlainBytesMax = 1u << 20;

struct Case {
  std::string file, kind, key, vault;
  std::string commit;  // SEQ:EPOCH:PREVIOUS:ADDED:RELEASED of a payload; "-" of a chunk.
  std::string plain, outcome;
  std::string seed, compression;  // Of the encoder; "-" in wrong ones.
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& f : testing::read_cases(kFolder + "cases.txt")) {
    EXPECT_EQ(f.size(), 9u) << f.at(0);
    all.push_back({f.at(0), f.at(1), f.at(2), f.at(3), f.at(4), f.at(5), f.at(6), f.at(7), f.at(8)});
  }
  return all;
}

Bytes read_vector(const std::string& file) {
  std::ifstream stream(kFolder + file, std::ios::binary);
  EXPECT_TRUE(stream) << file << " cannot be read";
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  return copy_of(as_bytes(text));
}

keys::VaultKey key_of(const Case& c) { return keys::VaultKey::from_bytes(base::from_hex(c.key).value()).value(); }
object::VaultId vault_of(const Case& c) { return object::VaultId::from(base::from_hex(c.vault).value()).value(); }

/// An id of 32 times the same byte.
template <class Id>
Id id_of(const std::string& hex_byte) {
  std::string hex;
  for (std::size_t i = 0; i < Id::kSize; ++i) hex += hex_byte;
  return Id::from(base::from_hex(hex).value()).value();
}

object::Commit commit_of(const Case& c) {
  std::vector<std::string> fields(1);
  for (const char letter : c.commit) {
    if (letter == ':') {
      fields.emplace_back();
    } else {
      fields.back().push_back(letter);
    }
  }
  object::Commit commit;
  commit.vault = vault_of(c);
  commit.seq = std::stoull(fields.at(0));
  commit.epoch = std::stoull(fields.at(1));
  commit.previous = id_of<object::CommitHash>(fields.at(2));
  const auto ids = [](const std::string& bytes) {
    std::vector<object::ChunkId> all;
    for (std::size_t i = 0; i + 2 <= bytes.size(); i += 2) all.push_back(id_of<object::ChunkId>(bytes.substr(i, 2)));
    return all;
  };
  commit.added = ids(fields.at(3));
  commit.released = ids(fields.at(4));
  return commit;
}

Result<Bytes> open(const Case& c, ByteView sealed) {
  const Sealer sealer(key_of(c), vault_of(c), os::real_random(), {});
  if (c.kind == "chunk") return sealer.open(sealed);
  object::Commit commit = commit_of(c);
  commit.payload = copy_of(sealed);
  return sealer.open_payload(commit, kPlainBytesMax);
}

Bytes seal(const Case& c) {
  testing::SeededRandom random(std::stoull(c.seed));
  const Sealer sealer(key_of(c), vault_of(c), random, parse_compression(c.compression).value());
  const Bytes plain = testing::make_plain(c.plain);
  return c.kind == "chunk" ? copy_of(sealer.seal(plain).bytes()) : sealer.seal_payload(plain, commit_of(c));
}

TEST(SealVectors, AreOpenedOrFoundCorruptAsTheirListSays) {
  ASSERT_GE(cases().size(), 20u);
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.file);
    const Result<Bytes> opened = open(c, read_vector(c.file));
    if (c.outcome == "good") {
      ASSERT_TRUE(opened) << opened.error().what;
      EXPECT_TRUE(*opened == testing::make_plain(c.plain));
    } else {
      ASSERT_FALSE(opened);
      EXPECT_EQ(fault_name(opened.error().fault), c.outcome);
    }
  }
}

// Claim: one salt gives one sealed chunk, byte by byte. Compressed ones are left out: another release of zstd or zlib
// may pack otherwise and be right.
TEST(SealVectors, AreMadeAgainByTheEncoder) {
  int count = 0;
  for (const Case& c : cases()) {
    if (c.outcome != "good" || c.file.find("stored") == std::string::npos) continue;
    EXPECT_TRUE(seal(c) == read_vector(c.file)) << c.file;
    ++count;
  }
  EXPECT_GE(count, 3);
}

// ---- how the vectors were made ---------------------------------------------------------------------------------

const std::string kKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const std::string kVault = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const std::string kCommit = "72623859790382856:9:b2:0102:0304";
const std::string kOtherKey = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const std::string kOtherVault = "a0a1a2a3a4a5a6a7a8a9aaabacadae00";

class VectorWriter {
 public:
  VectorWriter() : list_(kFolder + "cases.txt") {
    list_ << "# file kind vault_key vault_id commit plain outcome seed compression\n"
             "# commit: SEQ:EPOCH:PREVIOUS:ADDED:RELEASED of a payload; each byte stands for an id of 32 such bytes.\n"
             "# plain: tests/testing/vectors.h says how to make it; for wrong ones it is what was sealed, before it "
             "went\n"
             "# wrong. outcome: good, or the Fault. seed, compression: what the encoder was given; - for wrong ones.\n";
  }

  Bytes good(Case c) {
    c.outcome = "good";
    Bytes sealed = seal(c);
    write(c, sealed);
    return sealed;
  }
  void wrong(Case c, const std::string& file, ByteView sealed) {
    c.file = file;
    c.outcome = "corrupt";
    c.seed = c.compression = "-";
    write(c, sealed);
  }

 private:
  void write(const Case& c, ByteView sealed) {
    list_ << c.file << ' ' << c.kind << ' ' << c.key << ' ' << c.vault << ' ' << c.commit << ' ' << c.plain << ' '
          << c.outcome << ' ' << c.seed << ' ' << c.compression << '\n';
    std::ofstream(kFolder + c.file, std::ios::binary) << as_text(sealed);
  }

  std::ofstream list_;
};

Bytes flipped(Bytes bytes, std::size_t at) {
  bytes[at] ^= std::byte{1};
  return bytes;
}

Bytes bytes_of_head(std::string_view magic) {
  Bytes head = copy_of(as_bytes(magic));
  append(head, Bytes{std::byte{1}, std::byte{0}});
  return head;
}

/// A chunk under the right key whose table or frame bodies are not what a Sealer writes.
Bytes forged_chunk(const Case& c, Bytes table, const std::vector<Bytes>& bodies, Last last_flag = Last::yes) {
  const Salt salt{};
  Bytes associated = bytes_of_head("CFRCHK");
  append(associated, vault_of(c).bytes());
  Stream stream(key_of(c).derive(keys::kChunkLabel, vault_of(c)).bytes(), salt, "coffer 1 chunk", associated);
  Bytes sealed = bytes_of_head("CFRCHK");
  append(sealed, salt);
  const auto add = [&](std::uint32_t counter, Last last, ByteView body) {
    Bytes message(body.size() + 16);
    stream.seal(counter, last, body, message);
    append(sealed, message);
  };
  add(0, Last::no, table);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    add(static_cast<std::uint32_t>(i + 1), i + 1 == bodies.size() ? last_flag : Last::no, bodies[i]);
  }
  return sealed;
}

Bytes table_of(std::uint32_t plain_bytes, std::uint32_t sealed_bytes, const std::vector<std::uint32_t>& entries) {
  Bytes table;
  Writer writer(table);
  writer.put(plain_bytes);
  writer.put(sealed_bytes);
  for (const std::uint32_t entry : entries) writer.put(entry);
  table.resize(std::max(table.size(), kTableBytes), std::byte{0});
  return table;
}

void write_forged_chunks(VectorWriter& to, const Case& c) {
  const Bytes hello = copy_of(as_bytes("hello"));
  const auto padded = [](Bytes body, std::size_t before) {
    body.resize(padme(before + body.size() + 16) - before - 16, std::byte{0});
    return body;
  };
  const Bytes body = padded(hello, 192);
  const auto sealed_bytes = static_cast<std::uint32_t>(192 + body.size() + 16);
  const Bytes table = table_of(5, sealed_bytes, {5});
  ASSERT_TRUE(open(c, forged_chunk(c, table, {body})));  // What follows is wrong in one way only.

  to.wrong(c, "wrong-last-flag.bin", forged_chunk(c, table, {body}, Last::no));
  Bytes dirty = body;
  dirty.back() = std::byte{1};
  ASSERT_GT(dirty.size(), hello.size());
  to.wrong(c, "wrong-padding-not-zero.bin", forged_chunk(c, table, {dirty}));
  to.wrong(c, "wrong-length-not-padme.bin", forged_chunk(c, table_of(5, 192 + 5 + 16, {5}), {hello}));
  to.wrong(c, "wrong-codec-unknown.bin", forged_chunk(c, table_of(5, sealed_bytes, {5 | 3u << 24}), {body}));
  to.wrong(c, "wrong-plain-bytes-zero.bin", forged_chunk(c, table_of(0, sealed_bytes, {5}), {body}));
  to.wrong(c, "wrong-stored-length.bin", forged_chunk(c, table_of(6, sealed_bytes, {5}), {body}));
  to.wrong(c, "wrong-unused-entry.bin", forged_chunk(c, table_of(5, sealed_bytes, {5, 5}), {body}));
  to.wrong(
      c, "wrong-plain-bytes-beyond-4-mib.bin",
      forged_chunk(c, table_of((4u << 20) + 1, sealed_bytes, std::vector<std::uint32_t>(32, 5 | 1u << 24)), {body}));

  // A zstd frame that holds 5000 bytes where the table says 4999, and the other way round.
  Bytes packed(5000);
  const Packed how = pack(testing::make_plain("lines:5000"), {Compression::Codec::zstd, 3}, packed);
  packed.resize(how.bytes);
  const Bytes zstd_body = padded(packed, 192);
  const auto zstd_sealed_bytes = static_cast<std::uint32_t>(192 + zstd_body.size() + 16);
  const auto entry = static_cast<std::uint32_t>(how.bytes | 1u << 24);
  ASSERT_TRUE(open(c, forged_chunk(c, table_of(5000, zstd_sealed_bytes, {entry}), {zstd_body})));
  to.wrong(c, "wrong-frame-gives-more.bin", forged_chunk(c, table_of(4999, zstd_sealed_bytes, {entry}), {zstd_body}));
  to.wrong(c, "wrong-frame-gives-less.bin", forged_chunk(c, table_of(5001, zstd_sealed_bytes, {entry}), {zstd_body}));
}

void write_chunks(VectorWriter& to) {
  Case c{"", "chunk", kKey, kVault, "-", "hex:41", "", "1", "none"};
  c.file = "stored-one-byte.bin";
  to.good(c);
  c = {"stored-two-frames.bin", "chunk", kKey, kVault, "-", "noise:7:131172", "", "2", "auto"};
  to.good(c);
  c = {"zstd-three-frames.bin", "chunk", kKey, kVault, "-", "lines:300000", "", "3", "zstd:3"};
  to.good(c);
  c = {"zlib-three-frames.bin", "chunk", kKey, kVault, "-", "repeat:00:300000", "", "4", "zlib:9"};
  const Bytes zeros = to.good(c);
  c = {"zlib-short.bin", "chunk", kKey, kVault, "-", "lines:5000", "", "5", "zlib:6"};
  const Bytes sealed = to.good(c);

  to.wrong(c, "wrong-bit-in-magic.bin", flipped(sealed, 0));
  to.wrong(c, "wrong-version.bin", [&] {
    Bytes b = sealed;
    b[6] = std::byte{2};
    return b;
  }());
  to.wrong(c, "wrong-bit-in-salt.bin", flipped(sealed, 20));
  to.wrong(c, "wrong-bit-in-table.bin", flipped(sealed, 100));
  to.wrong(c, "wrong-bit-in-frame.bin", flipped(sealed, 300));
  to.wrong(c, "wrong-bit-in-tag.bin", flipped(sealed, sealed.size() - 1));
  to.wrong(c, "wrong-cut-short.bin", ByteView(sealed).first(sealed.size() - 1));
  to.wrong(c, "wrong-header-only.bin", ByteView(sealed).first(192));
  to.wrong(c, "wrong-empty.bin", {});
  Bytes longer = sealed;
  longer.push_back(std::byte{0});
  to.wrong(c, "wrong-one-byte-more.bin", longer);
  Case other = c;
  other.key = kOtherKey;
  to.wrong(other, "wrong-key.bin", sealed);
  other = c;
  other.vault = kOtherVault;
  to.wrong(other, "wrong-vault.bin", sealed);

  // Its first two frames are equally long and hold the same plain bytes: only their nonces tell them apart.
  const Sealer sealer(key_of(c), vault_of(c), os::real_random(), {});
  const SealedHeader header = sealer.read_header(zeros).value();
  const SealedFrame& one = header.frames[0];
  const SealedFrame& two = header.frames[1];
  ASSERT_EQ(one.sealed_bytes, two.sealed_bytes);
  Bytes swapped = zeros;
  std::swap_ranges(swapped.begin() + one.sealed_offset, swapped.begin() + one.sealed_offset + one.sealed_bytes,
                   swapped.begin() + two.sealed_offset);
  c.plain = "repeat:00:300000";
  to.wrong(c, "wrong-frames-swapped.bin", swapped);
  c.plain = "hex:68656c6c6f";
  write_forged_chunks(to, c);
}

void write_payloads(VectorWriter& to) {
  Case c{"payload-stored-empty.bin", "payload", kKey, kVault, "1:1:00::", "hex:", "", "10", "auto"};
  to.good(c);
  c = {"payload-stored-noise.bin", "payload", kKey, kVault, "2:3:a1:0102:", "noise:8:100", "", "11", "auto"};
  to.good(c);
  c = {"payload-zstd.bin", "payload", kKey, kVault, kCommit, "lines:5000", "", "12", "auto"};
  const Bytes sealed = to.good(c);
  to.wrong(c, "wrong-payload-bit.bin", flipped(sealed, 60));
  to.wrong(c, "wrong-payload-cut-short.bin", ByteView(sealed).first(sealed.size() - 1));
  to.wrong(c, "wrong-payload-version.bin", [&] {
    Bytes b = sealed;
    b[6] = std::byte{1};
    return b;
  }());
  const std::pair<const char*, const char*> changes[] = {
      {"seq", "72623859790382857:9:b2:0102:0304"},      {"epoch", "72623859790382856:8:b2:0102:0304"},
      {"previous", "72623859790382856:9:b3:0102:0304"}, {"added", "72623859790382856:9:b2:01:0304"},
      {"released", "72623859790382856:9:b2:0102:0305"}, {"lists", "72623859790382856:9:b2:01:020304"},
  };
  for (const auto& [field, commit] : changes) {
    c.commit = commit;
    to.wrong(c, "wrong-payload-" + std::string(field) + ".bin", sealed);
  }
}

// Run by hand with --gtest_also_run_disabled_tests, and only for a new version of the format.
TEST(SealVectors, DISABLED_AreWritten) {
  VectorWriter writer;
  write_chunks(writer);
  write_payloads(writer);
}

}  // namespace
}  // namespace coffer::seal
