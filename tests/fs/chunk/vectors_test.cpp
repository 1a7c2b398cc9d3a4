// tests/vectors/chunk/cases.txt: where content is cut and what pieces are called. A change here makes every client
// send again what its vault already has. Computed from KEYS.md section 7 with Python, not with the code under test.
#include <gtest/gtest.h>

#include "common/base/text.h"
#include "fs/chunk/chunker.h"
#include "fs/chunk/piece_hash.h"
#include "tests/testing/vectors.h"

namespace coffer::chunk {
namespace {

crypto::Secret key(const std::string& hex) { return crypto::Secret::copy_of(base::from_hex(hex).value()); }

std::string cuts(Chunker& chunker, ByteView rest) {
  std::string text;
  while (!rest.empty()) {
    const std::size_t length = chunker.cut(rest, true);
    text += (text.empty() ? "" : ",") + std::to_string(length);
    rest = rest.subspan(length);
  }
  return text;
}

TEST(ChunkVectors, AreCutAndNamedAsTheirListSays) {
  const auto cases = testing::read_cases(std::string(COFFER_VECTORS) + "/chunk/cases.txt");
  ASSERT_GE(cases.size(), 6u);
  for (const auto& f : cases) {
    SCOPED_TRACE(f.at(2));
    const Bytes plain = testing::make_plain(f.at(2));
    Chunker chunker(key(f.at(1)));
    if (f.at(0) == "cut") {
      EXPECT_EQ(cuts(chunker, plain), f.at(3));
    } else {
      EXPECT_EQ(PieceHasher(key(f.at(1))).hash(plain).hex(), f.at(3));
    }
  }
}

}  // namespace
}  // namespace coffer::chunk
