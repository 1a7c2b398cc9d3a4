// The whole way down and up against plain arrays.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/fs/commit/pipeline.h"

namespace coffer::commit {
namespace {

using testing::Pipeline;
using testing::PipelineOptions;
using testing::SeededRandom;

struct Model {
  InodeId inode;
  Bytes content;
  std::vector<bool> is_flushed;  // Byte by byte: a crash may not change it.
};

void set_size(Model& model, std::size_t bytes) {
  model.content.resize(std::min(model.content.size(), bytes));
  model.is_flushed.resize(model.content.size());
  model.content.resize(bytes, std::byte{0});
  model.is_flushed.resize(bytes, true);
}

void write(Pipeline& pipeline, Model& model, std::size_t at, const Bytes& bytes) {
  pipeline.write(model.inode, at, bytes);
  if (model.content.size() < at + bytes.size()) {
    model.content.resize(at + bytes.size(), std::byte{0});
    model.is_flushed.resize(model.content.size(), false);
  }
  std::copy(bytes.begin(), bytes.end(), model.content.begin() + static_cast<std::ptrdiff_t>(at));
  std::fill_n(model.is_flushed.begin() + static_cast<std::ptrdiff_t>(at), bytes.size(), false);
}

/// What was flushed is there; what was not may be.
void adopt_after_crash(Pipeline& pipeline, Model& model) {
  const auto content = pipeline.read_all(model.inode);
  ASSERT_TRUE(content) << content.error().what;
  ASSERT_LE(content->size(), model.content.size());
  for (std::size_t at = 0; at < model.content.size(); ++at) {
    if (!model.is_flushed[at]) continue;
    ASSERT_LT(at, content->size());
    ASSERT_EQ((*content)[at], model.content[at]) << "at " << at;
  }
  model.content = *content;
  model.is_flushed.assign(content->size(), true);
}

void expect_same(Pipeline& pipeline, const Model& model, SeededRandom& random) {
  const auto attributes = pipeline.committer->attributes(model.inode);
  ASSERT_TRUE(attributes);
  ASSERT_EQ(attributes->bytes, model.content.size());
  if (model.content.empty()) return;
  const std::size_t at = random.below(model.content.size());
  const std::size_t count = 1 + random.below(std::min<std::size_t>(model.content.size() - at, 1u << 20));
  const auto found = pipeline.read(model.inode, at, count);
  ASSERT_TRUE(found) << found.error().what;
  ASSERT_TRUE(std::equal(found->begin(), found->end(), model.content.begin() + static_cast<std::ptrdiff_t>(at)));
}

// Claim: what is written is read back, whatever the pattern of writes, truncates, flushes, uploads, evictions and
// crashes, and a crash loses nothing that was flushed.
TEST(CommitModel, ReadsBackWhatWasWrittenWhateverThePattern) {
  for (unsigned seed = 0; seed < 6; ++seed) {
    SeededRandom random(seed);
    PipelineOptions options;
    options.committer.buffer_bytes_max = 4u << 20;
    options.committer.run_bytes = 2u << 20;
    options.committer.open_chunk_delay = std::chrono::milliseconds(seed % 2 == 0 ? 1 : 3'600'000);
    Pipeline pipeline(options);
    std::vector<Model> files;
    for (unsigned i = 0; i < 3; ++i) files.push_back({pipeline.create("file" + std::to_string(i)), {}, {}});
    for (unsigned step = 0; step < 150; ++step) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", step " << step);
      Model& model = files[random.below(files.size())];
      switch (random.below(16)) {
        case 0: {  // A long run.
          const std::size_t at = random.below(model.content.size() + 1);
          const Bytes bytes = random.bytes((1u << 20) + random.below(2u << 20));
          for (std::size_t done = 0; done < bytes.size(); done += 128u << 10) {
            const std::size_t count = std::min<std::size_t>(128u << 10, bytes.size() - done);
            write(pipeline, model, at + done, copy_of(ByteView(bytes).subspan(done, count)));
          }
          break;
        }
        case 1: {
          const std::size_t bytes = random.below(model.content.size() + 100'000);
          pipeline.truncate(model.inode, bytes);
          set_size(model, bytes);
          break;
        }
        case 2:
        case 3: {
          pipeline.flush(model.inode);
          model.is_flushed.assign(model.content.size(), true);
          break;
        }
        case 4: pipeline.seal_open(); break;
        case 5: pipeline.upload(); break;
        case 6: {
          ASSERT_TRUE(pipeline.spool->clear());
          pipeline.fetcher->forget_decoded();
          break;
        }
        case 7: {
          if (random.below(3) != 0) break;
          pipeline.crash();
          for (Model& each : files) adopt_after_crash(pipeline, each);
          break;
        }
        default: {  // Small writes anywhere, also behind the end; some repeat content.
          const std::size_t at = random.below(model.content.size() + 20'000);
          Bytes bytes = random.bytes(1 + random.below(random.below(4) == 0 ? 300'000 : 9000));
          if (random.below(4) == 0) bytes.assign(bytes.size(), std::byte{42});
          write(pipeline, model, at, bytes);
        }
      }
      if (::testing::Test::HasFatalFailure()) return;
      expect_same(pipeline, files[random.below(files.size())], random);
      if (::testing::Test::HasFatalFailure()) return;
    }
    for (const Model& model : files) {
      const auto content = pipeline.read_all(model.inode);
      ASSERT_TRUE(content);
      EXPECT_TRUE(*content == model.content) << "seed " << seed;
    }
    EXPECT_TRUE(pipeline.committer->damage().empty());
  }
}

// Claim: many writers, flushes, uploads and evictions at once, and every reader sees what its file's writer wrote.
//
// Method: each file has one writer, who fills it with one byte value after the other in ascending order; a reader may
// see two neighbouring rounds, but never a value from before the round that was complete when it began.
TEST(CommitModel, ServesWritersAndReadersAtTheSameTime) {
  PipelineOptions options;
  options.committer.buffer_bytes_max = 4u << 20;
  options.committer.run_bytes = 1u << 20;
  options.committer.open_chunk_delay = std::chrono::milliseconds(1);
  Pipeline pipeline(options);
  constexpr std::size_t kFileBytes = 700'000;
  constexpr int kRounds = 12;
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  std::atomic<int> writers = 3;
  for (unsigned file = 0; file < 3; ++file) {
    const InodeId inode = pipeline.create("file" + std::to_string(file));
    auto complete = std::make_shared<std::atomic<int>>(0);
    threads.emplace_back([&, inode, complete, file] {
      SeededRandom random(file);
      for (int round = 1; round <= kRounds; ++round) {
        const std::size_t step = 1000 + random.below(100'000);
        for (std::size_t at = 0; at < kFileBytes; at += step) {
          const Bytes bytes(std::min(step, kFileBytes - at), static_cast<std::byte>(round));
          const auto written = pipeline.committer->write(inode, FileOffset(at), bytes);
          ASSERT_TRUE(written) << written.error().what;
        }
        *complete = round;
        const auto flushed = pipeline.committer->flush(inode);
        ASSERT_TRUE(flushed) << flushed.error().what;
      }
      --writers;
    });
    threads.emplace_back([&, inode, complete, file] {
      SeededRandom random(100 + file);
      while (!done) {
        const int at_least = *complete;
        const auto found = pipeline.read(inode, random.below(kFileBytes - 5000), 5000);
        ASSERT_TRUE(found) << found.error().what;
        for (const std::byte value : *found) ASSERT_GE(std::to_integer<int>(value), at_least);
      }
    });
  }
  threads.emplace_back([&] {
    while (!done) {
      ASSERT_TRUE(pipeline.committer->seal_open_chunks());
      pipeline.upload();
      ASSERT_TRUE(pipeline.spool->clear());
      pipeline.fetcher->forget_decoded();
    }
  });
  while (writers > 0) std::this_thread::yield();
  done = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace coffer::commit
