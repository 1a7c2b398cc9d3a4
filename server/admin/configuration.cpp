#include "server/admin/configuration.h"

#include <unistd.h>

#include <toml++/toml.h>
#include <charconv>
#include <set>
#include <sstream>

#include "server/admin/server_folder.h"

namespace coffer::admin {
namespace {

Error wrong(std::string what) { return {Fault::refused, 0, std::move(what)}; }

Result<std::uint16_t> parse_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || code != std::errc() || end != text.data() + text.size() || port > 65535)
    return wrong("\"" + std::string(text) + "\" is no port; a port is a number from 0 to 65535");
  return static_cast<std::uint16_t>(port);
}

Result<std::vector<std::string>> hosts_in(const toml::table& table) {
  const toml::array* list = table["hosts"].as_array();
  if (list == nullptr || list->empty()) return wrong("hosts must be a list with at least one name");
  std::vector<std::string> hosts;
  for (const toml::node& node : *list) {
    const auto host = node.value<std::string>();
    if (!host || host->empty() || host->size() > 253) return wrong("hosts must be a list of names");
    hosts.push_back(*host);
  }
  return hosts;
}

Result<std::uint64_t> number_in(const toml::table& table, const char* key, std::uint64_t otherwise, std::int64_t min) {
  constexpr std::int64_t kMax = 100'000;
  const auto number = table[key].value<std::int64_t>();
  if (!table.contains(key)) return otherwise;
  if (!number || *number < min || *number > kMax)
    return wrong(std::string(key) + " must be a number from " + std::to_string(min) + " to " + std::to_string(kMax));
  return static_cast<std::uint64_t>(*number);
}

Result<Configuration> configuration_in(const toml::table& table) {
  for (const auto& [key, value] : table) {
    static const std::set<std::string_view> kKnown = {"hosts", "listen", "port", "scrub_mib_per_second", "scrub_days"};
    if (!kKnown.contains(key.str()))
      return wrong("\"" + std::string(key.str()) +
                   "\" is not known; known are hosts, listen, port, scrub_mib_per_second and scrub_days");
  }
  Configuration configuration;
  COFFER_TRY(configuration.hosts, hosts_in(table));
  const auto listen = table["listen"].value<std::string>();
  if (table.contains("listen") && !listen) return wrong("listen must be a text");
  configuration.listen_host = listen.value_or("");
  const auto port = table["port"].value<std::int64_t>();
  if (table.contains("port") && (!port || *port < 0 || *port > 65535)) return wrong("port must be from 0 to 65535");
  if (port) configuration.port = static_cast<std::uint16_t>(*port);
  COFFER_TRY(configuration.scrub_mib_per_second,
             number_in(table, "scrub_mib_per_second", configuration.scrub_mib_per_second, 0));
  COFFER_TRY(configuration.scrub_days, number_in(table, "scrub_days", configuration.scrub_days, 1));
  return configuration;
}

}  // namespace

Result<Address> parse_address(std::string_view text, std::uint16_t default_port) {
  const Error no = wrong("\"" + std::string(text) + "\" is no address; an address is HOST:PORT or [IPv6]:PORT");
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return no;
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return no;
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
    if (host.find(':') != std::string_view::npos) return no;
  }
  if (host.empty() || host.size() > 253 || host.find_first_of(" \t/") != std::string_view::npos) return no;
  if (!has_port && default_port == 0) return no;
  Address address{.host = std::string(host), .port = default_port};
  if (has_port) {
    COFFER_TRY(address.port, parse_port(port));
  }
  return address;
}

std::string format_address(const Address& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

Result<Configuration> read_configuration(const std::string& path, os::Disk& disk) {
  COFFER_TRY(const std::string text, read_text(path, disk));
  try {
    auto configuration = configuration_in(toml::parse(text));
    if (!configuration) return std::move(configuration).error().in(path);
    return configuration;
  } catch (const toml::parse_error& e) {
    std::ostringstream where;
    where << path << " line " << e.source().begin.line << ": " << e.description();
    return wrong(where.str());
  }
}

std::string configuration_text(const Configuration& configuration) {
  std::ostringstream text;
  toml::array hosts;
  for (const std::string& host : configuration.hosts) hosts.push_back(host);
  text << "# Configuration of cofferd; read when the server starts.\n\n"
       << "# Names and IP addresses by which clients reach this server. The first one is written into tokens; all are\n"
       << "# in the server's certificate, which the server makes anew when this list has grown.\n"
       << "hosts = " << hosts << "\n\n"
       << "# The address to listen on; empty for all of this machine.\n"
       << "listen = " << toml::value<std::string>(configuration.listen_host) << "\n"
       << "port = " << configuration.port << "\n\n"
       << "# Every chunk is read back and compared once in this many days, at this rate; 0 for never.\n"
       << "scrub_mib_per_second = " << configuration.scrub_mib_per_second << "\n"
       << "scrub_days = " << configuration.scrub_days << "\n";
  return text.str();
}

std::vector<std::string> default_hosts() {
  std::vector<std::string> hosts;
  char name[256] = {};
  if (::gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0') hosts.emplace_back(name);
  for (const char* loopback : {"localhost", "127.0.0.1", "::1"}) {
    if (std::find(hosts.begin(), hosts.end(), loopback) == hosts.end()) hosts.emplace_back(loopback);
  }
  return hosts;
}

}  // namespace coffer::admin
