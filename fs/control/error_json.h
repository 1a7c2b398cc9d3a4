// Errors as the control socket's last line. For fs/control only.
#pragma once

#include <string>

#include "common/base/result.h"

namespace coffer::control {

/// {"ok":false,"fault":"offline","code":110,"what":"a sentence"}
std::string error_line(const Error& error);
/// The Error of such a line's three fields.
Error error_from(const std::string& fault, int code, const std::string& what);

}  // namespace coffer::control
