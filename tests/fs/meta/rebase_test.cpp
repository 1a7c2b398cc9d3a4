// Claim: after a server's log went back, what it lacks is found exactly, and a rebased tree sends all of it again.
//
// Method: a seeded history on tree A; the server's tree follows its commits up to some moment and no further. Then the
// two are compared, A is rebased, and drafts until it owes nothing; the server's tree applies each commit.
#include <functional>

#include "fs/meta/check.h"
#include "fs/meta/divergence.h"
#include "tests/fs/meta/tree_world.h"
#include "tests/testing/seeded_random.h"

namespace coffer::meta {
namespace {

class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed) {}

  void change(TreeWorld& world, int steps) {
    for (int i = 0; i < steps; ++i) one(world);
  }

 private:
  std::string path(bool below = true) {
    std::string text = std::string(1, "abcd"[random_.below(4)]);
    if (below && random_.below(2) == 0) text += "/" + path(random_.below(2) == 0);
    return text;
  }
  void one(TreeWorld& world) {
    const std::string at = path();
    const InodeId inode = world.inode(at);
    const std::size_t slash = at.rfind('/');
    const bool has_parent = slash == std::string::npos || world.inode(at.substr(0, slash)) != InodeId();
    const bool parent_is_folder =
        has_parent && (slash == std::string::npos || S_ISDIR(world.stat(at.substr(0, slash)).mode));
    if (inode == InodeId()) {
      if (!parent_is_folder) return;
      if (random_.below(3) == 0) {
        world.folder(at);
      } else {
        write(world, world.file(at));
      }
      return;
    }
    const bool is_file = S_ISREG(world.stat(at).mode);
    switch (random_.below(7)) {
      case 0: (void)(is_file ? world.unlink(at) : world.rmdir(at)); break;
      case 1: (void)world.rename(at, path()); break;
      case 2: (void)world.link(at, path()); break;
      case 3: EXPECT_TRUE(world->change(inode, {.mode = static_cast<std::uint32_t>(random_.below(0777))})); break;
      case 4: EXPECT_TRUE(world->set_xattr(inode, "user.x", random_.bytes(4), XattrMode::either)); break;
      case 5:
        if (is_file) {
          EXPECT_TRUE(world->change(inode, {.bytes = random_.below(4000)}));
        }
        break;
      default:
        if (is_file) write(world, inode);
    }
  }
  void write(TreeWorld& world, InodeId inode) {
    world.write(inode, random_.below(5000), static_cast<std::uint32_t>(1 + random_.below(2000)));
  }
  testing::SeededRandom random_;
};

void follow(TreeWorld& server, const std::vector<Bytes>& commits) {
  for (const Bytes& commit : commits) {
    const auto applied = server.apply(commit);
    ASSERT_TRUE(applied) << applied.error().what;
  }
}

/// Everything becomes stored and committed.
std::vector<Bytes> commit_everything(TreeWorld& world) {
  world.store_all();
  return world.commit_all();
}

TEST(Rebase, SendsAgainAllThatAnOlderLogLacks) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    TreeWorld ours;
    TreeWorld server;
    History history(seed);
    history.change(ours, 40);
    follow(server, commit_everything(ours));
    for (int round = 0; round < 3; ++round) {
      history.change(ours, 15);
      commit_everything(ours);
    }
    history.change(ours, static_cast<int>(seed % 3) * 5);  // Owed, and never sent.
    ours.close();
    server.close();
    const auto before = find_divergence(ours.path(), server.path(), 1000);
    ASSERT_TRUE(before) << before.error().what;
    EXPECT_TRUE(before->is_prefix());
    EXPECT_GT(before->seen.seq, before->server.seq);

    std::uint64_t asked = 0;
    const auto remains = [&](const object::ChunkId&) { return ++asked % 2 == 0 ? Remains::stored : Remains::spooled; };
    const auto rebased = rebase(ours.path(), server.path(), remains, false);
    ASSERT_TRUE(rebased) << rebased.error().what;
    EXPECT_EQ(check_tree(ours.path())->damage, std::vector<std::string>());
    const auto after = find_divergence(ours.path(), server.path(), 1000);
    EXPECT_EQ(after->paths, before->paths) << "the tree itself stays as it is";

    ours.reopen();
    server.reopen();
    for (int round = 0; round < 10; ++round) follow(server, commit_everything(ours));
    EXPECT_TRUE(ours->owed()->nothing());
    ours.close();
    server.close();
    EXPECT_EQ(check_tree(ours.path())->damage, std::vector<std::string>());
    const auto end = find_divergence(ours.path(), server.path(), 1000);
    EXPECT_EQ(end->paths, std::vector<std::string>());
    EXPECT_EQ(end->returning_count, 0u);
    if (HasFailure()) return;
  }
}

