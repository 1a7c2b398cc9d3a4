#include "tests/testing/fault_proxy.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <list>
#include <thread>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/mutex.h"

namespace coffer::testing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPieceBytes = 64u << 10;
/// Read and not passed on yet. With a delay it must hold what is on the way, without one little, so that a sender
/// notices at once what does not pass.
constexpr std::size_t kQueuedBytesMax = 256u << 10;
constexpr std::size_t kDelayedBytesMax = 16u << 20;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int new_socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  COFFER_CHECK(fd >= 0);
  return fd;
}

const sockaddr* generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

void close_with_reset(int fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(fd);
}

/// One direction of one connection.
struct Way {
  struct Piece {
    Clock::time_point due;
    Bytes bytes;
  };

  WayFaults faults;
  std::deque<Piece> queue;
  std::size_t queued_bytes = 0;
  std::uint64_t passed = 0;
  Clock::time_point not_before{};  // Of the next bytes: bandwidth, or a stall.
  bool has_stalled = false;
  bool has_ended = false;  // The sender says that no more comes.
  bool is_shut = false;    // And the receiver was told.

  bool wants_more() const {
    return !has_ended && queued_bytes < (faults.delay.count() > 0 ? kDelayedBytesMax : kQueuedBytesMax);
  }
  std::optional<Clock::time_point> next_at() const {
    if (queue.empty()) return std::nullopt;
    return std::max(queue.front().due, not_before);
  }
};

}  // namespace

class FaultProxy::Loop {
 public:
  explicit Loop(std::uint16_t target_port);
  ~Loop();

  std::uint16_t port = 0;
  Mutex mutex;
  std::function<Faults(unsigned)> plan GUARDED_BY(mutex);
  std::optional<End> end_asked GUARDED_BY(mutex);
  bool is_down GUARDED_BY(mutex) = false;
  bool is_stopping GUARDED_BY(mutex) = false;
  Counts counts GUARDED_BY(mutex);
  void wake() const {
    const std::uint64_t one = 1;
    COFFER_CHECK(write(wake_fd_, &one, sizeof(one)) == sizeof(one));
  }

 private:
  struct Pair {
    std::array<int, 2> fds{-1, -1};  // Client, server.
    std::array<Way, 2> ways;         // To the server, to the client: ways[i] reads from fds[i].
    bool is_silent = false;
    bool is_over = false;
  };

  void run();
  void accept_one();
  void end(Pair& pair, End how);
  void read_from(Pair& pair, std::size_t side);
  void pass_on(Pair& pair, std::size_t side);
  template <class Change>
  void count_it(Change change) {
    const MutexLock lock(mutex);
    change(counts);
  }

  const std::uint16_t target_port_;
  int listen_fd_;
  int wake_fd_;
  std::list<Pair> pairs_;
  std::thread thread_;
};

