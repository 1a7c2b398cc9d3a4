// Waits for a state that another thread or process brings about, instead of for a time.
#pragma once

#include <chrono>
#include <functional>

namespace coffer::testing {

/// Asks `holds` again and again, a few milliseconds apart, until it says true (then at once true) or `within` is
/// over (then what a last call says). The bound is for a broken program: make it generous.
///
///     ASSERT_TRUE(eventually([&] { return server.connection_count() == 0; }));
bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds within = std::chrono::seconds(20));

}  // namespace coffer::testing
