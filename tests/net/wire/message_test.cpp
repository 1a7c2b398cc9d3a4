#include "net/wire/message.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "tests/testing/vectors.h"

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

// Claim: no code that a server sends becomes success, or an answer that the kernel does not take.
TEST(ErrorOnTheWire, IsNoAnswerWhereItsCodeIsNone) {
  for (const int code : {0, -1, -ENOENT, 512, 4096, INT32_MAX, INT32_MIN}) {
    wire::Error error;
    error.set_reason(wire::Error::ANSWER);
    error.set_code(code);
    EXPECT_EQ(from_wire(error).fault, Fault::protocol) << code;
    error.set_reason(wire::Error::REFUSED);
    EXPECT_EQ(from_wire(error).fault, Fault::refused) << code;
    EXPECT_EQ(from_wire(error).code, 0) << code;
  }
}

// As tests/vectors/wire/make.py writes it, which knows PROTOCOL.md alone.
TEST(PutChunk, IsWrittenAsTheProtocolSays) {
  const Bytes chunk = copy_of(as_bytes("seale"));
  PutChunk put;
  for (int i = 0; i < 32; ++i) put.mutable_id()->push_back(static_cast<char>(i));
  put.set_chunk_bytes(chunk.size());
  put.set_offset(3);
  for (const std::uint32_t crc : block_crcs(chunk)) put.add_block_crcs(crc);
  const std::string header = put.SerializeAsString();
  bool is_there = false;
  for (const auto& fields : testing::read_cases(std::string(COFFER_VECTORS) + "/wire/cases.txt")) {
    is_there = is_there || (fields[0] == "frame" && fields[2] == "put_chunk" &&
                            *base::from_hex(fields[4]) == copy_of(as_bytes(header)));
  }
  EXPECT_TRUE(is_there);
}

TEST(Checks, SayInWhichBlockAChunkIsDamaged) {
  Bytes chunk(200'000, std::byte{7});
  const std::vector<std::uint32_t> crcs = block_crcs(chunk);
  ASSERT_EQ(crcs.size(), 4u);
  EXPECT_EQ(crcs.size(), block_count(chunk.size()));
  EXPECT_EQ(good_until(chunk, crcs), 0u) << "none is: nothing is known";
  chunk[131'072] ^= std::byte{1};
  EXPECT_EQ(good_until(chunk, crcs), 131'072u);
  chunk[65'536] ^= std::byte{1};
  EXPECT_EQ(good_until(chunk, crcs), 65'536u);
  EXPECT_EQ(good_until(chunk, {}), 0u);
  EXPECT_EQ(good_until(ByteView(chunk).first(65'536), crcs), 0u) << "of a chunk of another length";
  // As the bits of RFC 3720 in Python have it, of bytes([7]) * 65536.
  EXPECT_EQ(crcs[0], 0xf0a33f35u);
}

// Claim: a server cannot steer the terminal, or forge a line of the log, of whom it answers.
TEST(ErrorOnTheWire, IsCleanedByWhoReceivesItToo) {
  wire::Error error;
  error.set_reason(wire::Error::REFUSED);
  error.set_what("\x1b]0;owned\x07no\n\x7f\xc2\x9b");
  EXPECT_EQ(from_wire(error).what, "server: ?]0;owned?no????");
}

TEST(ANameOnTheWire, IsSafeInAPathAndOnATerminal) {
  for (const char* good : {"", "laptop", "my.vault_2-old", "7"}) EXPECT_EQ(*parse_name(good), good);
  const std::vector<std::string> bad_names = {"../x", ".x",        "-x",          "a/b",
                                              "a b",  "a\x1b[31m", "caf\xc3\xa9", std::string(65, 'a')};
  for (const std::string& bad : bad_names) {
    ASSERT_FALSE(parse_name(bad)) << bad;
    EXPECT_EQ(parse_name(bad).error().fault, Fault::protocol);
  }
}

TEST(ErrorOnTheWire, IsTextThatProtobufTakesAndNotTheServersPaths) {
  EXPECT_EQ(to_wire({Fault::refused, 0, "caf\xe9\n"}).what(), "caf??");
  EXPECT_EQ(to_wire({Fault::local_io, EIO, "/srv/coffer/x"}).what().find("/srv"), std::string::npos);
}

}  // namespace
}  // namespace coffer::wire
