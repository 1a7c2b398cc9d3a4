// Claim: whatever happens to a tree, and whenever its process is killed, each commit that it drafts leads a follower
// from one consistent state to the next, and once all is committed the follower's tree equals it.
//
// Method: seeded random operations on tree A, mixed with chunks that are stored late and in any order, drafts that are
// acknowledged late, refused, or found in the log after a restart, and kills. Follower B applies each commit as soon as
// it is in the log; a model of the server knows which chunks it has. After each commit B is examined.
#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <set>
#include <sstream>
#include <thread>

#include "tests/fs/meta/invariants.h"
#include "tests/fs/meta/loading.h"
#include "tests/testing/seeded_random.h"

namespace coffer::meta {
namespace {

/// Everything of an inode but its links, which follow from names, and atime, which is not owed by itself.
std::string state_of(TreeWorld& world, InodeId inode) {
  std::ostringstream text;
  const Result<Attributes> row = world->attributes(inode);
  if (!row) return "gone";
  text << inode.value() << " " << row->mode << " " << row->uid << " " << row->gid << " " << row->rdev << " "
       << row->bytes << " " << row->allocated_bytes << " " << row->mtime_ns << " " << row->ctime_ns << " "
       << row->btime_ns;
  if (S_ISLNK(row->mode)) text << " -> " << *world->symlink_target(inode);
  const std::vector<std::string> xattrs = *world->xattrs(inode);
  for (const std::string& name : xattrs) text << " " << name << "=" << *world->xattr(inode, name);
  for (const Extent& extent : world.extents(inode)) {
    text << " [" << extent.at.value() << "+" << extent.bytes << " " << world.id(extent.chunk).hex().substr(0, 16) << "+"
         << extent.chunk_offset << "]";
  }
  return text.str();
}

/// Every name below `folder`, with its inode.
void walk(TreeWorld& world, InodeId folder, const std::string& path, std::map<std::string, Attributes>& into) {
  std::uint64_t after = 0;
  for (;;) {
    const std::vector<Entry> entries = *world->entries(folder, after, 7);
    if (entries.empty()) return;
    for (const Entry& entry : entries) {
      const std::string below = path + "/" + entry.name;
      into[below] = entry.attributes;
      if (S_ISDIR(entry.attributes.mode)) walk(world, entry.attributes.inode, below, into);
      after = entry.cookie;
    }
  }
}

std::map<std::string, Attributes> walk(TreeWorld& world) {
  std::map<std::string, Attributes> names;
  walk(world, kRootInode, "", names);
  return names;
}

std::map<std::string, std::string> whole(TreeWorld& world) {
  std::map<std::string, std::string> states;
  for (const auto& [path, row] : walk(world)) {
    states[path] = state_of(world, row.inode) + " links " + std::to_string(row.links);
  }
  states["/"] = state_of(world, kRootInode) + " links " + std::to_string(world.stat("/").links);
  return states;
}

class Following {
 public:
  explicit Following(std::uint64_t seed) : random_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE(::testing::Message() << "step " << step);
      one_step();
      if (step % 25 == 0) expect_invariants(a_);
    }
    SCOPED_TRACE("drained");
    drain();
    load_the_log();
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_.below(end); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  // ---- what users do ----------------------------------------------------------------------------------------------

