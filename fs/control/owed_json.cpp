#include "fs/control/owed_json.h"

namespace coffer::control {

nlohmann::ordered_json to_json(const vault::OwedEntry& entry) {
  return {{"path", entry.path},
          {"what", entry.what},
          {"bytes", entry.bytes},
          {"since_ns", entry.since_ns},
          {"why", entry.why}};
}

vault::OwedEntry owed_entry_of(const nlohmann::json& object) {
  vault::OwedEntry entry;
  entry.path = object.value("path", "");
  entry.what = object.value("what", std::vector<std::string>());
  entry.bytes = object.value("bytes", std::uint64_t{0});
  entry.since_ns = object.value("since_ns", std::int64_t{0});
  entry.why = object.value("why", "");
  return entry;
}

}  // namespace coffer::control
