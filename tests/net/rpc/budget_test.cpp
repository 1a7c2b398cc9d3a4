#include "net/rpc/budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace coffer::rpc {
namespace {

using Claims = std::vector<std::shared_ptr<Budget::Claim>>;

TEST(ABudget, GrantsNoMoreThanItHasAndTheRestInItsTurn) {
  Budget budget(1000);
  int woken = 0;
  const auto wake = [&] { ++woken; };
  auto first = budget.claim("a", 600, wake);
  const auto second = budget.claim("b", 500, wake);
  const auto third = budget.claim("c", 100, wake);
  EXPECT_TRUE(first->is_granted());
  EXPECT_FALSE(second->is_granted());
  EXPECT_FALSE(third->is_granted()) << "it would fit, and the second might then wait for ever";
  EXPECT_TRUE(budget.is_short());
  EXPECT_EQ(budget.taken_bytes(), 600u);
  EXPECT_EQ(woken, 0);
  first.reset();
  EXPECT_TRUE(second->is_granted());
  EXPECT_TRUE(third->is_granted());
  EXPECT_FALSE(budget.is_short());
  EXPECT_EQ(budget.taken_bytes(), 600u);
  EXPECT_EQ(woken, 2);
}

TEST(ABudget, LetsTheClientComeFirstThatHoldsLeast) {
  Budget budget(1000);
  Claims held;
  held.push_back(budget.claim("greedy", 400, nullptr));
  held.push_back(budget.claim("modest", 100, nullptr));
  held.push_back(budget.claim("new", 500, nullptr));
  const auto greedy = budget.claim("greedy", 200, nullptr);
  const auto modest = budget.claim("modest", 300, nullptr);
  held.pop_back();
  EXPECT_FALSE(greedy->is_granted());
  EXPECT_FALSE(modest->is_granted()) << "800 are more than the three quarters for those who hold some";
  held.erase(held.begin());
  EXPECT_TRUE(modest->is_granted());
  EXPECT_TRUE(greedy->is_granted());
}

TEST(ABudget, KeepsAQuarterForClientsThatHoldNothing) {
  Budget budget(1000);
  Claims held;
  for (int i = 0; i < 10; ++i) held.push_back(budget.claim("greedy", 100, nullptr));
  EXPECT_EQ(budget.taken_bytes(), 700u);
  const auto other = budget.claim("other", 300, nullptr);
  EXPECT_TRUE(other->is_granted());
  const auto more = budget.claim("third", 1, nullptr);
  EXPECT_FALSE(more->is_granted());
}

TEST(ABudget, TakesBackAPlaceInLineAndWhatAnAnswerDoesNotNeed) {
  Budget budget(1000);
  const auto one = budget.claim("a", 900, nullptr);
  auto two = budget.claim("b", 200, nullptr);
  const auto three = budget.claim("c", 100, nullptr);
  EXPECT_FALSE(three->is_granted());
  two.reset();
  EXPECT_TRUE(three->is_granted());
  const auto four = budget.claim("d", 800, nullptr);
  EXPECT_FALSE(four->is_granted());
  one->resize(100);
  EXPECT_TRUE(four->is_granted());
  EXPECT_EQ(budget.taken_bytes(), 1000u);
}

TEST(ABudget, GrantsMoreThanItHasToWhoIsAlone) {
  Budget budget(1000);
  auto one = budget.claim("a", 2000, nullptr);
  EXPECT_TRUE(one->is_granted());
  const auto two = budget.claim("b", 2000, nullptr);
  EXPECT_FALSE(two->is_granted());
  one.reset();
  EXPECT_TRUE(two->is_granted());
}

}  // namespace
}  // namespace coffer::rpc
