#include "common/base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "common/base/mutex.h"

namespace coffer {
namespace {

std::string logged(const std::function<void()>& log) {
  ::testing::internal::CaptureStderr();
  log();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, WritesOneLineAnEvent) {
  const std::string line = logged([] { log::info("chunk.stored", {{"id", "3fa2"}, {"bytes", 17}, {"ok", true}}); });
  EXPECT_NE(line.find("Z info chunk.stored id=3fa2 bytes=17 ok=1\n"), std::string::npos) << line;
}

// Claim: whoever chooses a value cannot forge a line or a field with it, nor steer the terminal that shows it.
TEST(Log, KeepsAValueWithinItsField) {
  const std::string line = logged([] {
    log::warn("tls.refused", {{"who", "a b\nc=\"d\\\x1b[31m"}, {"empty", ""}, {"why", "x"}});
    log::warn("esc", {{"a", "\x1b"}, {"b", "\x7f"}, {"c", "\xc2\x9b"}, {"d", "\xff"}, {"e", "caf\xc3\xa9"}});
  });
  EXPECT_NE(line.find("who=\"a b\\nc=\\\"d\\\\\\x1b[31m\" empty=\"\" why=x\n"), std::string::npos) << line;
  EXPECT_NE(line.find("esc a=\"\\x1b\" b=\"\\x7f\" c=\"\\xc2\\x9b\" d=\"\\xff\" e=caf\xc3\xa9\n"), std::string::npos)
      << line;
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 2);
}

TEST(Log, WritesNothingBelowItsLevel) {
  EXPECT_EQ(logged([] { log::debug("event"); }), "");
  log::set_level(log::Level::off);
  EXPECT_EQ(logged([] { log::error("event"); }), "");
  log::set_level(log::Level::debug);
  EXPECT_NE(logged([] { log::debug("event"); }), "");
  log::set_level(log::Level::info);
}

TEST(Condition, GivesUpAtItsDeadline) {
  Mutex mutex;
  Condition condition;
  const MutexLock lock(mutex);
  while (condition.wait_until(mutex, std::chrono::steady_clock::now() + std::chrono::milliseconds(1))) {
  }
}

}  // namespace
}  // namespace coffer
