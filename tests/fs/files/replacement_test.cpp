// Claim: whoever replaces a good file, by rename(2), by an exchange or by O_TRUNC, and whatever is called, stored,
// committed or killed meanwhile: after each commit the name leads to a content that was whole at one moment.
//
// Method: programs replace files, each in one of these ways; between them and the FileSystem stands a model of a kernel
// that holds pages back and writes them in any order. Each commit is applied to a second tree, whose files are read and
// compared with what their writers had written when they renamed, flushed, synced or closed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/object/commit.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_vault.h"

namespace coffer {
namespace {

using files::FileSystem;
using files::HandleId;
using meta::RenameMode;
using testing::LocalVault;
using testing::SeededRandom;
using testing::TempDir;

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

/// One program, and what the kernel holds of its file.
struct Program {
  std::string good, temporary;    ///< Names in the root.
  std::set<std::string> whole{};  ///< What `good` may lead to.
  bool is_open = false;
  bool truncated = false;  ///< It rewrites `good` in place.
  bool renamed = false;
  bool held = false;  ///< Renamed while open, and not flushed since.
  HandleId handle{};
  InodeId inode{};
  std::string text{};          ///< What it has written so far.
  std::vector<Range> dirty{};  ///< Of that, what the kernel has not written back.
};

class Replacing {
 public:
  explicit Replacing(std::uint64_t seed) : random_(seed) {
    Result<std::unique_ptr<meta::Tree>> follower =
        meta::Tree::open((temp_ / "follower.db").string(), os::real_clock(), nobody_);
    COFFER_CHECK(follower.has_value());
    follower_ = *std::move(follower);
    start();
    for (const std::string number : {"1", "2", "3"}) {
      Program& program = programs_.emplace_back(Program{.good = "good" + number, .temporary = "new" + number});
      begin(program, program.good, O_WRONLY | O_CREAT);
      write(program);
      close(program);
    }
    drain();
  }

  void run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE(::testing::Message() << "step " << step << ": " << last_);
      one_step();
    }
    for (Program& program : programs_) {
      if (program.is_open) close(program);
    }
    drain();
    for (Program& program : programs_) {
      EXPECT_EQ(follower_content(program.good), content(program.good)) << program.good;
    }
  }

