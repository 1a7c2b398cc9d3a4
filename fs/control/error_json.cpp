#include "fs/control/error_json.h"

#include <nlohmann/json.hpp>

namespace coffer::control {

std::string error_line(const Error& error) {
  const nlohmann::json line{
      {"ok", false}, {"fault", std::string(fault_name(error.fault))}, {"code", error.code}, {"what", error.what}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Error error_from(const std::string& fault, int code, const std::string& what) {
  for (const Fault known : {Fault::answer, Fault::offline, Fault::refused, Fault::full, Fault::corrupt, Fault::protocol,
                            Fault::local_io, Fault::stopped}) {
    if (fault_name(known) == fault) return {known, code, what};
  }
  return {Fault::protocol, code, what};
}

}  // namespace coffer::control