FaultProxy::Loop::Loop(std::uint16_t target_port)
    : target_port_(target_port), listen_fd_(new_socket()), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  sockaddr_in address = loopback(0);
  COFFER_CHECK(bind(listen_fd_, generic(address), sizeof(address)) == 0);
  COFFER_CHECK(listen(listen_fd_, 64) == 0);
  socklen_t bytes = sizeof(address);
  COFFER_CHECK(getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
  port = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

FaultProxy::Loop::~Loop() {
  {
    const MutexLock lock(mutex);
    is_stopping = true;
  }
  wake();
  thread_.join();
  for (Pair& pair : pairs_) end(pair, End::close);
  close(listen_fd_);
  close(wake_fd_);
}

void FaultProxy::Loop::accept_one() {
  const int client = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = new_socket();
  const sockaddr_in target = loopback(target_port_);
  Faults faults;
  bool is_refused = false;
  {
    const MutexLock lock(mutex);
    is_refused = is_down;
    if (is_refused) ++counts.refused;
    if (!is_refused && plan) faults = plan(static_cast<unsigned>(counts.connections));
    if (!is_refused) ++counts.connections;
  }
  if (is_refused || connect(server, generic(target), sizeof(target)) != 0) {
    close_with_reset(client);
    close(server);
    return;
  }
  const int yes = 1;
  for (const int fd : {client, server}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  Pair& pair = pairs_.emplace_back();
  pair.fds = {client, server};
  pair.ways[0].faults = faults.to_server;
  pair.ways[1].faults = faults.to_client;
}

void FaultProxy::Loop::end(Pair& pair, End how) {
  for (Way& way : pair.ways) {
    way.queue.clear();
    way.queued_bytes = 0;
  }
  if (how == End::silence) {
    pair.is_silent = true;
    return;
  }
  for (int& fd : pair.fds) {
    if (fd < 0) continue;
    if (how == End::reset) {
      close_with_reset(fd);
    } else {
      close(fd);
    }
    fd = -1;
  }
  pair.is_over = true;
}

void FaultProxy::Loop::read_from(Pair& pair, std::size_t side) {
  Way& way = pair.ways[side];
  Bytes bytes(kPieceBytes);
  const ssize_t got = recv(pair.fds[side], bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (pair.is_silent) {
    if (got > 0) return;    // Dropped.
    close(pair.fds[side]);  // This side has given up; the other is told nothing.
    pair.fds[side] = -1;
    return;
  }
  if (got < 0) return end(pair, End::reset);
  if (got == 0) {
    way.has_ended = true;
    return;
  }
  bytes.resize(static_cast<std::size_t>(got));
  way.queued_bytes += bytes.size();
  way.queue.push_back({Clock::now() + way.faults.delay, std::move(bytes)});
}

// As much as is due, and as one call of send() takes.
void FaultProxy::Loop::pass_on(Pair& pair, std::size_t side) {
  Way& way = pair.ways[side];
  const WayFaults& faults = way.faults;
  const Clock::time_point now = Clock::now();
  if (way.queue.empty() || now < *way.next_at()) return;
  Bytes& bytes = way.queue.front().bytes;
  std::size_t count = bytes.size();
  if (faults.bytes_per_second > 0) count = std::min<std::size_t>(count, faults.bytes_per_second / 50 + 1);
  if (faults.cut_at) count = std::min<std::size_t>(count, *faults.cut_at - std::min(*faults.cut_at, way.passed));
  if (faults.stall_at && !way.has_stalled) {
    count = std::min<std::size_t>(count, *faults.stall_at - std::min(*faults.stall_at, way.passed));
  }
  if (faults.flip_at && way.passed <= *faults.flip_at && *faults.flip_at < way.passed + count) {
    const std::size_t at = *faults.flip_at - way.passed;
    if (at > 0) {
      count = at;  // So that it is the first byte of the next call, and flipped once.
    } else {
      bytes.front() ^= std::byte{1};
      way.faults.flip_at.reset();
      count_it([](Counts& all) { ++all.flips; });
    }
  }
  if (count > 0) {
    const ssize_t sent = send(pair.fds[1 - side], bytes.data(), count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (sent < 0) return end(pair, End::reset);
    const auto passed = static_cast<std::size_t>(sent);
    way.passed += passed;
    way.queued_bytes -= passed;
    count_it([&](Counts& all) { (side == 0 ? all.bytes_to_server : all.bytes_to_client) += passed; });
    if (faults.bytes_per_second > 0) {
      way.not_before = std::max(now, way.not_before) +
                       std::chrono::nanoseconds(std::uint64_t{1'000'000'000} * passed / faults.bytes_per_second);
    }
    bytes.erase(bytes.begin(), bytes.begin() + sent);
    if (bytes.empty()) way.queue.pop_front();
  }
  if (faults.stall_at && !way.has_stalled && way.passed >= *faults.stall_at) {
    way.has_stalled = true;
    way.not_before = now + faults.stall_for;
    count_it([](Counts& all) { ++all.stalls; });
  }
  if (faults.cut_at && way.passed >= *faults.cut_at) {
    count_it([](Counts& all) { ++all.cuts; });
    end(pair, faults.end);
  }
}

void FaultProxy::Loop::run() {
  for (;;) {
    {
      const MutexLock lock(mutex);
      if (is_stopping) return;
    }
    std::vector<pollfd> polled{{listen_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    std::optional<Clock::time_point> next;
    for (const Pair& pair : pairs_) {
      for (std::size_t side = 0; side < 2; ++side) {
        short events = 0;
        if (pair.is_silent || pair.ways[side].wants_more()) events |= POLLIN;
        const auto at = pair.is_silent ? std::nullopt : pair.ways[1 - side].next_at();
        if (at && *at <= Clock::now()) events |= POLLOUT;
        if (at && *at > Clock::now()) next = next ? std::min(*next, *at) : *at;
        polled.push_back({events == 0 ? -1 : pair.fds[side], events, 0});
      }
    }
    const auto wait = next ? std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count() : 1000;
    if (poll(polled.data(), polled.size(), static_cast<int>(std::clamp<std::int64_t>(wait, 0, 1000))) < 0) continue;

    std::size_t index = 2;
    for (Pair& pair : pairs_) {
      const short from_client = polled[index++].revents;
      const short from_server = polled[index++].revents;
      if (!pair.is_over && from_client != 0 && (from_client & ~POLLOUT) != 0) read_from(pair, 0);
      if (!pair.is_over && from_server != 0 && (from_server & ~POLLOUT) != 0) read_from(pair, 1);
      for (std::size_t side = 0; side < 2 && !pair.is_over && !pair.is_silent; ++side) {
        Way& way = pair.ways[side];
        pass_on(pair, side);
        if (pair.is_over || pair.is_silent || !way.has_ended || way.is_shut || !way.queue.empty()) continue;
        shutdown(pair.fds[1 - side], SHUT_WR);
        way.is_shut = true;
      }
      if (!pair.is_over && pair.ways[0].is_shut && pair.ways[1].is_shut) end(pair, End::close);
    }
    std::optional<End> asked;
    {
      const MutexLock lock(mutex);
      asked = std::exchange(end_asked, std::nullopt);
    }
    if (asked) {
      for (Pair& pair : pairs_) {
        if (!pair.is_over) end(pair, *asked);
      }
    }
    pairs_.remove_if([](const Pair& pair) { return pair.is_over; });
    if ((polled[1].revents & POLLIN) != 0) {
      std::uint64_t scrap = 0;
      static_cast<void>(!read(wake_fd_, &scrap, sizeof(scrap)));
    }
    if ((polled[0].revents & POLLIN) != 0) accept_one();
  }
}

FaultProxy::FaultProxy(std::uint16_t target_port) : loop_(std::make_unique<Loop>(target_port)) {}
FaultProxy::~FaultProxy() = default;
std::uint16_t FaultProxy::port() const { return loop_->port; }

void FaultProxy::plan(std::function<Faults(unsigned)> plan) {
  const MutexLock lock(loop_->mutex);
  loop_->plan = std::move(plan);
}

void FaultProxy::set_down(bool down) {
  const MutexLock lock(loop_->mutex);
  loop_->is_down = down;
}

void FaultProxy::end_all(End end) {
  {
    const MutexLock lock(loop_->mutex);
    loop_->end_asked = end;
  }
  loop_->wake();
}

FaultProxy::Counts FaultProxy::counts() const {
  const MutexLock lock(loop_->mutex);
  return loop_->counts;
}

}  // namespace coffer::testing
