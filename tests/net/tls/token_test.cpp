#include "net/tls/token.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "common/base/text.h"
#include "tests/testing/vectors.h"

namespace coffer::tls {
namespace {

std::vector<std::vector<std::string>> cases(std::string_view kind) {
  std::vector<std::vector<std::string>> chosen;
  for (auto& fields : testing::read_cases(std::string(COFFER_VECTORS) + "/wire/cases.txt")) {
    if (fields[0] == kind) chosen.push_back(std::move(fields));
  }
  EXPECT_FALSE(chosen.empty());
  return chosen;
}

TEST(Token, IsReadAndWrittenAsTheGoldenOnes) {
  for (const auto& fields : cases("token")) {
    SCOPED_TRACE(fields[1]);
    const auto token = decode_token(fields[1]);
    ASSERT_TRUE(token) << token.error().what;
    EXPECT_EQ(token->host, fields[2]);
    EXPECT_EQ(std::to_string(token->port), fields[3]);
    EXPECT_EQ(std::to_string(token->expires.time_since_epoch() / std::chrono::seconds(1)), fields[4]);
    EXPECT_EQ(base::to_hex(token->ca_pin), fields[5]);
    EXPECT_EQ(base::to_hex(token->secret), fields[6]);
    EXPECT_EQ(encode(*token), fields[1]);
  }
}

TEST(Token, IsRefusedWhenItIsNone) {
  for (const auto& fields : cases("other")) {
    SCOPED_TRACE(fields[1]);
    const auto token = decode_token(fields[1]);
    ASSERT_FALSE(token);
    EXPECT_EQ(token.error().fault, Fault::refused);
  }
  EXPECT_FALSE(decode_token(""));
}

TEST(Token, IsRefusedWhenAnyCharacterOfItIsAnother) {
  const std::string right = cases("token")[0][1];
  ASSERT_TRUE(decode_token(right));
  for (std::size_t at = 0; at < right.size(); ++at) {
    for (const char other : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567189.-_ =\n")) {
      if (std::toupper(right[at]) == other) continue;
      std::string wrong = right;
      wrong[at] = other;
      EXPECT_FALSE(decode_token(wrong)) << at << " is " << other;
    }
  }
}

TEST(Token, IsRefusedWhenItsEndIsMissing) {
  const std::string right = cases("token")[0][1];
  for (std::size_t count = 0; count < right.size(); ++count)
    EXPECT_FALSE(decode_token(right.substr(0, count))) << count;
}

TEST(Token, MayBeInEitherCaseAndBetweenSpaces) {
  const std::string right = cases("token")[0][1];
  std::string lower = right;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  EXPECT_TRUE(decode_token(lower));
  EXPECT_TRUE(decode_token("  " + right + "\n"));
}

}  // namespace
}  // namespace coffer::tls
