#include "server/admin/text_table.h"

#include <algorithm>
#include <ctime>

namespace coffer::admin {

void print_table(std::ostream& to, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      to << row[i];
      if (i + 1 < row.size()) to << std::string(widths[i] - row[i].size() + 2, ' ');
    }
    to << '\n';
  }
}

std::string format_time(std::int64_t ns) {
  const std::time_t seconds = ns / 1'000'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {text, length};
}

}  // namespace coffer::admin
