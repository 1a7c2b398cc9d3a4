// Real mounts over a network that breaks again and again: nothing is remounted, nothing is lost.
//
// With COFFER_LONG=1 in the environment there are many more seeds and a larger tree.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tests/testing/command.h"
#include "tests/testing/fault_proxy.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/stage.h"

namespace coffer::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool is_long() { return std::getenv("COFFER_LONG") != nullptr; }

std::uint16_t port_of(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

/// What becomes of one connection. Ways to die without a word are rare: each costs the client the time of a ping.
Faults random_faults(SeededRandom& random, unsigned connection) {
  Faults faults;
  for (WayFaults* way : {&faults.to_server, &faults.to_client}) {
    const std::uint64_t at = random.below(1'000'000);
    switch (random.below(6)) {
      case 0: way->cut_at = at, way->end = End::reset; break;
      case 1: way->cut_at = at, way->end = connection % 12 == 5 ? End::silence : End::close; break;
      case 2: way->flip_at = at; break;
      case 3: way->stall_at = at, way->stall_for = milliseconds(random.below(2000)); break;
      case 4: way->delay = milliseconds(random.below(40)); break;
      default: way->bytes_per_second = 1'000'000 + random.below(20'000'000);
    }
  }
  return faults;
}

// Claim: a tree that is copied into a mount, and read by a second client, over a network that cuts, stalls, resets and
// flips, arrives as it was, without a remount.
TEST(BadNetwork, LosesNothingOfATreeAndNeedsNoRemount) {
  if (!can_mount()) GTEST_SKIP() << "no /dev/fuse on this machine";
  const unsigned seed_count = is_long() ? 12 : 2;
  FaultProxy::Counts all;
  std::uint64_t sent = 0;
  std::uint64_t sent_again = 0;
  for (unsigned seed = 1; seed <= seed_count; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Stage stage;
    SeededRandom random(seed);
    FaultProxy proxy(port_of(stage.address()));
    stage.reach_server_at("127.0.0.1:" + std::to_string(proxy.port()));
    const std::string source = stage.folder() + "/source";
    ASSERT_TRUE(succeeded(shell("mkdir " + source + " && cp -a /usr/include/openssl " + source + " && head -c " +
                                (is_long() ? "60000000" : "12000000") + " /dev/urandom > " + source + "/big")));
    Client& first = stage.client("first");
    Client& second = stage.client("second", "first");
    proxy.plan([&random](unsigned connection) { return random_faults(random, connection); });
    ASSERT_NO_FATAL_FAILURE(first.mount());
    ASSERT_TRUE(succeeded(run({"cp", "-a", source, first.mountpoint() + "/"}, seconds(300))));
    ASSERT_TRUE(succeeded(first.coffer({"sync", first.mountpoint()}, seconds(300))));
    const auto status = nlohmann::json::parse(first.coffer({"status", first.mountpoint(), "--json"}).out);
    sent += status.at("upload").at("chunk_bytes_sent").get<std::uint64_t>();
    sent_again += status.at("upload").at("chunk_bytes_sent_again").get<std::uint64_t>();
    EXPECT_TRUE(status.at("problems").empty()) << status.at("problems");

    ASSERT_NO_FATAL_FAILURE(second.mount("ro"));
    EXPECT_EQ(listing(second.mountpoint() + "/source"), listing(source));
    EXPECT_TRUE(succeeded(stage.cofferd({"check", "--read-data"})));
    const FaultProxy::Counts counts = proxy.counts();
    all.connections += counts.connections;
    all.cuts += counts.cuts;
    all.stalls += counts.stalls;
    all.flips += counts.flips;
  }
  std::cout << seed_count << " seeds: " << all.connections << " connections, " << all.cuts << " cuts, " << all.stalls
            << " stalls, " << all.flips << " flips that struck; " << sent << " bytes of chunks sent, " << sent_again
            << " of them again\n";
  EXPECT_GT(all.cuts + all.flips, 0u);
}

}  // namespace
}  // namespace coffer::testing