  std::vector<InodeId> of_type(std::uint32_t type) {
    std::vector<InodeId> found;
    if (type == S_IFDIR) found.push_back(kRootInode);
    for (const auto& [path, row] : walk(a_)) {
      if ((row.mode & S_IFMT) == type && path != "/steady") found.push_back(row.inode);
    }
    return found;
  }
  InodeId any(std::uint32_t type) {
    const std::vector<InodeId> found = of_type(type);
    return found.empty() ? InodeId(999'999) : found[below(found.size())];
  }
  std::string any_name() { return std::string(1, "abcdef"[below(6)]); }

  /// Half of what is written goes into chunks of its own, the rest is batched or found in the vault.
  Extent some_content(std::uint64_t at) {
    const auto bytes = static_cast<std::uint32_t>(1 + below(3000));
    const PieceId piece = id_of<PieceId>(1 + below(40));
    if (one_in(3)) {
      const std::optional<PieceAt> found = *a_->find_piece(piece);
      if (found) return {FileOffset(at), found->bytes, found->chunk, found->chunk_offset, piece};
    }
    if (one_in(2)) {
      const ChunkKey chunk =
          *a_->add_spooled_chunk(id_of<object::ChunkId>(++chunk_count_), bytes + 50, bytes + 10, Priority::normal);
      return {FileOffset(at), bytes, chunk, 0, piece};
    }
    if (!open_) {
      open_ = *a_->add_open_chunk();
      open_bytes_ = 0;
    }
    const std::uint32_t offset = open_bytes_;
    open_bytes_ += bytes;
    return {FileOffset(at), bytes, *open_, offset, piece};
  }

  void write(InodeId inode) {
    Content content;
    std::uint64_t at = below(6000);
    for (std::uint64_t n = 0; n <= below(3); ++n) {
      content.extents.push_back(some_content(at));
      at = content.extents.back().end().value() + below(2) * below(500);
    }
    if (one_in(4)) content.replaced.push_back({0, below(9000)});
    if (one_in(2)) content.mtime_ns = static_cast<std::int64_t>(below(1000));
    const Result<Mark> recorded = a_->record(inode, content);
    EXPECT_TRUE(recorded || errno_of(recorded) == ENOENT) << recorded.error().what;
    if (recorded) return;
    for (const Extent& extent : content.extents) {
      a_->let_go(PieceAt{extent.chunk, extent.chunk_offset, extent.bytes});
      if (extent.chunk != open_) a_->let_go(extent.chunk);
    }
  }

  void seal_open() {
    if (!open_) return;
    const std::vector<Range> live = *a_->live_ranges(*open_);
    if (live.empty()) {
      a_->let_go(*open_);
    } else {
      EXPECT_TRUE(a_->chunk_sealed(*open_, id_of<object::ChunkId>(++chunk_count_), open_bytes_ + 50, open_bytes_));
    }
    open_.reset();
  }

  /// As an application does that keeps its file whole: /steady is replaced by rename, and nothing else touches it.
  void replace_steady() {
    const std::uint64_t number = ++steady_count_;
    const InodeId inode = a_.file("new-steady");
    Content content;
    content.extents.push_back(some_content(0));
    content.bytes = 10'000 + number;
    content.mtime_ns = static_cast<std::int64_t>(number);
    EXPECT_TRUE(a_->record(inode, content));
    EXPECT_EQ(a_.rename("new-steady", "steady"), 0);
  }

  /// As an editor does: /kept is moved aside by a link, or by a rename, and back; it has a name at all times.
  void shuffle_kept() {
    const InodeId folder = any(S_IFDIR);
    const std::string to = *a_->path_of(folder) + "/" + (one_in(2) ? "kept1" : "kept2");
    const std::string now = *a_->path_of(kept_);
    if (one_in(2)) {
      a_.rename(now, to);
    } else if (a_.link(now, to) == 0) {
      a_.unlink(now);
    }
  }

  void one_step() {
    switch (below(26)) {
      case 0:
      case 1:
      case 2: (void)a_->create(any(S_IFDIR), any_name(), {.mode = S_IFREG | 0644}); break;
      case 3:
      case 4: (void)a_->create(any(S_IFDIR), any_name(), {.mode = S_IFDIR | 0755}); break;
      case 5: (void)a_->create(any(S_IFDIR), any_name(), {.mode = S_IFLNK | 0777, .symlink_target = any_name()}); break;
      case 6: (void)a_->link(any(S_IFREG), any(S_IFDIR), any_name()); break;
      case 7:
      case 8: (void)a_->unlink(any(S_IFDIR), any_name()); break;
      case 9: (void)a_->rmdir(any(S_IFDIR), any_name()); break;
      case 10:
      case 11:
      case 12: (void)a_->rename(any(S_IFDIR), any_name(), any(S_IFDIR), any_name(), any_mode()); break;
      case 13:
      case 14:
      case 15: write(any(S_IFREG)); break;
      case 16: (void)a_->change(any(S_IFREG), {.bytes = below(8000)}); break;
      case 17: (void)a_->change(any(one_in(2) ? S_IFREG : S_IFDIR), {.mode = 0600 + below(64)}); break;
      case 18:
        (void)a_->set_xattr(any(S_IFREG), any_name(), as_bytes(any_name()), XattrMode::either);
        (void)a_->remove_xattr(any(S_IFREG), any_name());
        break;
      case 19: pin_or_hold(); break;
      case 20: seal_open(); break;
      case 21: store_some(); break;
      case 22:
      case 23: commit_step(); break;
      case 24: one_in(2) ? replace_steady() : shuffle_kept(); break;
      case 25:
        if (one_in(3)) kill();
        if (one_in(3)) b_.kill_and_open();
        break;
    }
  }

  RenameMode any_mode() {
    if (one_in(3)) return RenameMode::exchange;
    return one_in(4) ? RenameMode::no_replace : RenameMode::replace;
  }

  void pin_or_hold() {
    if (one_in(2) && pinned_.size() < 5) {
      pinned_.push_back(any(S_IFREG));
      a_->pin(pinned_.back());
      if (one_in(2)) a_->hold(pinned_.back(), true);
    } else if (!pinned_.empty()) {
      if (one_in(2)) write(pinned_.front());
      a_->hold(pinned_.front(), false);
      a_->unpin(pinned_.front());
      pinned_.pop_front();
    }
  }

  void kill() {
    a_.kill_and_open();
    pinned_.clear();
    // Its bytes are in the staging file: they are sealed at the start.
    const std::vector<ChunkRow> open = *a_->open_chunks();
    for (const ChunkRow& row : open) {
      EXPECT_EQ(row.key, open_);
      seal_open();
    }
    open_.reset();
    expect_invariants(a_);
  }

  // ---- the server -------------------------------------------------------------------------------------------------

  void store_some() {
    const std::vector<ChunkRow> owed = *a_->owed_chunks(20, [&](ChunkKey) { return one_in(3); });
    for (const ChunkRow& row : owed) {
      server_.insert(row.id);
      EXPECT_TRUE(a_->chunks_stored(std::vector{row.key}));
    }
  }

  void commit_step() {
    if (drafted_.empty()) {
      Draft draft;
      drafted_ = a_.draft(&draft);
      if (drafted_.empty()) return;
      drafted_states_.clear();
      for (const auto& [path, row] : walk(a_)) drafted_states_[row.inode] = state_of(a_, row.inode);
      drafted_states_[kRootInode] = state_of(a_, kRootInode);
      return;
    }
    if (one_in(5)) {
      EXPECT_TRUE(a_->commit_refused());
    } else {
      append();
      if (one_in(4)) {
        // The receipt was lost: the restarted client finds its own commit in the log.
        kill();
        const Result<Changed> found = a_.apply(drafted_);
        EXPECT_TRUE(found) << found.error().what;
      } else {
        a_.done(drafted_);
      }
    }
    drafted_.clear();
  }

  void append() {
    const object::Commit commit = *object::decode_commit(drafted_);
    for (const object::ChunkId& id : commit.added) {
      EXPECT_TRUE(server_.contains(id)) << "a commit names a chunk that is not stored";
      EXPECT_TRUE(named_.insert(id).second) << "a commit adds what is there";
    }
    for (const object::ChunkId& id : commit.released) {
      EXPECT_EQ(named_.erase(id), 1u) << "a commit releases what is not there";
    }
    for (const auto& [inode, state] : drafted_states_) past_states_[inode].insert(state);
    const Result<Changed> applied = b_.apply(drafted_);
    ASSERT_TRUE(applied) << applied.error().what;
    log_.push_back(drafted_);
    examine_follower();
  }

  void examine_follower() {
    expect_invariants(b_);
    const std::map<std::string, Attributes> names = walk(b_);
    EXPECT_EQ(static_cast<std::int64_t>(names.size()), b_.sql("SELECT count(*) FROM name"))
        << "names that none reaches";
    for (const auto& [path, row] : names) {
      EXPECT_TRUE(past_states_[row.inode].contains(state_of(b_, row.inode)))
          << path << " is what it never was: " << state_of(b_, row.inode);
      for (const Extent& extent : b_.extents(row.inode)) {
        EXPECT_TRUE(named_.contains(b_.id(extent.chunk))) << path << " needs a chunk that is not in the vault";
      }
    }
    const auto steady = names.find("/steady");
    saw_steady_ = saw_steady_ || steady != names.end();
    if (saw_steady_) {
      ASSERT_NE(steady, names.end()) << "a file that was always there is missing";
      EXPECT_EQ(steady->second.bytes, 10'000 + steady->second.mtime_ns) << "half a replacement";
      EXPECT_GT(steady->second.allocated_bytes, 0u);
    }
    const bool has_kept =
        std::any_of(names.begin(), names.end(), [&](const auto& n) { return n.second.inode == kept_; });
    saw_kept_ = saw_kept_ || has_kept;
    EXPECT_EQ(saw_kept_, has_kept) << "a file that always had a name is lost";
  }

  void drain() {
    while (!pinned_.empty()) {
      a_->hold(pinned_.front(), false);
      a_->unpin(pinned_.front());
      pinned_.pop_front();
    }
    seal_open();
    if (!drafted_.empty()) {
      append();
      a_.done(drafted_);
      drafted_.clear();
    }
    for (int round = 0; round < 1000; ++round) {
      const std::vector<ChunkRow> owed = *a_->owed_chunks(1000, nullptr);
      for (const ChunkRow& row : owed) {
        server_.insert(row.id);
        EXPECT_TRUE(a_->chunks_stored(std::vector{row.key}));
      }
      commit_draft();
      if (drafted_.empty()) break;
      append();
      a_.done(drafted_);
      drafted_.clear();
    }
    EXPECT_TRUE(a_.owed().nothing());
    EXPECT_TRUE(*a_->committed_up_to(a_->mark()));
    EXPECT_EQ(whole(a_), whole(b_));
    EXPECT_EQ(a_->totals()->files, b_->totals()->files);
    EXPECT_EQ(a_->totals()->bytes, b_->totals()->bytes);
    EXPECT_EQ(a_->totals()->sealed_bytes, b_->totals()->sealed_bytes);
    EXPECT_EQ(named_.size(), static_cast<std::size_t>(a_.sql("SELECT count(*) FROM chunk WHERE refs > 0")))
        << "chunks that no file needs stay in the vault";
    expect_invariants(a_);
  }

  /// Whole, and up to some commit, from which following goes on.
  void load_the_log() {
    const testing::TempDir folder;
    const std::vector<std::string> expected = rows_of(b_.path());
    for (const std::size_t count : {log_.size(), below(log_.size())}) {
      const std::string path = (folder / std::to_string(count)).string();
      const LoadLimits limits{.files_sorted = 1 + below(100), .pieces_sorted = 1 + below(100)};
      const Result<void> loaded = load(path, std::span(log_).first(count), limits);
      ASSERT_TRUE(loaded) << loaded.error().what;
      {
        CountingClock clock;
        DroppedChunks dropped;
        const auto tree = Tree::open(path, clock, dropped);
        ASSERT_TRUE(tree) << tree.error().what;
        for (const Bytes& bytes : std::span(log_).subspan(count)) {
          const object::Commit commit = *object::decode_commit(bytes);
          ASSERT_TRUE((*tree)->apply(commit, commit.payload, object::hash_of(bytes)));
        }
      }
      EXPECT_EQ(rows_of(path), expected) << "loaded up to commit " << count;
    }
  }

  void commit_draft() {
    Draft draft;
    drafted_ = a_.draft(&draft);
    drafted_states_.clear();
    for (const auto& [path, row] : walk(a_)) drafted_states_[row.inode] = state_of(a_, row.inode);
    drafted_states_[kRootInode] = state_of(a_, kRootInode);
  }

  testing::SeededRandom random_;
  TreeWorld a_;
  TreeWorld b_;
  const InodeId kept_ = a_.file("kept1");
  std::deque<InodeId> pinned_;
  std::optional<ChunkKey> open_;
  std::uint32_t open_bytes_ = 0;
  std::uint64_t chunk_count_ = 0;
  std::uint64_t steady_count_ = 0;
  bool saw_steady_ = false;
  bool saw_kept_ = false;

  Bytes drafted_;
  std::vector<Bytes> log_;
  std::map<InodeId, std::string> drafted_states_;
  std::map<InodeId, std::set<std::string>> past_states_;
  std::set<object::ChunkId> server_;
  std::set<object::ChunkId> named_;
};

TEST(Follower, SeesOneConsistentStateAfterTheOtherAndEqualsTheTreeInTheEnd) {
  const char* const more = std::getenv("COFFER_SEEDS");
  const std::uint64_t seeds = more != nullptr ? std::strtoull(more, nullptr, 10) : 4;
  for (std::uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Following(seed).run(500);
  }
}

// Claim: names that a commit adds and names that it gives to another inode do not hinder each other, however they lie
// in it. (What is new is written many at a time.)
TEST(Follower, TellsNewNamesFromThoseThatChangeHands) {
  TreeWorld writer, follower;
  const auto commit = [&] {
    for (const Bytes& one : writer.commit_all()) ASSERT_TRUE(follower.apply(one));
  };
  for (int i = 0; i < 100; i += 3) writer.file("name" + std::to_string(i));
  commit();
  for (int i = 0; i < 100; ++i) {
    writer.file("new");
    ASSERT_EQ(writer.rename("new", "name" + std::to_string(i)), 0);
    if (i % 10 == 0) {
      ASSERT_EQ(writer.link("name" + std::to_string(i), "link" + std::to_string(i)), 0);
    }
    if (i % 12 == 9) {
      ASSERT_EQ(writer.unlink("name" + std::to_string(i - 9)), 0);
    }
  }
  commit();
  EXPECT_EQ(whole(writer), whole(follower));
  expect_invariants(follower);
}

// Claim: who reads a tree while commits are applied finds a name that each of them gives to another inode, always.
TEST(AFollowerThatIsRead, NeverLacksANameThatIsReplaced) {
  TreeWorld writer, follower;
  std::vector<Bytes> commits;
  const auto commit = [&] {
    for (Bytes& one : writer.commit_all()) commits.push_back(std::move(one));
  };
  writer.file("name");
  commit();
  for (const Bytes& one : commits) ASSERT_TRUE(follower.apply(one));
  commits.clear();
  for (int i = 0; i < 500; ++i) {
    writer.file("new");
    ASSERT_TRUE(writer->rename(kRootInode, "new", kRootInode, "name", RenameMode::replace));
    commit();
  }
  std::atomic<bool> is_over = false;
  std::atomic<int> found = 0, missed = 0;
  std::thread reader([&] {
    while (!is_over) ++(follower->lookup(kRootInode, "name") ? found : missed);
  });
  for (const Bytes& one : commits) EXPECT_TRUE(follower.apply(one));
  is_over = true;
  reader.join();
  EXPECT_EQ(missed, 0);
  EXPECT_GT(found, 0);
}

}  // namespace
}  // namespace coffer::meta
