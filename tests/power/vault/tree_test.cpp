// The tree alone under power cuts: fs/meta/TREE.md, section 6.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "fs/meta/tree.h"
#include "tests/power/cuts.h"
#include "tests/testing/seeded_random.h"

namespace coffer::power {
namespace {

using testing::SimDisk;

class NobodyListens : public meta::TreeEvents {
 public:
  void chunk_dropped(const ChunkRow&) override {}
};

/// Names that come, go and move, with transactions of their own between them.
class TreeScenario {
 public:
  TreeScenario(SimDisk& disk, std::uint64_t seed) : disk_(disk), random_(seed) {}

  bool open() {
    auto opened = meta::Tree::open("/home/tree.db", os::real_clock(), events_, disk_);
    if (!opened) return false;
    tree_ = *std::move(opened);
    return true;
  }
  void die() { tree_.reset(); }

  void use(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (!change() || disk_.power_was_cut()) return;
      const std::vector<std::string> now = names();
      if (disk_.power_was_cut()) return;
      now_ = now;
      if (random_.below(6) == 0 && tree_->power_safe()) {
        safe_ = now_;
        later_ = {};
      }
      later_.push_back(now_);
    }
  }

  /// As it was when power_safe() last answered, or as it was at some time since.
  void expect_promises() {
    const std::vector<std::string> found = names();
    const auto is_found = [&](const std::vector<std::string>& once) { return settled(once) == settled(found); };
    EXPECT_TRUE(is_found(safe_) || std::ranges::any_of(later_, is_found)) << "the tree is as it never was";
    const auto totals = tree_->totals();
    ASSERT_TRUE(totals);
    EXPECT_EQ(totals->files, found.size()) << "the tree has lost count";
    later_.push_back(found);  // Opening it again promises nothing: the next cut may go further back.
    now_ = found;
  }

 private:
  bool change() {
    const std::string& name = under_way_[0] = "n" + std::to_string(random_.below(8));
    const std::string& other = under_way_[1] = "n" + std::to_string(random_.below(8));
    meta::NewInode file;
    file.mode = S_IFREG | 0644;
    switch (random_.below(5)) {
      case 0: return is_fine(tree_->unlink(kRootInode, name));
      case 1: return is_fine(tree_->rename(kRootInode, name, kRootInode, other, meta::RenameMode::replace));
      case 2: return is_fine(tree_->take_over());  // A transaction that is alone.
      default: return is_fine(tree_->create(kRootInode, name, file));
    }
  }
  template <class T>
  static bool is_fine(const Result<T>& result) {
    return result || result.error().fault == Fault::answer;
  }
  /// Without the names that the last operation was about: it may have been done or not.
  std::vector<std::string> settled(std::vector<std::string> all) const {
    std::erase_if(all, [&](const std::string& one) {
      return one.starts_with(under_way_[0] + "=") || one.starts_with(under_way_[1] + "=");
    });
    return all;
  }
  std::vector<std::string> names() {
    std::vector<std::string> all;
    const auto entries = tree_->entries(kRootInode, 0, 100);
    if (!entries) return all;
    for (const meta::Entry& entry : *entries)
      all.push_back(entry.name + "=" + std::to_string(entry.attributes.inode.value()));
    std::ranges::sort(all);
    return all;
  }

  SimDisk& disk_;
  testing::SeededRandom random_;
  NobodyListens events_;
  std::unique_ptr<meta::Tree> tree_;
  std::vector<std::string> safe_, now_;
  std::array<std::string, 2> under_way_;
  std::vector<std::vector<std::string>> later_;
};

// Claim: whenever the power goes, the tree is as power_safe() answered for, or as it was after one of the operations
// since, and never a mixture; again and again, so that what one cut left does not meet what comes after it.
TEST(ATree, IsAsItOnceWasWheneverThePowerGoes) {
  cut_everywhere({.seeds = 1, .step = 11}, [](std::uint64_t call, std::uint64_t seed) {
    SimDisk disk(seed * 100'003 + call);
    EXPECT_TRUE(disk.make_folder("/home"));
    TreeScenario scenario(disk, seed);
    disk.cut_power_at_call(call);
    if (scenario.open()) scenario.use(40);
    const bool was_cut = disk.power_was_cut();
    for (int again = 0; again < 4; ++again) {
      disk.cut_power();
      scenario.die();
      disk.restart();
      EXPECT_TRUE(scenario.open());
      if (::testing::Test::HasFailure()) return false;
      scenario.expect_promises();
      disk.cut_power_at_call(10 + (call * 13 + seed) % 50);
      scenario.use(25);
    }
    return was_cut;
  });
}

}  // namespace
}  // namespace coffer::power
