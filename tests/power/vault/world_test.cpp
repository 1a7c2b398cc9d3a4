// A client and its server under power cuts on either side: fs/README.md, "What a power cut leaves".
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "tests/power/cuts.h"
#include "tests/power/vault/world.h"

namespace coffer::power {
namespace {

/// What one name may hold after a cut. No content: the name may be absent.
struct Versions {
  std::vector<std::optional<Bytes>> may_be;
  bool may_be_absent() const {
    return std::ranges::any_of(may_be, [](const std::optional<Bytes>& content) { return !content; });
  }
  bool may_be_unreadable = false;  ///< Its content was written since, and perhaps not to the disk.
};

/// What a person does in a vault, and what he may then rely on.
class Workload {
 public:
  explicit Workload(World& world) : world_(world) {}

  /// Stops at the first failure: it comes of the cut.
  Result<void> run() {
    const Bytes small = bytes(3'000), other = bytes(5'000), large = bytes(300'000), part = bytes(40'000);
    COFFER_DO(put("small", small));
    COFFER_DO(local_fsync());
    COFFER_DO(put("large", large));
    COFFER_DO(server_fsync());
    COFFER_DO(put("small", other));  // In place: the old chunk is dropped, and nobody promised the new one.
    COFFER_DO(client().committer->seal_open_chunks());
    COFFER_DO(put("unrelated", bytes(2'000)));
    COFFER_DO(local_fsync());
    COFFER_DO(put("small", bytes(4'000)));
    COFFER_DO(put("large.new", bytes(250'000)));
    COFFER_DO(local_fsync());
    COFFER_DO(rename("large.new", "large"));
    COFFER_DO(overwrite("unrelated", 500, part));
    COFFER_DO(local_fsync());
    COFFER_DO(overwrite("large", 100'000, part));
    COFFER_DO(server_fsync());
    COFFER_DO(truncate("large", 120'000));
    COFFER_DO(unlink("unrelated"));
    COFFER_DO(put("more", bytes(400'000)));
    COFFER_DO(client().spool->clear());  // What is stored is evicted.
    COFFER_DO(local_fsync());
    COFFER_DO(put("last", bytes(350'000)));
    return server_fsync();
  }

  void expect_promises(World::Client& client) { expect(client, names_, "on the client: "); }
  /// All that can be read now is what fsync=local answers for, if it does.
  void promise_what_is() {
    std::map<std::string, Versions> now = names_;
    for (auto& [name, versions] : now) {
      const Result<Bytes> read = client().read(name);
      const bool is_absent = !read && read.error().fault == Fault::answer && read.error().code == ENOENT;
      if (read) versions = {{*read}, false};
      if (is_absent) versions = {{std::nullopt}, false};
    }
    // As fsync(2) does it: what a disk that failed did not take is still in memory, and is read from there.
    if (client().committer->flush_all() && client().make_power_safe()) names_ = std::move(now);
  }
  /// What was committed, from the server alone.
  void expect_committed() {
    SimDisk disk(1);
    ASSERT_TRUE(disk.make_folder("/home"));
    const auto joined = world_.join(disk);
    ASSERT_TRUE(joined) << joined.error().what;
    expect(**joined, committed_, "on the server: ");
  }

 private:
  World::Client& client() { return world_.client(); }
  Bytes bytes(std::size_t count) { return world_.random.bytes(count); }

  static void expect(World::Client& client, const std::map<std::string, Versions>& names, const char* where) {
    for (const auto& [name, versions] : names) {
      const Result<Bytes> read = client.read(name);
      if (!read && read.error().fault == Fault::answer && read.error().code == ENOENT) {
        EXPECT_TRUE(versions.may_be_absent()) << where << name << " is gone";
      } else if (!read) {
        EXPECT_TRUE(versions.may_be_unreadable) << where << name << " cannot be read: " << read.error().what;
      } else {
        EXPECT_TRUE(std::ranges::find(versions.may_be, std::optional(*read)) != versions.may_be.end())
            << where << name << " holds something else, " << read->size() << " bytes";
      }
    }
  }

  /// From now on `name` may also be this: the call that makes it so may have been done when the power goes.
  void becomes(const std::string& name, std::optional<Bytes> content, bool is_new_content) {
    for (auto* names : {&names_, &committed_}) {
      Versions& versions = (*names)[name];
      if (versions.may_be.empty()) versions.may_be.push_back(std::nullopt);
      versions.may_be.push_back(content);
    }
    names_[name].may_be_unreadable |= is_new_content;
  }
  std::optional<Bytes> newest(const std::string& name) { return names_[name].may_be.back(); }

  Result<void> put(const std::string& name, const Bytes& content) {
    Result<Attributes> there = client().tree->lookup(kRootInode, name);
    if (there) {
      becomes(name, Bytes(), false);
      COFFER_DO(client().truncate(there->inode, 0));
      becomes(name, content, true);
      return client().write(there->inode, 0, content);
    }
    becomes(name, Bytes(), false);
    becomes(name, content, true);
    COFFER_TRY(const InodeId inode, client().create(name));
    return client().write(inode, 0, content);
  }
  Result<void> overwrite(const std::string& name, std::size_t at, const Bytes& content) {
    Bytes whole = *newest(name);
    if (whole.size() < at + content.size()) whole.resize(at + content.size(), std::byte{0});
    std::ranges::copy(content, whole.begin() + static_cast<std::ptrdiff_t>(at));
    becomes(name, whole, true);
    COFFER_TRY(const Attributes there, client().tree->lookup(kRootInode, name));
    return client().write(there.inode, at, content);
  }
  Result<void> truncate(const std::string& name, std::size_t count) {
    Bytes whole = *newest(name);
    whole.resize(count, std::byte{0});
    becomes(name, whole, false);
    COFFER_TRY(const Attributes there, client().tree->lookup(kRootInode, name));
    return client().truncate(there.inode, count);
  }
  Result<void> rename(const std::string& from, const std::string& to) {
    becomes(to, newest(from), names_[from].may_be_unreadable);
    becomes(from, std::nullopt, false);
    return client().rename(from, to);
  }
  Result<void> unlink(const std::string& name) {
    becomes(name, std::nullopt, false);
    return client().unlink(name);
  }

  Result<void> local_fsync() {
    COFFER_DO(client().make_power_safe());
    settle(names_);
    return {};
  }
  Result<void> server_fsync() {
    if (world_.server().is_away) return local_fsync();
    COFFER_DO(client().wait_committed());
    settle(names_);
    committed_ = names_;
    return {};
  }
  static void settle(std::map<std::string, Versions>& names) {
    for (auto& [name, versions] : names) versions = {{versions.may_be.back()}, false};
  }

  World& world_;
  std::map<std::string, Versions> names_, committed_;
};

/// Runs the workload until the power goes on one side, then on both, and looks at what is left.
bool try_one(std::uint64_t call, std::uint64_t seed, SimDisk World::*side) {
  World world(seed * 100'003 + call);
  Workload workload(world);
  (world.*side).cut_power_at_call(call);
  if (world.open_server() && world.open_client()) (void)workload.run();
  const bool was_cut = (world.*side).power_was_cut();
  for (int again = 0; again < 2; ++again) {
    world.lose_power();
    EXPECT_TRUE(world.open_server());
    if (::testing::Test::HasFailure()) return false;
    const Result<void> opened = world.open_client();
    EXPECT_TRUE(opened) << opened.error().what;
    if (::testing::Test::HasFailure()) return false;
    workload.expect_promises(world.client());
    workload.expect_committed();
  }
  return was_cut;
}

// Claim: whenever the power goes on the client, what fsync(2) answered for is there and readable, with fsync=local
// from the client's disk and with fsync=server from the server alone; what was changed since is old or new. The client
// never takes its own commit for another's.
TEST(AVault, KeepsItsPromisesWheneverThePowerOfTheClientGoes) {
  cut_everywhere({.seeds = 1, .step = 13},
                 [](std::uint64_t call, std::uint64_t seed) { return try_one(call, seed, &World::client_disk); });
}

// Claim: a commit that takes its chunks along is as safe before it is sent as one whose chunks the server has: after a
// power cut of both it goes again, with the chunks that the spool never synced.
TEST(AVault, KeepsWhatGoesAlongWithACommitThatWasNotAnswered) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    World world(seed);
    ASSERT_TRUE(world.open_server());
    ASSERT_TRUE(world.open_client());
    const Bytes content = world.random.bytes(3'000);
    // The first wait may find the chunk loop busy, and the chunk then goes by itself.
    for (int i = 0; world.server().carried_count == 0; ++i) {
      ASSERT_LT(i, 100);
      const std::string name = "before" + std::to_string(i);
      ASSERT_TRUE(world.client().write(*world.client().create(name), 0, world.random.bytes(1'000)));
      ASSERT_TRUE(world.client().wait_committed());
    }
    world.server().loses_commits = true;
    const Result<InodeId> inode = world.client().create("file");
    ASSERT_TRUE(inode);
    ASSERT_TRUE(world.client().committer->write(*inode, FileOffset(0), content));
    ASSERT_TRUE(world.client().committer->flush(*inode, commit::Last::sealed));
    const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    ASSERT_FALSE(world.client().uploader->wait_committed(*inode, soon, {}));
    ASSERT_EQ(world.client().tree->carried()->size(), 1u);
    for (int again = 0; again < 2; ++again) {
      world.lose_power();
      ASSERT_TRUE(world.open_server());
      world.server().loses_commits = again == 0;
      const Result<void> opened = world.open_client();
      ASSERT_TRUE(opened) << opened.error().what;
      const Result<Bytes> read = world.client().read("file");
      ASSERT_TRUE(read) << read.error().what;
      EXPECT_EQ(*read, content);
      EXPECT_TRUE(world.client().committer->damage().empty());
    }
    ASSERT_TRUE(world.client().wait_committed());
    SimDisk disk(1);
    ASSERT_TRUE(disk.make_folder("/home"));
    const auto joined = world.join(disk);
    ASSERT_TRUE(joined) << joined.error().what;
    EXPECT_EQ(*(*joined)->read("file"), content);
  }
}

// Claim: what fsync=local answered for needs no server, also where it was overwritten or removed since: its chunks stay
// until the tree that no longer names them is on the disk.
TEST(AVault, KeepsWhatItsOwnDiskAnsweredForWhileItsServerIsAway) {
  cut_everywhere({.seeds = 1, .step = 23}, [](std::uint64_t call, std::uint64_t seed) {
    World world(seed * 100'003 + call);
    Workload workload(world);
    EXPECT_TRUE(world.open_server());
    world.client_disk.cut_power_at_call(call);
    const bool opened = world.open_client().has_value();
    world.server().is_away = true;
    if (opened) (void)workload.run();
    const bool was_cut = world.client_disk.power_was_cut();
    for (int again = 0; again < 2; ++again) {
      world.lose_power();
      EXPECT_TRUE(world.open_server());
      const Result<void> opened_again = world.open_client();
      EXPECT_TRUE(opened_again) << opened_again.error().what;
      if (::testing::Test::HasFailure()) return false;
      world.server().is_away = true;
      workload.expect_promises(world.client());
    }
    return was_cut;
  });
}

TEST(AVault, KeepsItsPromisesWheneverThePowerOfTheServerGoes) {
  cut_everywhere({.seeds = 1, .step = 13},
                 [](std::uint64_t call, std::uint64_t seed) { return try_one(call, seed, &World::server_disk); });
}

// Claim: after a sync of the client has failed, no later fsync(2) answers for what is not on the disk, neither of the
// same process nor of the next one, which sees in the page cache what the disk does not have.
TEST(AVault, NeverBelievesASyncThatFailed) {
  fail_every_sync({.seeds = 1, .step = 13}, [](std::uint64_t sync, std::uint64_t seed) {
    World world(seed * 100'003 + sync);
    Workload workload(world);
    world.client_disk.fail_sync(sync);
    if (world.open_server() && world.open_client()) {
      (void)workload.run();
      workload.promise_what_is();
    }
    const bool has_failed = world.client_disk.sync_has_failed();
    world.die_client();
    world.client_disk.restart();  // The process alone.
    for (int again = 0; again < 2; ++again) {
      const Result<void> opened = world.open_client();
      EXPECT_TRUE(opened) << opened.error().what;
      if (::testing::Test::HasFailure()) return false;
      workload.expect_promises(world.client());
      workload.expect_committed();
      workload.promise_what_is();
      world.lose_power();
      EXPECT_TRUE(world.open_server());
    }
    return has_failed;
  });
}

}  // namespace
}  // namespace coffer::power
