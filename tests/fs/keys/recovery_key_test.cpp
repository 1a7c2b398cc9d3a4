#include "fs/keys/recovery_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "tests/testing/seeded_random.h"

namespace coffer::keys {
namespace {

std::string text_of(const RecoveryKey& key) {
  const crypto::Secret text = key.text();
  return std::string(as_text(text.bytes()));
}

void expect_same(const Result<RecoveryKey>& parsed, const RecoveryKey& key) {
  ASSERT_TRUE(parsed) << parsed.error().what;
  EXPECT_TRUE(std::ranges::equal(parsed->bytes(), key.bytes()));
}

TEST(RecoveryKey, IsReadBackFromItsText) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    testing::SeededRandom random(seed);
    const RecoveryKey key = RecoveryKey::generate(random);
    expect_same(RecoveryKey::parse(text_of(key)), key);
  }
}

TEST(RecoveryKey, IsPrintedInFourteenGroupsOfFour) {
  testing::SeededRandom random(1);
  const std::string text = text_of(RecoveryKey::generate(random));
  ASSERT_EQ(text.size(), 14 * 5 - 1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(i % 5 == 4, text[i] == '-') << text;
  }
}

TEST(RecoveryKey, MayBeTypedInLowerCaseWithOtherSpacing) {
  testing::SeededRandom random(2);
  const RecoveryKey key = RecoveryKey::generate(random);
  std::string text = text_of(key);
  std::ranges::transform(text, text.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
  std::ranges::replace(text, '-', ' ');
  expect_same(RecoveryKey::parse("  " + text + "\r\n"), key);
  std::erase(text, ' ');
  expect_same(RecoveryKey::parse(text), key);
}

TEST(RecoveryKey, MayBeTypedWithDigitsThatLookLikeItsLetters) {
  testing::SeededRandom random(3);
  const RecoveryKey key = RecoveryKey::generate(random);
  std::string text = text_of(key);
  std::ranges::replace(text, 'O', '0');
  std::ranges::replace(text, 'I', '1');
  std::ranges::replace(text, 'B', '8');
  ASSERT_NE(text, text_of(key));
  expect_same(RecoveryKey::parse(text), key);
}

// Claim: each single wrong character, and each swap of neighbours, is told from a wrong key.
TEST(RecoveryKey, KnowsATypingErrorFromAWrongKey) {
  testing::SeededRandom random(4);
  const std::string text = text_of(RecoveryKey::generate(random));
  const auto expect_typing_error = [&](const std::string& typed) {
    const Result<RecoveryKey> key = RecoveryKey::parse(typed);
    ASSERT_FALSE(key) << typed;
    EXPECT_EQ(key.error().fault, Fault::refused);
    EXPECT_EQ(key.error().code, EINVAL);
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '-') continue;
    std::string wrong = text;
    wrong[i] = text[i] == 'Q' ? 'R' : 'Q';
    expect_typing_error(wrong);
    if (i + 1 == text.size() || text[i + 1] == '-' || text[i] == text[i + 1]) continue;
    std::string swapped = text;
    std::swap(swapped[i], swapped[i + 1]);
    expect_typing_error(swapped);
  }
  expect_typing_error("");
  expect_typing_error(text.substr(1));
  expect_typing_error(text + "A");
  expect_typing_error(text.substr(1) + "!");
}

}  // namespace
}  // namespace coffer::keys
