// `coffer spool clear`, `coffer owed drop` and `coffer recover --take-server` under power cuts: fs/README.md, "What a
// power cut leaves".
#include <cerrno>

#include "common/os/paths.h"
#include "fs/vault/owed.h"
#include "fs/vault/parts.h"
#include "tests/power/cuts.h"
#include "tests/power/vault/world.h"

namespace coffer::power {
namespace {

/// A vault with a file that the server has, and one that was made, promised with fsync=local, and removed again on both
/// sides, which the tree on the disk need not know yet.
class VaultToClear {
 public:
  explicit VaultToClear(std::uint64_t seed) : world_(seed) {
    EXPECT_TRUE(world_.open_server());
    open();
    put("kept", kept_);
    EXPECT_TRUE(client().wait_committed());
    put("gone", gone_);
    EXPECT_TRUE(client().make_power_safe());
    EXPECT_TRUE(client().unlink("gone"));
    EXPECT_TRUE(client().wait_committed());
  }

  vault::VaultFolder folder() { return {"/home/coffer/vaults/v", &disk()}; }
  SimDisk& disk() { return world_.client_disk; }
  World::Client& client() { return world_.client(); }

  void open() {
    const Result<void> opened = world_.open_client();
    EXPECT_TRUE(opened) << opened.error().what;
  }
  /// Written, and promised with fsync=local; the server does not have it.
  void owe() {
    world_.server().is_away = true;
    put("owed", owed_);
    EXPECT_TRUE(client().make_power_safe());
  }
  /// All of it is in someone's folder: `coffer owed drop` may be run.
  void export_all() {
    const auto id = client().tree->id();
    ASSERT_TRUE(id);
    EXPECT_TRUE(vault::note_export(folder(), *id, client().tree->mark().value(), "/elsewhere"));
  }
  /// kill -9: all is in the page cache.
  void kill() {
    disk().restart();
    world_.die_client();
  }
  /// What the disk keeps, and a server that can be reached again.
  void lose_power() {
    world_.lose_power();
    EXPECT_TRUE(world_.open_server());
  }
  bool has_tree() { return os::is_there(disk(), folder().tree()); }
  bool has_anything() {
    return has_tree() || os::is_there(disk(), folder().spool()) || os::is_there(disk(), folder().staging()) ||
           os::is_there(disk(), folder().cleared_tree());
  }

  void expect_committed() {
    EXPECT_EQ(read("kept"), kept_);
    EXPECT_EQ(read("gone"), std::nullopt) << "it is there again";
  }
  void expect_owed() {
    world_.server().is_away = true;
    EXPECT_EQ(read("owed"), owed_) << "what was owed is lost";
  }
  void expect_nothing_owed() { EXPECT_EQ(read("owed"), std::nullopt); }

 private:
  void put(const std::string& name, const Bytes& content) {
    const Result<InodeId> made = client().create(name);
    ASSERT_TRUE(made);
    EXPECT_TRUE(client().write(*made, 0, content));
  }
  std::optional<Bytes> read(const std::string& name) {
    Result<Bytes> content = client().read(name);
    if (!content && content.error().fault == Fault::answer) return std::nullopt;
    EXPECT_TRUE(content) << name << ": " << content.error().what;
    return content ? *std::move(content) : Bytes();
  }

  World world_;
  const Bytes kept_ = world_.random.bytes(200'000), gone_ = world_.random.bytes(50'000),
              owed_ = world_.random.bytes(300'000);
};

bool clear_one(std::uint64_t call, std::uint64_t seed, bool and_tree) {
  VaultToClear vault(seed * 100'003 + call);
  vault.kill();
  vault.disk().cut_power_at_call(call);
  const Result<void> cleared = vault::clear_if_allowed(vault.folder(), and_tree, false);
  const bool was_cut = vault.disk().power_was_cut();
  EXPECT_TRUE(cleared || was_cut) << cleared.error().what;
  vault.lose_power();
  if (cleared && and_tree) {
    EXPECT_FALSE(vault.has_anything()) << "cleared, and there again";
  }
  vault.open();
  vault.expect_committed();
  return was_cut;
}

// Claim: whenever the power goes while spool, or spool and tree, are cleared, the next mount has all that the server
// has; and what was removed before is gone or whole.
TEST(ClearingASpool, LosesNothingWheneverThePowerGoes) {
  cut_everywhere({.seeds = 1, .step = 2},
                 [](std::uint64_t call, std::uint64_t seed) { return clear_one(call, seed, false); });
}
TEST(ClearingASpool, TakesTheTreeAlongWheneverThePowerGoes) {
  cut_everywhere({.seeds = 1, .step = 2},
                 [](std::uint64_t call, std::uint64_t seed) { return clear_one(call, seed, true); });
}

// Claim: nor where a sync fails on the way.
TEST(ClearingASpool, LosesNothingWhereASyncFails) {
  fail_every_sync({.seeds = 4, .step = 1}, [](std::uint64_t sync, std::uint64_t seed) {
    VaultToClear vault(seed * 100'003 + sync);
    vault.kill();
    vault.disk().fail_sync(sync);
    (void)vault::clear_if_allowed(vault.folder(), false, false);
    const bool has_failed = vault.disk().sync_has_failed();
    vault.lose_power();
    vault.open();
    vault.expect_committed();
    return has_failed;
  });
}

// Claim: what is owed is not cleared, and is whole whenever the power goes while that is found out.
TEST(ClearingASpool, IsRefusedWhileAnythingIsOwed) {
  cut_everywhere({.seeds = 1, .step = 2}, [](std::uint64_t call, std::uint64_t seed) {
    VaultToClear vault(seed * 100'003 + call);
    vault.owe();
    vault.kill();
    vault.disk().cut_power_at_call(call);
    EXPECT_FALSE(vault::clear_if_allowed(vault.folder(), true, false));
    EXPECT_FALSE(vault::drop_owed_of(vault.folder(), false)) << "it was not exported";
    const bool was_cut = vault.disk().power_was_cut();
    vault.lose_power();
    vault.open();
    vault.expect_committed();
    vault.expect_owed();
    return was_cut;
  });
}

// Claim: whenever the power goes while what is owed is given up, it is either all there and still owed, or all gone
// with its tree, and the next mount has what the server has. Once that was answered it does not come back.
TEST(DroppingWhatIsOwed, LeavesAllOfItOrNoneWheneverThePowerGoes) {
  cut_everywhere({.seeds = 3, .step = 2}, [](std::uint64_t call, std::uint64_t seed) {
    VaultToClear vault(seed * 100'003 + call);
    vault.owe();
    vault.export_all();
    vault.kill();
    vault.disk().cut_power_at_call(call);
    // Every other time as `coffer recover --take-server` does it.
    const Result<bool> dropped = seed % 2 == 1 ? vault::drop_owed_of(vault.folder(), false) : [&]() -> Result<bool> {
      COFFER_DO(vault::clear_if_allowed(vault.folder(), true, true));
      return true;
    }();
    const bool was_cut = vault.disk().power_was_cut();
    EXPECT_TRUE(dropped || was_cut) << dropped.error().what;
    vault.lose_power();
    const bool has_tree = vault.has_tree();
    if (dropped) {
      EXPECT_FALSE(vault.has_anything()) << "dropped, and there again";
    }
    vault.open();
    if (has_tree) {
      vault.expect_owed();
    } else {
      vault.expect_committed();
      vault.expect_nothing_owed();
    }
    return was_cut;
  });
}

}  // namespace
}  // namespace coffer::power
