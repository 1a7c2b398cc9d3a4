// Client certificates as this server issues them.
#pragma once

#include <string>

#include "server/service/service.h"

namespace coffer::service {

struct Certified {
  std::string pem;
  accounts::Certificate facts;
};

/// A certificate for the key of `csr`, valid for a year, that names the client. Fault::refused where the request's
/// own signature does not hold or its key is weak; Fault::protocol where it is none.
Result<Certified> certify(const Parts& parts, ByteView csr, const object::ClientId& id, const std::string& name);

}  // namespace coffer::service
