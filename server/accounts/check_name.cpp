#include <algorithm>

#include "server/accounts/records.h"

namespace coffer::accounts {
namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

Result<void> check_name(std::string_view name) {
  const bool fits =
      !name.empty() && name.size() <= 64 && is_letter_or_digit(name.front()) &&
      std::ranges::all_of(name, [](char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
  if (fits) return {};
  return Error{Fault::refused, 0,
               "a name has 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or digit"};
}

}  // namespace coffer::accounts
