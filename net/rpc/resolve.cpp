#include "net/rpc/resolve.h"

#include <netdb.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstring>
#include <memory>
#include <thread>

#include "net/rpc/event.h"

namespace coffer::rpc {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::steady_clock;

namespace {

/// Between two looks at whether the thread is done.
constexpr auto kStepMin = std::chrono::milliseconds(1);
constexpr auto kStepMax = std::chrono::milliseconds(20);

struct Lookup {
  std::vector<tcp::endpoint> found;  ///< Written before `is_done`.
  std::string error;
  std::atomic<bool> is_done = false;
};

void look_up(const std::string& host, std::uint16_t port, Lookup& lookup) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int failed = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (failed != 0) lookup.error = gai_strerror(failed);
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    tcp::endpoint endpoint;
    if (one->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), one->ai_addr, one->ai_addrlen);
    endpoint.resize(one->ai_addrlen);
    endpoint.port(port);
    lookup.found.push_back(endpoint);
  }
  if (list != nullptr) freeaddrinfo(list);
  lookup.is_done = true;
}

}  // namespace

asio::awaitable<Result<std::vector<tcp::endpoint>>> resolve(std::string host, std::uint16_t port,
                                                            steady_clock::time_point deadline, const bool& is_aborted) {
  boost::system::error_code not_an_address;
  const asio::ip::address address = asio::ip::make_address(host, not_an_address);
  if (!not_an_address) co_return std::vector<tcp::endpoint>{tcp::endpoint(address, port)};

  // getaddrinfo(3) may take half a minute without a network and cannot be interrupted, and Asio's resolver waits for it
  // when the io_context goes. So it runs in a thread that owns all it touches, and that nobody waits for.
  const auto lookup = std::make_shared<Lookup>();
  std::thread([lookup, host, port] { look_up(host, port, *lookup); }).detach();
  Event pause(co_await asio::this_coro::executor);
  for (auto step = kStepMin; !lookup->is_done; step = std::min(2 * step, kStepMax)) {
    if (is_aborted) co_return Error{Fault::stopped, 0, "given up"};
    if (steady_clock::now() >= deadline)
      co_return Error{Fault::offline, 0, "the name of the server cannot be resolved in time"};
    co_await pause.wait(steady_clock::now() + step);
  }
  if (lookup->found.empty()) co_return Error{Fault::offline, 0, host + ": " + lookup->error};
  co_return std::move(lookup->found);
}

}  // namespace coffer::rpc
