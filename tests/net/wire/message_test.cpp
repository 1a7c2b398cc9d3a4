#include "net/wire/message.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "common/base/limits.h"

namespace coffer::wire {
namespace {

TEST(Header, ThatIsNoMessageBreaksTheProtocol) {
  const auto parsed = parse<Hello>(as_bytes("\xff\xff\xff"));
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().fault, Fault::protocol);
}

TEST(Header, OfALaterVersionIsReadAsFarAsItIsKnown) {
  Hello hello;
  hello.set_program("later");
  const std::string header = hello.SerializeAsString() + std::string("\xfa\x01\x02hi", 5);  // Field 31.
  const auto parsed = parse<Hello>(as_bytes(header));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->program(), "later");
}

TEST(Ids, AreJoinedAndParsedBack) {
  std::vector<object::ChunkId> ids(3);
  ids[1] = object::ChunkId::from(Bytes(32, std::byte{5})).value();
  const auto parsed = parse_ids(join_ids(ids));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, ids);
  EXPECT_TRUE(parse_ids("")->empty());
}

TEST(Ids, OfAWrongLengthOrNumberBreakTheProtocol) {
  EXPECT_EQ(parse_ids(std::string(33, 'x')).error().fault, Fault::protocol);
  EXPECT_TRUE(parse_ids(std::string(32 * limits::kIdsPerMessageMax, 'x')));
  EXPECT_EQ(parse_ids(std::string(32 * (limits::kIdsPerMessageMax + 1), 'x')).error().fault, Fault::protocol);
  EXPECT_EQ(parse_id<object::VaultId>(std::string(15, 'x')).error().fault, Fault::protocol);
}

TEST(ErrorOnTheWire, SaysWhatTheOtherSideCanDo) {
  const auto seen_as = [](coffer::Error error) { return from_wire(to_wire(error)); };
  const auto expect = [&](coffer::Error error, Fault fault, int code) {
    const coffer::Error seen = seen_as(error);
    EXPECT_EQ(seen.fault, fault) << fault_name(error.fault);
    EXPECT_EQ(seen.code, code) << fault_name(error.fault);
  };
  expect({Fault::answer, ENOENT, ""}, Fault::answer, ENOENT);
  expect({Fault::refused, EACCES, ""}, Fault::refused, EACCES);
  expect({Fault::refused, EDQUOT, ""}, Fault::refused, EDQUOT);
  expect({Fault::full, EDQUOT, ""}, Fault::refused, EDQUOT);
  expect({Fault::full, ENOSPC, ""}, Fault::refused, ENOSPC);
  expect({Fault::corrupt, 0, ""}, Fault::corrupt, 0);
  expect({Fault::protocol, 0, ""}, Fault::protocol, 0);
  expect({Fault::local_io, EIO, ""}, Fault::offline, EIO);
  expect({Fault::offline, 0, ""}, Fault::offline, EAGAIN);
  expect({Fault::stopped, 0, ""}, Fault::offline, EAGAIN);
  EXPECT_EQ(to_wire({Fault::full, EDQUOT, ""}).reason(), wire::Error::FULL);
  EXPECT_EQ(to_wire({Fault::refused, EDQUOT, ""}).reason(), wire::Error::FULL);
  EXPECT_EQ(from_wire(wire::Error()).fault, Fault::offline) << "a reason of a later version";
}

TEST(ErrorOnTheWire, IsTextThatProtobufTakesAndNotTheServersPaths) {
  EXPECT_EQ(to_wire({Fault::refused, 0, "caf\xe9\n"}).what(), "caf??");
  EXPECT_EQ(to_wire({Fault::local_io, EIO, "/srv/coffer/x"}).what().find("/srv"), std::string::npos);
}

}  // namespace
}  // namespace coffer::wire
