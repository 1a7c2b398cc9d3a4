// What the tests of packs share: chunks, and a store in a folder of its own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/crypto/hash.h"
#include "common/pack/pack_store.h"
#include "common/pack/record.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::pack {

struct Chunk {
  object::ChunkId id;
  Bytes bytes;
};

inline Chunk chunk_of(ByteView bytes) { return {object::ChunkId(crypto::sha256(bytes)), copy_of(bytes)}; }

inline Chunk random_chunk(std::uint64_t seed, std::size_t bytes = 300) {
  return chunk_of(testing::SeededRandom(seed).bytes(bytes));
}

inline std::vector<Chunk> random_chunks(std::size_t count, std::size_t bytes = 300) {
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < count; ++i) chunks.push_back(random_chunk(i + 1, bytes));
  return chunks;
}

inline std::unique_ptr<PackStore> open_store(const std::string& folder, os::Disk& disk = os::real_disk(),
                                             const PackOptions& options = {}) {
  Result<std::unique_ptr<PackStore>> store = PackStore::open(disk, folder, options);
  EXPECT_TRUE(store) << (store ? "" : store.error().what);
  return store ? std::move(store).value() : nullptr;
}

inline void append_all(PackStore& store, const std::vector<Chunk>& chunks) {
  for (const Chunk& chunk : chunks) ASSERT_TRUE(store.append(chunk.id, chunk.bytes));
}

inline bool is_whole(PackStore& store, const Chunk& chunk) {
  const auto bytes = store.read(chunk.id);
  return bytes && *bytes == chunk.bytes && *store.find(chunk.id) == chunk.bytes.size();
}

inline bool is_absent(PackStore& store, const Chunk& chunk) {
  const auto bytes = store.read(chunk.id);
  return !bytes && bytes.error().code == ENOENT && bytes.error().fault == Fault::answer && !*store.find(chunk.id);
}

inline std::string first_pack(const std::string& folder) { return folder + "/00000001.pack"; }

inline Bytes file_bytes(const std::string& path) { return os::read_file(os::real_disk(), path, 1u << 30).value(); }

inline void write_file(const std::string& path, ByteView bytes) {
  ASSERT_TRUE(os::replace_file(os::real_disk(), path, bytes));
}

inline void flip_byte(const std::string& path, std::uint64_t offset) {
  auto file = os::real_disk().open(path, os::Open::write).value();
  std::byte b{};
  ASSERT_EQ(*file->read_at(MutableByteView(&b, 1), offset), 1u);
  b ^= std::byte{0x40};
  ASSERT_TRUE(file->write_at(ByteView(&b, 1), offset));
}

inline void delete_index(const std::string& folder) {
  for (const char* name : {"/index.db", "/index.db-wal", "/index.db-shm"}) {
    (void)os::real_disk().remove(folder + name);
  }
}

}  // namespace coffer::pack
