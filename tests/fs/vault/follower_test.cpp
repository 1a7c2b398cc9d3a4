#include "fs/vault/follower.h"

#include <gtest/gtest.h>

namespace coffer::vault {
namespace {

object::CommitHash hash(int number) {
  std::array<std::byte, 32> bytes{};
  bytes[0] = static_cast<std::byte>(number);
  return object::CommitHash(bytes);
}

// Claim: a server is believed if its log reaches at least as far as what was seen, with the same commit there.
TEST(AlarmOf, IsRaisedWhereTheLogWentBackOrHoldsAnotherCommit) {
  const meta::Head seen{.seq = 5, .hash = hash(5)};
  rpc::VaultState server;
  server.head_seq = 5;
  server.head_hash = hash(5);
  EXPECT_FALSE(alarm_of(seen, server));
  server.head_hash = hash(6);
  EXPECT_TRUE(alarm_of(seen, server)) << "a fork of the same length";
  server.head_seq = 4;
  EXPECT_TRUE(alarm_of(seen, server)) << "an older log";
  server.head_seq = 6;
  EXPECT_FALSE(alarm_of(seen, server)) << "whether it is longer or forked, its next commits tell";
  server.head_seq = 0;
  EXPECT_TRUE(alarm_of(seen, server)) << "an empty log";
  EXPECT_FALSE(alarm_of({}, server)) << "nothing was seen yet";
}

}  // namespace
}  // namespace coffer::vault
