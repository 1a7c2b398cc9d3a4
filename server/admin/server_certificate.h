// The server's own certificate, signed by its CA.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/admin/server_folder.h"

namespace coffer::admin {

/// Makes key and certificate where there is none that names all `hosts` and is good for another three months. Names
/// that the old one had stay in it.
Result<void> ensure_server_certificate(const ServerFolder& folder, const tls::Authority& authority,
                                       const std::vector<std::string>& hosts);

/// Whether `host` is among the names of a certificate; IPv6 addresses may be written in any form.
bool names_host(const std::vector<std::string>& hosts, const std::string& host);

}  // namespace coffer::admin
