// One line an event: a time, a level, the event's name, and key=value fields.
//
// Never a key, never a file name, never content: a log may be sent to a stranger who helps.
// Control characters in a value, and what is no UTF-8, are escaped. Thread-safe. Lines go to stderr.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace coffer::log {

struct Field {
  std::string_view key;
  std::string value;

  Field(std::string_view name, std::string_view text) : key(name), value(text) {}
  Field(std::string_view name, const char* text) : key(name), value(text) {}
  Field(std::string_view name, const std::string& text) : key(name), value(text) {}
  template <class T>
  requires std::is_arithmetic_v<T> Field(std::string_view name, T number) : key(name), value(std::to_string(number)) {}
};

enum class Level { debug, info, warn, error, off };

/// What is below `level` is not written. The default is info.
void set_level(Level level);

void debug(std::string_view event, std::initializer_list<Field> fields = {});
void info(std::string_view event, std::initializer_list<Field> fields = {});
void warn(std::string_view event, std::initializer_list<Field> fields = {});
void error(std::string_view event, std::initializer_list<Field> fields = {});

}  // namespace coffer::log
