#include "fs/commit/chunk_group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "tests/fs/commit/pipeline.h"
#include "tests/testing/seeded_random.h"

namespace coffer::commit {
namespace {

using testing::Pipeline;

struct AGroup : ::testing::Test {
  void add(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      plains.push_back(testing::SeededRandom(i).bytes(100'000 + i * 10'000));
      EXPECT_EQ(group.add(), i);
    }
  }
  void expect_spooled() {
    for (std::size_t i = 0; i < plains.size(); ++i) {
      const auto& spooled = group.wait(i);
      ASSERT_TRUE(spooled) << i;
      const auto sealed = pipeline.spool->get(spooled->id());
      ASSERT_TRUE(sealed) << i;
      const auto opened = pipeline.sealer().open(**sealed);
      ASSERT_TRUE(opened) << i;
      EXPECT_TRUE(*opened == plains[i]) << i;
    }
  }

  Pipeline pipeline;
  ChunkGroup group{pipeline.sealer(), *pipeline.spool};
  std::vector<Bytes> plains;
};

TEST_F(AGroup, SpoolsWhatWasSealedInAnyOrderOnceItIsClosed) {
  add(ChunkGroup::kChunksMax);
  std::vector<std::thread> threads;
  for (std::size_t i = plains.size(); i > 0; --i) {
    threads.emplace_back([this, index = i - 1] { group.seal(index, plains[index]); });
  }
  group.close();
  expect_spooled();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(AGroup, IsSpooledByItsOwnerWhereAllWasSealedBeforeHeClosesIt) {
  add(3);
  for (std::size_t i = 0; i < plains.size(); ++i) group.seal(i, plains[i]);
  EXPECT_EQ(pipeline.spool->used_bytes(), 0u);
  group.close();
  group.close();
  expect_spooled();
}

}  // namespace
}  // namespace coffer::commit
