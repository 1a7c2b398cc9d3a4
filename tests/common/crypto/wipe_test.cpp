#include "common/crypto/wipe.h"

#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>

#include <algorithm>
#include <vector>

namespace coffer::crypto {
namespace {

TEST(Secret, BeginsWithZerosAndMoves) {
  Secret secret(100);
  EXPECT_TRUE(std::ranges::all_of(secret.bytes(), [](std::byte b) { return b == std::byte{0}; }));
  secret.bytes()[99] = std::byte{7};
  Secret moved = std::move(secret);
  EXPECT_EQ(secret.size(), 0u);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(moved.bytes()[99], std::byte{7});
  moved = Secret::copy_of(as_bytes("key"));
  EXPECT_EQ(as_text(moved.bytes()), "key");
  EXPECT_TRUE(Secret::copy_of({}).bytes().empty());
}

TEST(Wipe, LeavesZeros) {
  Bytes bytes(50, std::byte{1});
  wipe(bytes);
  EXPECT_EQ(bytes, Bytes(50, std::byte{0}));
  wipe({});
}

// In a process of its own: what it switches off stays off.
TEST(ProtectProcessMemoryDeathTest, LocksSecretsAndGoesOnWhereTheLockedHeapIsFull) {
  EXPECT_EXIT(
      {
        protect_process_memory();
        protect_process_memory();
        const bool not_dumpable = prctl(PR_GET_DUMPABLE) == 0;
        std::vector<Secret> secrets;
        for (int i = 0; i < 40; ++i) secrets.emplace_back(std::size_t{64} << 10);
        const bool first_locked = CRYPTO_secure_allocated(secrets.front().bytes().data()) == 1;
        const bool last_locked = CRYPTO_secure_allocated(secrets.back().bytes().data()) == 1;
        for (Secret& secret : secrets) secret.bytes().back() = std::byte{1};
        secrets.clear();
        const bool given_back = CRYPTO_secure_used() == 0;
        std::exit(not_dumpable && first_locked && !last_locked && given_back ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coffer::crypto
