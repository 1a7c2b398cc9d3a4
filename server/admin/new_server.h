// What `cofferd init` puts into a folder, in an order in which it may be cut off anywhere and begun again.
#pragma once

#include "common/base/result.h"
#include "server/admin/configuration.h"
#include "server/admin/server_folder.h"

namespace coffer::admin {

/// Only a folder that is not there, or is empty, or holds what an init left that was cut off, becomes a server.
/// Fault::refused otherwise, with what to do.
Result<void> check_free(const ServerFolder& folder);

/// Makes what is not there yet, and overwrites nothing: what an earlier run finished may be known to somebody. The
/// configuration comes last: a folder with one is a whole server, and on stable storage when this returns.
Result<void> make_server(const ServerFolder& folder, const Configuration& configuration);

}  // namespace coffer::admin
