#include "common/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "common/base/bytes.h"
#include "common/base/strong.h"

namespace coffer {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return answer(EINVAL);
  return value / 2;
}

Result<int> quarter(int value) {
  COFFER_TRY(const int halved, half(value));
  COFFER_DO(half(halved));
  return half(halved);
}

TEST(Result, HoldsAValueOrAnError) {
  EXPECT_TRUE(half(4));
  EXPECT_EQ(*half(4), 2);
  EXPECT_FALSE(half(3));
  EXPECT_EQ(half(3).error().code, EINVAL);
  EXPECT_EQ(half(3).value_or(7), 7);
  EXPECT_EQ(half(4).value_or(7), 2);
}

TEST(Result, IsHandedOnByTheMacros) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(2).error().code, EINVAL);
  EXPECT_EQ(quarter(1).error().code, EINVAL);
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 5);
}

TEST(ResultDeathTest, StopsWhoTakesWhatIsNotThere) {
  EXPECT_DEATH((void)half(3).value(), "broken invariant");
  EXPECT_DEATH((void)half(4).error(), "broken invariant");
  const Result<void> failed = answer(EPERM);
  EXPECT_DEATH(*failed, "broken invariant");
}

TEST(Error, GrowsOnTheWayUp) {
  Error error = os_error(ENOSPC, "write").in("spool 3fa2").in("commit 71");
  EXPECT_EQ(error.what, "commit 71: spool 3fa2: write: No space left on device");
  EXPECT_EQ(error.fault, Fault::full);
  EXPECT_EQ(os_error(EDQUOT, "write").fault, Fault::full);
  EXPECT_EQ(os_error(EIO, "write").fault, Fault::local_io);
  EXPECT_EQ(answer(ENOENT).fault, Fault::answer);
}

TEST(Fault, HasANameOfItsOwn) {
  EXPECT_EQ(fault_name(Fault::answer), "answer");
  EXPECT_EQ(fault_name(Fault::local_io), "local_io");
  EXPECT_EQ(fault_name(Fault::stopped), "stopped");
}

TEST(Reader, ReadsWhatAWriterWroteAndNoByteMore) {
  Bytes bytes;
  Writer writer(bytes);
  writer.put(std::uint8_t{1});
  writer.put(std::uint16_t{0x0302});
  writer.put(std::uint64_t{0x0b0a090807060504});
  writer.put_bytes(as_bytes("xy"));
  ASSERT_EQ(bytes.size(), 13u);
  for (std::size_t i = 0; i < 11; ++i) EXPECT_EQ(bytes[i], static_cast<std::byte>(i + 1));

  Reader reader(bytes);
  EXPECT_EQ(*reader.get<std::uint8_t>(), 1u);
  EXPECT_EQ(*reader.get<std::uint16_t>(), 0x0302u);
  EXPECT_EQ(*reader.get<std::uint64_t>(), 0x0b0a090807060504u);
  EXPECT_EQ(reader.get<std::uint32_t>().error().fault, Fault::corrupt);
  EXPECT_EQ(reader.get_bytes(3).error().fault, Fault::corrupt);
  EXPECT_EQ(as_text(*reader.get_bytes(2)), "xy") << "what failed moved nothing";
  EXPECT_TRUE(reader.rest().empty());
  EXPECT_TRUE(reader.get_bytes(0));
}

using Metres = Strong<int, struct MetresTag>;

TEST(Strong, ComparesAndHashesAsItsValue) {
  EXPECT_LT(Metres(1), Metres(2));
  EXPECT_EQ(Metres(2).value(), 2);
  EXPECT_EQ(std::hash<Metres>()(Metres(2)), std::hash<int>()(2));
  static_assert(!std::is_convertible_v<int, Metres>);
}

}  // namespace
}  // namespace coffer
