// What the requests of all connections of a server hold in its memory together, and who gets of it next.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace coffer::rpc {

/// Requests stand in line for it, one line for all: first comes the one whose client holds least, then the one that has
/// waited longest, and nobody is let past the first, however little he asks for. So a client with many connections
/// waits for its own requests before it makes others wait. A quarter is kept for clients that hold nothing: who comes
/// new gets his first request in, while others fill the rest.
///
/// Thread-safe. Claims may outlive the Budget.
class Budget {
 public:
  explicit Budget(std::uint64_t bytes_max);

  /// The memory of one request, or its place in line. Ends, and gives back what it has, with its last owner.
  class Claim;
  /// Of `client`, whatever identifies it. Where the claim has to wait, `wake` is called once it is granted, from any
  /// thread. One that exceeds all that there is, is granted when nobody holds anything.
  std::shared_ptr<Claim> claim(const std::string& client, std::uint64_t bytes, std::function<void()> wake);

  /// Somebody waits.
  bool is_short() const;
  std::uint64_t taken_bytes() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

class Budget::Claim {
 public:
  Claim(std::shared_ptr<State> state, std::string client, std::uint64_t bytes);
  ~Claim();
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  bool is_granted() const;
  /// Of a granted one: what the answer takes in place of the request. More than before is not waited for.
  void resize(std::uint64_t bytes);

 private:
  friend class Budget;
  friend struct Budget::State;

  const std::shared_ptr<State> state_;
  const std::string client_;
  // Guarded by the State's mutex.
  std::uint64_t bytes_;
  std::function<void()> wake_;
  bool is_granted_ = false;
};

}  // namespace coffer::rpc
