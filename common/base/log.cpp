#include "common/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "common/base/escape.h"

namespace coffer::log {
namespace {

spdlog::logger& logger() {
  // Never destroyed: a thread that ends late may still write its last line.
  static spdlog::logger& instance = *[] {
    auto* created = new spdlog::logger("coffer", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    created->flush_on(spdlog::level::info);
    return created;
  }();
  return instance;
}

/// A peer chooses some of these bytes: it must not be able to forge a line, or to steer the terminal that shows it.
void append_value(std::string& line, std::string_view value) {
  const std::string safe = base::escaped(value, "\"\\");
  const bool needs_quotes = safe.empty() || safe != value || safe.find_first_of(" =") != std::string::npos;
  if (needs_quotes) line += '"';
  line += safe;
  if (needs_quotes) line += '"';
}

void write(spdlog::level::level_enum level, std::string_view event, std::initializer_list<Field> fields) {
  if (!logger().should_log(level)) return;
  std::string line(event);
  for (const Field& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_value(line, field.value);
  }
  logger().log(level, "{}", line);
}

}  // namespace

void set_level(Level level) {
  switch (level) {
    case Level::debug: return logger().set_level(spdlog::level::debug);
    case Level::info: return logger().set_level(spdlog::level::info);
    case Level::warn: return logger().set_level(spdlog::level::warn);
    case Level::error: return logger().set_level(spdlog::level::err);
    case Level::off: return logger().set_level(spdlog::level::off);
  }
}

void debug(std::string_view event, std::initializer_list<Field> fields) { write(spdlog::level::debug, event, fields); }
void info(std::string_view event, std::initializer_list<Field> fields) { write(spdlog::level::info, event, fields); }
void warn(std::string_view event, std::initializer_list<Field> fields) { write(spdlog::level::warn, event, fields); }
void error(std::string_view event, std::initializer_list<Field> fields) { write(spdlog::level::err, event, fields); }

}  // namespace coffer::log
