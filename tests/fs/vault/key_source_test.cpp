#include "fs/vault/key_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "fs/keys/key_slot.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::vault {
namespace {

using ::testing::HasSubstr;

class KeySlots : public ::testing::Test {
 protected:
  Bytes slot(const crypto::ScryptCost& cost) {
    return *keys::wrap_with_passphrase(key_, as_bytes("correct horse"), vault_, random_, cost);
  }
  Bytes recovery_slot() {
    return keys::wrap_with_recovery_key(key_, keys::RecoveryKey::generate(random_), vault_, random_);
  }
  KeySource passphrase(const std::string& text) const {
    std::ofstream(dir_ / "passphrase") << text << "\n";
    KeySource source;
    source.passphrase_file = (dir_ / "passphrase").string();
    return source;
  }

  testing::TempDir dir_;
  testing::SeededRandom random_{1};
  keys::VaultKey key_ = keys::VaultKey::generate(random_);
  object::VaultId vault_;
};

// Claim: a slot that this machine has not the memory for does not keep the next one from being tried, and is named
// where none opens.
TEST_F(KeySlots, AreTriedAlsoBehindOneThatCannotBe) {
#if defined(__has_feature)  // clang, which builds with sanitizers.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "a sanitizer needs all of the address space";
#endif
#endif
  Bytes greedy = slot({.n = 2, .r = 8, .p = 1});
  greedy[8 + 2] = std::byte{0x10};  // n = 2^20: 1 GiB, the most that a slot may ask for.
  greedy[8] = std::byte{0};
  const std::vector<Bytes> slots = {greedy, slot({.n = 2, .r = 8, .p = 1})};
  const auto with_little_memory = [&] {
    const rlimit little{512u << 20, 512u << 20};
    if (::setrlimit(RLIMIT_AS, &little) != 0) std::_Exit(1);
    const auto alone = open_slots(std::span(slots).first(1), vault_, passphrase("correct horse"));
    if (alone || alone.error().what.find("could not be tried") == std::string::npos) std::_Exit(2);
    std::_Exit(open_slots(slots, vault_, passphrase("correct horse")) ? 0 : 3);
  };
  EXPECT_EXIT(with_little_memory(), ::testing::ExitedWithCode(0), "");
}

// Claim: a server's list adds to what this machine knows and takes nothing away, whatever is in it, and does not grow
// without end.
TEST_F(KeySlots, ThatAreKnownStayWhateverTheServerShows) {
  const std::vector<Bytes> known = {recovery_slot(), recovery_slot()};
  EXPECT_EQ(joined_slots(known, {}), known);
  EXPECT_EQ(joined_slots(known, known), known);
  EXPECT_EQ(joined_slots(known, std::vector<Bytes>{Bytes(104), {}, Bytes(4096)}), known) << "no key slots";
  std::vector<Bytes> joined = known;
  for (int i = 0; i < 10; ++i) {
    std::vector<Bytes> junk;
    for (std::size_t j = 0; j < object::kKeySlotsMax; ++j) junk.push_back(recovery_slot());
    joined = joined_slots(joined, junk);
  }
  EXPECT_EQ(joined.size(), kKnownSlotsMax);
  EXPECT_EQ(joined[0], known[0]);
  EXPECT_EQ(joined[1], known[1]);
}

}  // namespace
}  // namespace coffer::vault
