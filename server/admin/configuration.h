// D/cofferd.toml: where the server listens, and the names by which clients reach it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/os/disk.h"

namespace coffer::admin {

struct Address {
  std::string host;  ///< A name or an IP address, without brackets.
  std::uint16_t port = 0;

  friend bool operator==(const Address&, const Address&) = default;
};

/// "HOST:PORT", "[IPv6]:PORT", and with `default_port` "HOST" too. Fault::refused says what is wrong.
Result<Address> parse_address(std::string_view text, std::uint16_t default_port = 0);
/// The same again; IPv6 addresses in brackets.
std::string format_address(const Address& address);

struct Configuration {
  std::vector<std::string> hosts;  ///< At least one. The first goes into tokens, all into the server's certificate.
  std::string listen_host;         ///< Empty: every address of the machine.
  std::uint16_t port = limits::kDefaultPort;
  std::uint64_t scrub_mib_per_second = 8;  ///< 0: nothing is read back.
  std::uint64_t scrub_days = 7;            ///< From the beginning of one round to that of the next.
};

/// Fault::refused, with the line, for what is not a configuration or has an unknown key.
Result<Configuration> read_configuration(const std::string& path, os::Disk& disk = os::real_disk());
/// The text of a new file, with comments.
std::string configuration_text(const Configuration& configuration);

/// The names by which this machine is likely to be reached: its host name, and loopback.
std::vector<std::string> default_hosts();

}  // namespace coffer::admin
