#include "fs/keys/key_slot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "common/os/disk.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::keys {
namespace {

constexpr crypto::ScryptCost kLowCost{16, 1, 1};
constexpr std::string_view kPassphrase = "correct horse battery staple";

class KeySlot : public ::testing::Test {
 protected:
  Bytes passphrase_slot() {
    return wrap_with_passphrase(key_, as_bytes(kPassphrase), vault_, random_, kLowCost).value();
  }
  KeyFile key_file() { return KeyFile::make(os::real_disk(), folder_ / "key", random_).value(); }
  void expect_opens(ByteView slot, ByteView secret) {
    const Result<VaultKey> key = unwrap(slot, secret, vault_);
    ASSERT_TRUE(key) << key.error().what;
    EXPECT_TRUE(std::ranges::equal(key->bytes(), key_.bytes()));
  }
  static void expect_refused(const Result<VaultKey>& key, std::string_view text) {
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().fault, Fault::refused);
    EXPECT_EQ(key.error().code, EACCES);
    EXPECT_NE(key.error().what.find(text), std::string::npos) << key.error().what;
  }

  testing::TempDir folder_;
  testing::SeededRandom random_{7};
  object::VaultId vault_{{std::byte{1}, std::byte{2}}};
  VaultKey key_ = VaultKey::generate(random_);
};

TEST_F(KeySlot, OpensWithThePassphraseThatMadeIt) {
  const Bytes slot = passphrase_slot();
  EXPECT_EQ(slot.size(), kKeySlotBytes);
  EXPECT_EQ(kind_of(slot).value(), SlotKind::passphrase);
  expect_opens(slot, as_bytes(kPassphrase));
}

TEST_F(KeySlot, OpensWithTheRecoveryKeyThatMadeIt) {
  const RecoveryKey recovery = RecoveryKey::generate(random_);
  const Bytes slot = wrap_with_recovery_key(key_, recovery, vault_, random_);
  EXPECT_EQ(kind_of(slot).value(), SlotKind::recovery);
  expect_opens(slot, recovery.bytes());
}

TEST_F(KeySlot, OpensWithTheKeyFileThatMadeIt) {
  const KeyFile file = key_file();
  const Bytes slot = wrap_with_key_file(key_, file, vault_, random_);
  EXPECT_EQ(kind_of(slot).value(), SlotKind::key_file);
  expect_opens(slot, file.bytes());
}

TEST_F(KeySlot, RefusesEveryOtherSecretAndSaysWhichKindIsWrong) {
  expect_refused(unwrap(passphrase_slot(), as_bytes("Correct horse battery staple"), vault_), "wrong passphrase");
  expect_refused(unwrap(passphrase_slot(), {}, vault_), "wrong passphrase");
  const RecoveryKey recovery = RecoveryKey::generate(random_);
  const Bytes slot = wrap_with_recovery_key(key_, RecoveryKey::generate(random_), vault_, random_);
  expect_refused(unwrap(slot, recovery.bytes(), vault_), "wrong recovery key");
  expect_refused(unwrap(slot, recovery.bytes().first(31), vault_), "wrong recovery key");
  expect_refused(unwrap(wrap_with_key_file(key_, key_file(), vault_, random_), recovery.bytes(), vault_),
                 "wrong key file");
}

TEST_F(KeySlot, OpensForItsOwnVaultOnly) {
  expect_refused(unwrap(passphrase_slot(), as_bytes(kPassphrase), object::VaultId{}), "wrong passphrase");
}

TEST_F(KeySlot, DiffersEachTimeItIsMade) { EXPECT_NE(passphrase_slot(), passphrase_slot()); }

// Claim: no bit of a slot can be changed without notice; the key that comes out is the right one or none.
TEST_F(KeySlot, NeverOpensWithABitChanged) {
  const Bytes slot = passphrase_slot();
  for (std::size_t bit = 0; bit < slot.size() * 8; ++bit) {
    if (bit / 8 >= 17 && bit / 8 < 20) continue;  // The high bytes of r would only make scrypt slow.
    Bytes changed = slot;
    changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    EXPECT_FALSE(unwrap(changed, as_bytes(kPassphrase), vault_)) << "bit " << bit;
  }
}

TEST_F(KeySlot, HasOneLength) {
  const Bytes slot = passphrase_slot();
  for (std::size_t bytes = 0; bytes <= slot.size() + 1; ++bytes) {
    if (bytes == slot.size()) continue;
    Bytes changed = slot;
    changed.resize(bytes, std::byte{0});
    const Result<SlotKind> kind = kind_of(changed);
    ASSERT_FALSE(kind) << bytes;
    EXPECT_EQ(kind.error().fault, Fault::corrupt);
  }
}

// Claim: a server cannot stall a client or use its memory up by the cost that it writes into a slot.
TEST_F(KeySlot, RefusesAnUnreasonableCostBeforeItComputes) {
  struct Cost {
    std::uint64_t n;
    std::uint32_t r, p;
  };
  for (const Cost& cost : {Cost{1ull << 40, 8, 1}, Cost{1ull << 63, 1u << 31, 1u << 31}, Cost{1u << 20, 16, 1},
                           Cost{1u << 17, 8, 17}, Cost{3, 8, 1}, Cost{0, 8, 1}, Cost{1, 8, 1}, Cost{16, 0, 1},
                           Cost{16, 8, 0}, Cost{16, 1, 0xffffffff}, Cost{16, 0xffffffff, 1}}) {
    Bytes slot = passphrase_slot();
    std::memcpy(slot.data() + 8, &cost.n, 8);
    std::memcpy(slot.data() + 16, &cost.r, 4);
    std::memcpy(slot.data() + 20, &cost.p, 4);
    const Result<VaultKey> key = unwrap(slot, as_bytes(kPassphrase), vault_);
    ASSERT_FALSE(key) << cost.n;
    EXPECT_EQ(key.error().fault, Fault::corrupt) << cost.n << " " << cost.r << " " << cost.p;
  }
}

TEST_F(KeySlot, IsNotMadeFromAnEmptyPassphraseOrAnUnreasonableCost) {
  EXPECT_EQ(wrap_with_passphrase(key_, {}, vault_, random_, kLowCost).error().fault, Fault::refused);
  EXPECT_EQ(wrap_with_passphrase(key_, as_bytes(kPassphrase), vault_, random_, {3, 8, 1}).error().fault,
            Fault::refused);
}

TEST_F(KeySlot, OpensAtTheDefaultCost) {
  expect_opens(wrap_with_passphrase(key_, as_bytes(kPassphrase), vault_, random_).value(), as_bytes(kPassphrase));
}

}  // namespace
}  // namespace coffer::keys
