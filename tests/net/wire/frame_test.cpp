#include "net/wire/frame.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/text.h"
#include "tests/testing/vectors.h"

namespace coffer::wire {
namespace {

Bytes from_hex(const std::string& text) { return text == "-" ? Bytes() : base::from_hex(text).value(); }

std::vector<std::vector<std::string>> cases(std::string_view kind) {
  std::vector<std::vector<std::string>> chosen;
  for (auto& fields : testing::read_cases(std::string(COFFER_VECTORS) + "/wire/cases.txt")) {
    if (fields[0] == kind) chosen.push_back(std::move(fields));
  }
  EXPECT_FALSE(chosen.empty());
  return chosen;
}

std::string underlined(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = c == ' ' ? '_' : c;
  return text;
}

TEST(Frame, IsReadAndWrittenAsTheGoldenOnes) {
  for (const auto& fields : cases("frame")) {
    SCOPED_TRACE(fields[1]);
    const Bytes bytes = from_hex(fields[1]);
    const auto frame = decode_frame(bytes);
    ASSERT_TRUE(frame) << frame.error().what;
    EXPECT_EQ(underlined(type_name(frame->head.type)), fields[2]);
    EXPECT_EQ(std::to_string(frame->head.request), fields[3]);
    EXPECT_TRUE(std::ranges::equal(frame->header, from_hex(fields[4])));
    EXPECT_TRUE(std::ranges::equal(frame->body, from_hex(fields[5])));
    EXPECT_EQ(encode_frame(frame->head.type, frame->head.request, frame->header, frame->body), bytes);
  }
}

TEST(Frame, BreaksTheProtocolAsTheWrongOnes) {
  for (const auto& fields : cases("wrong")) {
    SCOPED_TRACE(fields[1]);
    const auto frame = decode_frame(from_hex(fields[1]));
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().fault, Fault::protocol);
  }
}

TEST(Frame, IsNoneWhenItsEndIsCutOff) {
  for (const auto& fields : cases("frame")) {
    const Bytes bytes = from_hex(fields[1]);
    for (std::size_t count = 0; count < bytes.size(); ++count) {
      SCOPED_TRACE(::testing::Message() << fields[2] << " cut to " << count);
      EXPECT_FALSE(decode_frame(ByteView(bytes).first(count)));
    }
  }
}

TEST(Frame, MayBeAsLongAsItsLimitsAndNoLonger) {
  const auto decodes = [](std::size_t header_bytes, std::size_t body_bytes) {
    const Head head{.type = Type::put_chunk,
                    .request = 1,
                    .header_bytes = static_cast<std::uint32_t>(header_bytes),
                    .body_bytes = static_cast<std::uint32_t>(body_bytes)};
    const auto decoded = decode_head(encode(head));
    return decoded && *decoded == head;
  };
  EXPECT_TRUE(decodes(limits::kWireHeaderBytesMax, limits::kWireBodyBytesMax));
  EXPECT_FALSE(decodes(limits::kWireHeaderBytesMax + 1, 0));
  EXPECT_FALSE(decodes(0, limits::kWireBodyBytesMax + 1));
}

TEST(Type, IsARequestAnAnswerOrUnknown) {
  int requests = 0;
  int answers = 0;
  for (int number = 0; number < 256; ++number) {
    const auto type = static_cast<Type>(number);
    if (is_request(type)) {
      ++requests;
      ++answers;
      EXPECT_EQ(std::string(type_name(answer_to(type))), std::string(type_name(type)) + " answer");
      EXPECT_FALSE(is_request(answer_to(type)));
    } else if (type_name(type) != "unknown" && type != Type::error) {
      --answers;
    }
  }
  EXPECT_EQ(requests, 16);
  EXPECT_EQ(answers, 0) << "each answer belongs to a request";
  EXPECT_EQ(type_name(Type::error), "error");
}

}  // namespace
}  // namespace coffer::wire
