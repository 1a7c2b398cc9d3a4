// Host names to addresses.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace coffer::rpc {

/// The addresses of `host`, in the order in which they are to be tried. An address is taken as it is. Fault::offline
/// where there is none or `deadline` has passed; Fault::stopped soon after `is_aborted` became true.
boost::asio::awaitable<Result<std::vector<boost::asio::ip::tcp::endpoint>>> resolve(
    std::string host, std::uint16_t port, std::chrono::steady_clock::time_point deadline, const bool& is_aborted);

}  // namespace coffer::rpc
