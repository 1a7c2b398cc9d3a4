#include "fs/ops/errno.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace coffer::ops {
namespace {

TEST(Errno, IsWhatAnApplicationCanActOn) {
  EXPECT_EQ(errno_for(answer(ENOTEMPTY)), ENOTEMPTY);
  EXPECT_EQ(errno_for({Fault::offline, 0, ""}), ETIMEDOUT);
  EXPECT_EQ(errno_for({Fault::refused, EDQUOT, ""}), EDQUOT);
  EXPECT_EQ(errno_for({Fault::refused, 0, ""}), EACCES);
  EXPECT_EQ(errno_for({Fault::full, 0, ""}), ENOSPC);
  EXPECT_EQ(errno_for({Fault::corrupt, 0, ""}), EIO);
  EXPECT_EQ(errno_for({Fault::protocol, 0, ""}), EIO);
  EXPECT_EQ(errno_for({Fault::local_io, EROFS, ""}), EIO);
  EXPECT_EQ(errno_for({Fault::stopped, 0, ""}), EINTR);
}

}  // namespace
}  // namespace coffer::ops
