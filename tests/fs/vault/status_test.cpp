#include "fs/vault/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coffer::vault {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Status some_status() {
  Status status;
  status.vault = "photos";
  status.server = "host:7465";
  status.mounted = true;
  status.link = "online";
  status.lease = "held";
  return status;
}

TEST(Status, IsTheSameAfterItsJson) {
  Status status = some_status();
  status.mountpoint = "/mnt/with \"quotes\"";
  status.owed_files = 3;
  status.owed_bytes = 1u << 30;
  status.owed_since_ns = 1'700'000'000'000'000'000;
  status.head_seq = 9;
  status.problems = {"one", "two"};
  const std::optional<Status> again = status_from_json(to_json(status));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(*again), to_json(status));
  EXPECT_EQ(again->owed_since_ns, status.owed_since_ns);
}

TEST(Status, IsNotReadFromAnythingElse) {
  EXPECT_FALSE(status_from_json(""));
  EXPECT_FALSE(status_from_json("{}"));
  EXPECT_FALSE(status_from_json("[1]"));
}

TEST(Status, SaysThatEverythingIsCommittedOnlyWhenNothingIsOwedAnywhere) {
  EXPECT_TRUE(some_status().all_committed());
  for (std::uint64_t Status::*field :
       {&Status::buffered_bytes, &Status::owed_files, &Status::owed_names, &Status::owed_chunks}) {
    Status status = some_status();
    status.*field = 1;
    EXPECT_FALSE(status.all_committed());
    EXPECT_THAT(to_sentence(status), HasSubstr("not on the server yet"));
  }
  Status status = some_status();
  status.commit_pending = true;
  EXPECT_FALSE(status.all_committed());
}

TEST(Status, SaysWhyWhatIsOwedDoesNotGo) {
  Status status = some_status();
  status.owed_files = 1;
  status.link = "offline";
  status.link_why = "connection refused";
  EXPECT_THAT(to_sentence(status), HasSubstr("connection refused"));
  status.problems = {"the vault's quota is used up"};
  EXPECT_THAT(to_sentence(status), HasSubstr("Problem: the vault's quota is used up"));
}

// Claim: of a mount that lost the right to write it says that others' changes are not in it, and how to come to them.
TEST(Status, SaysThatAMountWithoutTheRightToWriteIsOldAndHowToFollow) {
  Status status = some_status();
  status.mountpoint = "/mnt/v";
  EXPECT_THAT(to_sentence(status), Not(HasSubstr("as it was")));
  status.lease = "lost";
  status.read_only = true;
  EXPECT_THAT(to_sentence(status), HasSubstr("as it was when it lost the right to write"));
  EXPECT_THAT(to_sentence(status), HasSubstr("`coffer umount /mnt/v`, then `coffer mount /mnt/v`"));
  status.owed_files = 1;
  EXPECT_THAT(to_sentence(status), HasSubstr("as it was when it lost the right to write"));
  EXPECT_THAT(to_sentence(status), HasSubstr("`coffer owed export DIR`"));
  EXPECT_THAT(to_sentence(status),
              HasSubstr("`coffer umount --now /mnt/v`, `coffer owed drop`, `coffer mount /mnt/v`"));
  status.mounted = false;
  EXPECT_THAT(to_sentence(status), Not(HasSubstr("as it was")));
}

}  // namespace
}  // namespace coffer::vault
