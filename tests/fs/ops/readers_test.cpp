#include "fs/ops/readers.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "common/os/fd.h"
#include "common/os/long_wait.h"

namespace coffer::ops {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr auto kPatience = 30s;
/// Whatever the machine is busy with, a request that comes after an answer makes a series, and nobody replaces a lead.
const Readers::Options kAlwaysSeries{.knows_series = true, .series_gap = 1h, .watch_interval = 1h, .crowd_time = 1h};

/// Threads that read requests from a socket, as libfuse's read them from its device, and answer each with the number of
/// the thread.
class Pool {
 public:
  using Work = std::function<void(char request)>;  // Before the answer.

  Pool(
      const Readers::Options& options, int threads, Work work = [](char) {})
      : readers_(options), work_(std::move(work)) {
    EXPECT_TRUE(readers_.open());
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    device_ = os::Fd(ends[0]);
    kernel_ = os::Fd(ends[1]);
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this, i] { run(char(i)); });
  }
  ~Pool() {
    ::shutdown(kernel_.get(), SHUT_WR);
    for (std::thread& thread : threads_) thread.join();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void ask(char request = '?') { EXPECT_EQ(::send(kernel_.get(), &request, 1, 0), 1); }
  /// Which thread answered.
  int answer() {
    char who = 0;
    EXPECT_EQ(::recv(kernel_.get(), &who, 1, 0), 1);
    return who;
  }
  int ask_and_wait() {
    ask();
    return answer();
  }
  /// Asks until one thread reads all: that one. The others may not have begun yet, so a few are not enough.
  int make_lead() {
    int last = -1;
    for (int in_a_row = 0; in_a_row < 100;) {
      const int who = ask_and_wait();
      in_a_row = who == last ? in_a_row + 1 : 0;
      last = who;
    }
    return last;
  }
  void cancel() {
    for (std::thread& thread : threads_) ::pthread_cancel(thread.native_handle());
  }

 private:
  void run(char self) {
    char request = 0;
    while (readers_.read(device_.get(), &request, 1) > 0) {
      int state = 0;
      ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);  // As in libfuse.
      work_(request);
      readers_.about_to_answer(device_.get());
      EXPECT_EQ(::send(device_.get(), &self, 1, 0), 1);
      ::pthread_setcancelstate(state, nullptr);
    }
  }

  Readers readers_;
  Work work_;
  os::Fd device_;
  os::Fd kernel_;
  std::vector<std::thread> threads_;
};

// Claim: whatever the order in which requests come, each is read once, and nobody waits for his turn for ever. Method:
// a thousand requests, up to eight of them at once; the test ends if all are answered and all threads end.
TEST(Readers, AreAllAnsweredAndComeToTheirEnd) {
  for (const bool knows_series : {false, true}) {
    Pool pool({.knows_series = knows_series}, 8);
    for (int round = 0; round < 250; ++round) {
      const int at_once = round % 8 + 1;
      for (int i = 0; i < at_once; ++i) pool.ask();
      for (int i = 0; i < at_once; ++i) pool.answer();
    }
  }
}

// Claim: of requests that come one after the other one thread reads all. Method: the test ends if make_lead() does.
TEST(Readers, LeaveASeriesToOneOfThem) {
  Pool pool(kAlwaysSeries, 4);
  pool.make_lead();
}

/// A lead gets a request that it answers only when another one, asked after it, is answered: by another thread.
void expect_replaced(const Readers::Options& options, const std::function<void()>& before_it_waits) {
  std::promise<void> other_is_answered;
  const std::shared_future<void> wait = other_is_answered.get_future().share();
  Pool pool(options, 4, [&](char request) {
    if (request != 'w') return;
    before_it_waits();
    EXPECT_EQ(wait.wait_for(kPatience), std::future_status::ready);
  });
  const int lead = pool.make_lead();
  pool.ask('w');
  EXPECT_NE(pool.ask_and_wait(), lead);
  other_is_answered.set_value();
  pool.answer();
}

TEST(Readers, ReplaceALeadThatDoesNotComeBack) {
  expect_replaced({.knows_series = true, .series_gap = 1h, .watch_interval = 20ms}, [] {});
}

// Claim: a lead that says that it will wait is replaced at once. Method: nobody would look after it.
TEST(Readers, ReplaceALeadThatIsAboutToWait) { expect_replaced(kAlwaysSeries, os::begin_long_wait); }

// Claim: requests that pile up are answered by several threads, also in a series. Method: they pile up behind one that
// the lead answers later; then some answer waits until another thread has a request, too. Nobody would look after a
// lead.
TEST(Readers, ShareWhatPilesUp) {
  std::promise<void> has_piled_up;
  std::promise<void> are_two;
  const std::shared_future<void> piled = has_piled_up.get_future().share();
  const std::shared_future<void> two = are_two.get_future().share();
  std::atomic<int> inside = 0;
  Pool pool(kAlwaysSeries, 4, [&](char request) {
    if (request == 'p') {
      EXPECT_EQ(piled.wait_for(kPatience), std::future_status::ready);
    }
    if (request != 'w') return;
    if (++inside == 2) are_two.set_value();
    EXPECT_EQ(two.wait_for(kPatience), std::future_status::ready);
  });
  pool.make_lead();
  pool.ask('p');
  for (int i = 0; i < 8; ++i) pool.ask();
  for (int i = 0; i < 2; ++i) pool.ask('w');
  has_piled_up.set_value();
  for (int i = 0; i < 11; ++i) pool.answer();
}

// Claim: threads may be cancelled while they wait, whatever they wait for. Method: with a lead and a stand-in, and more
// of them; the test ends if all threads end, and sanitizers see what is left behind.
TEST(Readers, MayBeCancelled) {
  Pool pool(kAlwaysSeries, 4);
  pool.make_lead();
  pool.cancel();
}

}  // namespace
}  // namespace coffer::ops
