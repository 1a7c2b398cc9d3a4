// Whether certificates and keys of a server are whole, fit each other, and are in time.
#pragma once

#include <string>
#include <vector>

#include "server/admin/server_folder.h"

namespace coffer::admin {

/// A sentence for each file that is not, with what to do.
std::vector<std::string> check_identity(const ServerFolder& folder);

}  // namespace coffer::admin
