// A read-only mount that follows others' commits, under power cuts: fs/README.md, "What a power cut leaves".
#include <sys/stat.h>

#include <map>

#include "common/os/clock.h"
#include "common/os/paths.h"
#include "fs/keys/vault_key.h"
#include "fs/meta/tree.h"
#include "fs/vault/follower.h"
#include "fs/vault/tree_load.h"
#include "fs/vault/vault.h"
#include "tests/power/home/machine.h"

namespace coffer::power {
namespace {

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

constexpr int kCommits = 8;

/// A vault on the server with some commits of another machine, whose home is in a folder of this one.
class AFollower : public service::ServerWorld {
 protected:
  AFollower() : ServerWorld(testing::in_memory()) {}

  void SetUp() override {
    ServerWorld::SetUp();
    if (HasFatalFailure()) return;
    vault::EnrollmentRequest request;
    request.token = tls::encode(token(new_vault("writer")));
    request.key.key_file = (folder_ / "vault.key").string();
    const auto enrolled = vault::enroll(vault::Home((folder_ / "home").string()), request);
    ASSERT_TRUE(enrolled) << enrolled.error().what;
    const auto vault = vault::Vault::open(enrolled->folder, {}, request.key);
    ASSERT_TRUE(vault) << vault.error().what;
    for (int i = 0; i < kCommits; ++i) commit(**vault, i);
    head_ = *(*vault)->tree().head();
    ASSERT_TRUE((*vault)->close());
    settings_ = *vault::read_settings(enrolled->folder);
    key_.emplace(*vault::open_slots(settings_.key_slots, settings_.id, request.key));
    sealer_.emplace(*key_, settings_.id, os::real_random(), *seal::parse_compression("none"));
    client_.emplace(vault::client_options(enrolled->folder, settings_), os::real_random());
    client_->start();
    ASSERT_TRUE(client_->wait_online(service::soon()));
  }
  void TearDown() override {
    client_.reset();
    ServerWorld::TearDown();
  }

  static std::string name(int number) { return "name " + std::to_string(number); }
  /// Each commit makes a folder, and gives the one before another mode.
  static void commit(vault::Vault& vault, int number) {
    meta::NewInode made;
    made.mode = S_IFDIR | 0755;
    EXPECT_TRUE(vault.file_system().create(kRootInode, name(number), made));
    if (number > 0) {
      const auto before = vault.tree().lookup(kRootInode, name(number - 1));
      ASSERT_TRUE(before);
      EXPECT_TRUE(vault.tree().change(before->inode, {.mode = S_IFDIR | 0700}));
    }
    EXPECT_TRUE(vault.sync(service::soon()));
  }

  /// Opens the tree, follows to the end, and closes it; as a mount and its end.
  Result<void> follow(SimDisk& disk) {
    NobodyListens events;
    COFFER_TRY(const auto tree, meta::Tree::open("/home/tree.db", os::real_clock(), events, disk));
    return vault::Follower(*tree, *sealer_, *client_, {}).catch_up(service::soon());
  }
  /// As the first mount does; nothing where there is a tree.
  Result<void> load(SimDisk& disk) {
    if (os::is_there(disk, "/home/tree.db")) return {};
    return vault::load_tree("/home/tree.db", disk, *sealer_, *client_, service::soon());
  }
  void expect_all(SimDisk& disk) {
    NobodyListens events;
    const auto tree = meta::Tree::open("/home/tree.db", os::real_clock(), events, disk);
    ASSERT_TRUE(tree) << tree.error().what;
    EXPECT_EQ((*tree)->head()->seq, head_.seq);
    EXPECT_EQ((*tree)->head()->hash, head_.hash);
    for (int i = 0; i < kCommits; ++i) {
      const auto found = (*tree)->lookup(kRootInode, name(i));
      ASSERT_TRUE(found) << name(i);
      EXPECT_EQ(found->mode & 0777, i + 1 < kCommits ? 0700u : 0755u) << name(i);
    }
  }

  meta::Head head_;
  vault::VaultSettings settings_;
  std::optional<keys::VaultKey> key_;
  std::optional<seal::Sealer> sealer_;
  std::optional<rpc::Client> client_;
};

// Claim: whenever the power goes, the tree is as it was after some commit, from which following goes on to the same
// end; it never raises an alarm about an honest server.
TEST_F(AFollower, GoesOnFromSomeCommitWheneverThePowerWent) {
  cut_everywhere({.seeds = 2, .step = 5}, [this](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    EXPECT_TRUE(disk.make_folder("/home"));
    disk.cut_power_at_call(call);
    bool is_done = follow(disk).has_value();
    is_done = is_done && follow(disk).has_value();  // From the checkpoint of the first one's end.
    const bool was_cut = disk.power_was_cut();
    EXPECT_TRUE(is_done || was_cut);
    for (int again = 0; again < 2; ++again) {
      disk.cut_power();
      disk.restart();
      const Result<void> followed = follow(disk);
      EXPECT_TRUE(followed) << followed.error().what;
      expect_all(disk);
    }
    return was_cut;
  });
}

// Claim: whenever the power goes while a new machine loads the tree, it is there whole afterwards or not at all; then
// the next load makes it.
TEST_F(AFollower, HasTheWholeTreeOrNoneWheneverThePowerWentWhileItWasLoaded) {
  int found_count = 0;
  cut_everywhere({.seeds = 2, .step = 1}, [&](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    EXPECT_TRUE(disk.make_folder("/home"));
    EXPECT_TRUE(disk.sync_folder("/"));
    disk.cut_power_at_call(call);
    const bool is_done = load(disk).has_value();
    const bool was_cut = disk.power_was_cut();
    EXPECT_TRUE(is_done || was_cut);
    disk.cut_power();
    disk.restart();
    found_count += os::is_there(disk, "/home/tree.db") ? 1 : 0;
    EXPECT_TRUE(!is_done || os::is_there(disk, "/home/tree.db")) << "what was answered is lost";
    const Result<void> loaded = load(disk);
    EXPECT_TRUE(loaded) << loaded.error().what;
    expect_all(disk);
    return was_cut;
  });
  EXPECT_GT(found_count, 0);
}

}  // namespace
}  // namespace coffer::power
