// An owed path as the control socket and `coffer owed list --json` say it.
#pragma once

#include <nlohmann/json.hpp>

#include "fs/vault/owed.h"

namespace coffer::control {

/// {"path":"/a","what":["content","name"],"bytes":1,"since_ns":1,"why":"a sentence"}
nlohmann::ordered_json to_json(const vault::OwedEntry& entry);
/// Missing fields stay empty; throws nlohmann::json::exception where one has another type.
vault::OwedEntry owed_entry_of(const nlohmann::json& object);

}  // namespace coffer::control