 private:
  FileSystem& files() { return vault_->file_system(); }
  std::uint64_t below(std::uint64_t end) { return random_.below(end); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  void start() {
    vault_ = std::make_unique<LocalVault>((temp_ / "vault").string());
    files().on_push_pages([this](InodeId inode) {
      for (Program& program : programs_) {
        if (program.is_open && program.inode == inode) write_back(program, 0);
      }
    });
  }

  // ---- programs and their kernel ----------------------------------------------------------------------------------

  void begin(Program& program, const std::string& name, int flags) {
    meta::NewInode what;
    what.mode = S_IFREG | 0644;
    program.text.clear();
    program.dirty.clear();
    program.is_open = true;
    program.truncated = (flags & O_TRUNC) != 0;
    program.renamed = program.held = false;
    if ((flags & O_CREAT) != 0) {
      (void)files().unlink(kRootInode, name);  // Left by one that was killed.
      const files::Opened opened = *files().create_open(kRootInode, name, what, flags);
      program.handle = opened.handle;
      program.inode = opened.attributes.inode;
    } else {
      program.inode = files().lookup(kRootInode, name)->inode;
      program.handle = *files().open(program.inode, flags);
    }
  }
  void write(Program& program) {
    const std::string line = program.good + " version " + std::to_string(++version_) + "\n";
    const std::size_t begin = program.text.size();
    const std::size_t end = begin + 1 + below(one_in(10) ? 1'500'000 : 20'000);
    while (program.text.size() < end) program.text += line;
    program.dirty.push_back({begin, program.text.size()});
  }
  /// All but `count` of the dirty ranges, in any order.
  void write_back(Program& program, std::size_t count) {
    while (program.dirty.size() > count) {
      const std::size_t index = below(program.dirty.size());
      const Range range = program.dirty[index];
      program.dirty.erase(program.dirty.begin() + static_cast<std::ptrdiff_t>(index));
      const std::string part = program.text.substr(range.begin, range.end - range.begin);
      ASSERT_TRUE(
          files().write(program.handle, range.begin, as_bytes(part), {}, commit::WriteTimes::unchanged).has_value());
    }
  }
  void flush(Program& program) {
    write_back(program, 0);
    ASSERT_TRUE(files().flush(program.handle).has_value());
    program.held = false;
    if (!program.text.empty()) program.whole.insert(program.text);
  }
  void close(Program& program) {
    flush(program);
    program.whole.insert(program.text);
    files().release(program.handle);
    program.is_open = false;
    if (!program.truncated && !program.renamed && !one_in(8)) rename(program);
  }
  void rename(Program& program) {
    if (!files().lookup(kRootInode, program.temporary)) return;
    const RenameMode mode = one_in(4) ? RenameMode::exchange : RenameMode::replace;
    ASSERT_TRUE(files().rename(kRootInode, program.temporary, kRootInode, program.good, mode).has_value());
    program.renamed = true;
    program.held = program.is_open;
  }

  void one_step() {
    Program& program = programs_[below(programs_.size())];
    const std::uint64_t what = below(24);
    last_ = std::to_string(what) + " " + program.good;
    if (what < 3) return store_some();
    if (what < 7) {
      commit();
      return;
    }
    if (what == 7 && one_in(3)) return kill();
    if (what == 8) return sync();
    if (what == 9) return fsync(one_in(2) ? kRootInode : files().lookup(kRootInode, any_good())->inode);
    if (!program.is_open) {
      return one_in(3) ? begin(program, program.good, O_WRONLY | O_TRUNC)
                       : begin(program, program.temporary, O_WRONLY | O_CREAT);
    }
    if (what < 15) return write(program);
    if (what < 18) return write_back(program, below(program.dirty.size() + 1));
    if (what < 20) return flush(program);  // One descriptor of several.
    if (what < 22 && !program.truncated && !program.renamed) return rename(program);
    close(program);
  }
  std::string any_good() { return programs_[below(programs_.size())].good; }

  void fsync(InodeId inode) {
    for (Program& program : programs_) {
      if (program.is_open && program.inode == inode) write_back(program, 0);
    }
    ASSERT_TRUE(files().fsync(inode).has_value());
    may_be_committed();
  }
  void sync() {
    for (Program& program : programs_) {
      // The FileSystem itself asks for the pages of what it holds.
      if (program.is_open && !program.held) write_back(program, 0);
    }
    ASSERT_TRUE(files().flush_all().has_value());
    may_be_committed();
  }
  /// Someone has asked for it, whole or not.
  void may_be_committed() {
    for (Program& program : programs_) {
      if (program.is_open && (program.truncated || program.renamed)) program.whole.insert(program.text);
      program.held = false;
    }
  }

  void kill() {
    vault_->kill();
    vault_.reset();
    start();
    for (Program& program : programs_) {
      const std::string left = content(program.good);
      // An O_TRUNC or a rename that returned stays, and what was not flushed behind it is gone with the process.
      if (program.is_open && (program.truncated || program.renamed)) program.whole.insert(left);
      EXPECT_TRUE(program.whole.contains(left)) << program.good << " after the kill: " << left.size() << " bytes";
      program.is_open = false;
      program.dirty.clear();
    }
  }

  // ---- the server -------------------------------------------------------------------------------------------------

  void store_some() {
    if (one_in(2)) {
      ASSERT_TRUE(vault_->committer().seal_open_chunks().has_value());
    }
    const std::vector<ChunkRow> owed = *vault_->tree().owed_chunks(100, [&](ChunkKey) { return one_in(3); });
    for (const ChunkRow& chunk : owed) ASSERT_TRUE(vault_->tree().chunks_stored(std::span(&chunk.key, 1)).has_value());
  }

  bool commit() {
    meta::Tree& tree = vault_->tree();
    Bytes payload;
    const Result<std::optional<Bytes>> drafted = tree.draft_commit([&](const meta::Draft& draft) -> Result<Bytes> {
      payload = copy_of(draft.payload);
      return object::encode(object::Commit{.vault = {},
                                           .seq = draft.seq,
                                           .previous = draft.previous,
                                           .epoch = 1,
                                           .added = draft.added,
                                           .released = draft.released,
                                           .payload = copy_of(draft.payload)});
    });
    EXPECT_TRUE(drafted.has_value());
    if (!drafted || !*drafted) return false;
    if (one_in(6)) {
      EXPECT_TRUE(tree.commit_refused().has_value());
      return true;
    }
    const object::Commit commit = *object::decode_commit(**drafted);
    const object::CommitHash hash = object::hash_of(**drafted);
    EXPECT_TRUE(follower_->apply(commit, payload, hash).has_value());
    for (Program& program : programs_) {
      const std::string seen = follower_content(program.good);
      EXPECT_TRUE(program.whole.contains(seen))
          << program.good << " has " << seen.size() << " bytes that were never all of it";
    }
    EXPECT_TRUE(tree.commit_done(commit.seq, hash).has_value());
    return true;
  }

  void drain() {
    ASSERT_TRUE(files().flush_all().has_value());
    do {
      ASSERT_TRUE(vault_->committer().seal_open_chunks().has_value());
      const std::vector<ChunkRow> owed = *vault_->tree().owed_chunks(1000, nullptr);
      for (const ChunkRow& chunk : owed) {
        ASSERT_TRUE(vault_->tree().chunks_stored(std::span(&chunk.key, 1)).has_value());
      }
    } while (commit() && !::testing::Test::HasFailure());
  }

  // ---- what is there ----------------------------------------------------------------------------------------------

  std::string content(const std::string& name) {
    const Result<Attributes> found = files().lookup(kRootInode, name);
    if (!found) return "nothing";
    const HandleId handle = *files().open(found->inode, O_RDONLY);
    std::string text(found->bytes, '?');
    const Result<std::size_t> got =
        files().read(handle, 0, MutableByteView(reinterpret_cast<std::byte*>(text.data()), text.size()));
    files().release(handle);
    EXPECT_TRUE(got.has_value() && *got == text.size());
    return text;
  }

  std::string follower_content(const std::string& name) {
    const Result<Attributes> found = follower_->lookup(kRootInode, name);
    if (!found) return is_started_ ? "nothing" : "";
    is_started_ = true;
    std::string text(found->bytes, '\0');
    const std::vector<Extent> extents = *follower_->extents(found->inode, FileOffset(0), FileOffset(~std::uint64_t{0}));
    for (const Extent& extent : extents) {
      // The writer has every chunk that a commit has named and not released.
      const std::optional<ChunkRow> chunk = *vault_->tree().chunk_by_id(follower_->chunk(extent.chunk)->id);
      if (!chunk) return "a chunk that is gone";
      const MutableByteView into(reinterpret_cast<std::byte*>(text.data() + extent.at.value()), extent.bytes);
      if (!vault_->fetcher().read_chunk(chunk->key, extent.chunk_offset, into, os::real_clock().steady())) {
        return "a chunk that cannot be read";
      }
    }
    return text;
  }

  SeededRandom random_;
  TempDir temp_;
  NobodyListens nobody_;
  std::unique_ptr<LocalVault> vault_;
  std::unique_ptr<meta::Tree> follower_;
  std::vector<Program> programs_;
  std::uint64_t version_ = 0;
  bool is_started_ = false;
  std::string last_;
};

TEST(AReplacedFile, LeadsToAWholeContentAfterEveryCommit) {
  const char* const more = std::getenv("COFFER_SEEDS");
  const std::uint64_t seeds = more != nullptr ? std::strtoull(more, nullptr, 10) : 12;
  for (std::uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Replacing(seed).run(400);
  }
}

}  // namespace
}  // namespace coffer