// Claim: exactly the paths that differ are named, one that was renamed by its new name.
TEST(Rebase, NamesWhatIsMissing) {
  TreeWorld ours;
  TreeWorld server;
  ours.folder("kept");
  ours.write(ours.file("kept/old"), 0, 100);
  ours.write(ours.file("changed"), 0, 100);
  ours.write(ours.file("renamed"), 0, 100);
  ours.write(ours.file("removed"), 0, 100);
  follow(server, commit_everything(ours));
  ours.write(ours.file("kept/new"), 0, 100);
  ours.write(ours.inode("changed"), 50, 100);
  ours.rename("renamed", "kept/moved");
  ours.unlink("removed");
  commit_everything(ours);
  ours.close();
  server.close();
  const auto found = find_divergence(ours.path(), server.path(), 1000);
  EXPECT_EQ(found->paths, (std::vector<std::string>{"/changed", "/kept/moved", "/kept/new"}));
  EXPECT_EQ(found->returning_count, 2u);
  EXPECT_EQ(find_divergence(ours.path(), server.path(), 1)->path_count, 3u);
}

// Claim: a log in which another client went on is told from one that only went back, and is not rebased on.
TEST(Rebase, RefusesAFork) {
  TreeWorld ours;
  TreeWorld other;
  ours.file("both");
  const std::vector<Bytes> common = commit_everything(ours);
  follow(other, common);
  ours.file("ours");
  commit_everything(ours);
  other.file("theirs");
  commit_everything(other);
  ours.close();
  other.close();
  const auto found = find_divergence(ours.path(), other.path(), 1000);
  EXPECT_FALSE(found->is_prefix());
  EXPECT_EQ(found->last_common, common.size());
  const auto rebased = rebase(
      ours.path(), other.path(), [](const auto&) { return Remains::spooled; }, true);
  EXPECT_EQ(rebased.error().code, ESTALE);
}

// Claim: content that is nowhere is given up only when that is said: the server's version comes back, or the name goes.
TEST(Rebase, GivesUpLostContentOnlyWhenTold) {
  TreeWorld ours;
  TreeWorld server;
  ours.write(ours.file("old"), 0, 100);
  follow(server, commit_everything(ours));
  const ChunkKey lost = ours.write(ours.inode("old"), 0, 70);
  const object::ChunkId lost_id = ours.id(lost);
  ASSERT_TRUE(ours.record(ours.file("new"), 0, 70, lost, 0));
  ours.write(ours.file("whole"), 0, 30);
  commit_everything(ours);
  ours.close();
  server.close();
  const auto remains = [&](const object::ChunkId& id) { return id == lost_id ? Remains::nowhere : Remains::spooled; };
  EXPECT_EQ(rebase(ours.path(), server.path(), remains, false).error().code, ENODATA);
  EXPECT_EQ(find_divergence(ours.path(), server.path(), 10)->path_count, 3u);
  ASSERT_TRUE(rebase(ours.path(), server.path(), remains, true));
  EXPECT_EQ(check_tree(ours.path())->damage, std::vector<std::string>());
  ours.reopen();
  server.reopen();
  for (int round = 0; round < 4; ++round) follow(server, commit_everything(ours));
  EXPECT_EQ(ours.inode("new"), InodeId());
  EXPECT_EQ(ours.extents(ours.inode("old")).size(), 1u);
  EXPECT_EQ(ours.extents(ours.inode("old"))[0].bytes, 100u);
  EXPECT_NE(server.inode("whole"), InodeId());
  ours.close();
  server.close();
  EXPECT_EQ(find_divergence(ours.path(), server.path(), 10)->path_count, 0u);
}

}  // namespace
}  // namespace coffer::meta
