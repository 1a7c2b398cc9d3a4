// `coffer recover --send-again` under power cuts: fs/README.md, "What a power cut leaves".
#include "common/os/clock.h"
#include "fs/vault/recovery.h"
#include "tests/power/cuts.h"
#include "tests/power/vault/world.h"

namespace coffer::power {
namespace {

const std::vector<std::string> kNames = {"a", "b", "c"};

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

/// A client that has seen three commits; the server was restored from a copy that has the first one alone.
class ServerThatWentBack {
 public:
  explicit ServerThatWentBack(std::uint64_t seed) : world_(seed) {
    EXPECT_TRUE(world_.open_server());
    EXPECT_TRUE(world_.open_client());
    for (const std::string& name : kNames) {
      const Result<InodeId> made = world_.client().create(name);
      EXPECT_TRUE(made && world_.client().write(*made, 0, world_.random.bytes(10'000)));
      EXPECT_TRUE(world_.client().wait_committed());
    }
    seen_ = world_.client().tree->head()->seq;
    EXPECT_GE(seen_, 3u);
    EXPECT_TRUE(world_.client().replay(folder().server_tree(), 1));
    world_.die_client();  // Closed, as recover() does before it changes the tree.
  }

  vault::VaultFolder folder() { return {"/home/coffer/vaults/v", &disk()}; }
  SimDisk& disk() { return world_.client_disk; }

  /// The tree has all names; returns whether it is to be sent again from the server's head on.
  bool expect_whole(const std::string& path) {
    NobodyListens events;
    const auto tree = meta::Tree::open(path, os::real_clock(), events, disk());
    EXPECT_TRUE(tree) << path << ": " << tree.error().what;
    if (!tree) return false;
    for (const std::string& name : kNames) {
      const auto found = (*tree)->lookup(kRootInode, name);
      EXPECT_TRUE(found && found->bytes == 10'000) << path << " lost " << name;
    }
    const std::uint64_t head = (*tree)->head()->seq;
    EXPECT_TRUE(head == seen_ || head == 1) << path << " is at commit " << head;
    EXPECT_EQ((*tree)->owed()->nothing(), head == seen_);
    return head == 1;
  }

 private:
  World world_;
  std::uint64_t seen_ = 0;
};

// Claim: whenever the power goes, the tree is as it was, or owes all that the server lost; what was answered stays; and
// where the tree was changed, the one of before is beside it, whole.
TEST(ARecovery, ChangesTheTreeWholeOrNotAtAllWheneverThePowerGoes) {
  cut_everywhere({.seeds = 2, .step = 3}, [](std::uint64_t call, std::uint64_t seed) {
    ServerThatWentBack vault(seed * 100'003 + call);
    vault.disk().cut_power_at_call(call);
    const auto all_stored = [](const object::ChunkId&) { return meta::Remains::stored; };
    const Result<void> rebased = vault::keep_and_rebase(vault.folder(), all_stored, false);
    const bool was_cut = vault.disk().power_was_cut();
    EXPECT_TRUE(rebased || was_cut) << rebased.error().what;
    vault.disk().cut_power();
    vault.disk().restart();
    const bool is_rebased = vault.expect_whole(vault.folder().tree());
    EXPECT_TRUE(is_rebased || !rebased) << "what was answered is undone";
    if (is_rebased) {
      EXPECT_FALSE(vault.expect_whole(vault.folder().tree() + ".before-recover"));
    }
    return was_cut;
  });
}

}  // namespace
}  // namespace coffer::power
