// Rows with columns that line up, and times, for a person.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

namespace coffer::admin {

/// The first row is the heading.
void print_table(std::ostream& to, const std::vector<std::vector<std::string>>& rows);

/// "2024-05-01T12:00:00Z" from nanoseconds since 1970.
std::string format_time(std::int64_t ns);

}  // namespace coffer::admin
