// A machine between client and server that spoils their connections as it is told: it delays, throttles, stalls, cuts
// and flips what passes, on loopback, in a thread of its own.
//
//     FaultProxy proxy(server_port);
//     proxy.plan([](unsigned connection) {
//       Faults faults;
//       if (connection == 0) faults.to_server.cut_at = 100'000;   // The first connection ends there, later ones hold.
//       return faults;
//     });
//     ... a client that dials proxy.port() ...
//
// It knows nothing of TLS: to the two sides a flipped byte is a broken connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace coffer::testing {

/// How a connection ends: with a FIN, with a reset, or so that neither side is told anything and all is dropped.
enum class End { close, reset, silence };

/// What happens to the bytes of one connection in one direction.
struct WayFaults {
  std::chrono::milliseconds delay{0};
  std::uint64_t bytes_per_second = 0;           ///< 0: as many as there are.
  std::optional<std::uint64_t> cut_at{};        ///< When so many bytes have passed the connection ends,
  End end = End::reset;                         ///< in this way.
  std::optional<std::uint64_t> stall_at{};      ///< When so many have passed nothing does
  std::chrono::milliseconds stall_for{60'000};  ///< for so long.
  std::optional<std::uint64_t> flip_at{};       ///< One bit of the byte at this position.
};

struct Faults {
  WayFaults to_server;
  WayFaults to_client;
};

/// Thread-safe. What is open when it goes is closed.
class FaultProxy {
 public:
  struct Counts {
    std::uint64_t connections = 0;
    std::uint64_t cuts = 0;  ///< That struck: the bytes went so far.
    std::uint64_t stalls = 0;
    std::uint64_t flips = 0;
    std::uint64_t refused = 0;  ///< Connections while it was down.
    std::uint64_t bytes_to_server = 0;
    std::uint64_t bytes_to_client = 0;
  };

  explicit FaultProxy(std::uint16_t target_port);
  ~FaultProxy();
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  std::uint16_t port() const;
  /// Of connections from now on, which are numbered from 0. Without a plan nothing is spoilt. Called by the proxy's
  /// own thread.
  void plan(std::function<Faults(unsigned connection)> plan);
  /// New connections are reset at once, until it is up again.
  void set_down(bool down);
  /// All that are open now.
  void end_all(End end);
  Counts counts() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace coffer::testing
