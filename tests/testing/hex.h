// Bytes written in a test as hexadecimal; spaces between them are skipped.
#pragma once

#include <string>
#include <string_view>

#include "common/base/text.h"

namespace coffer::testing {

inline Bytes hex(std::string_view text) {
  std::string digits(text);
  std::erase(digits, ' ');
  return base::from_hex(digits).value();
}

}  // namespace coffer::testing
