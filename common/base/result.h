// Errors as values: Result<T> holds a T or an Error, and an Error says what can be done about it.
//
// Result is shaped like C++23's std::expected<T, Error>, so that it can become it. COFFER_TRY and COFFER_DO
// hand an Error on to the caller; COFFER_CO_TRY and COFFER_CO_DO do so in a coroutine. No other macro hides
// control flow.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "common/base/check.h"

namespace coffer {

/// What can be done about an Error; fs/ops/errno.h says what an application is told.
enum class Fault {
  answer,    ///< No fault: POSIX's own answer, an errno in `code`.
  offline,   ///< The server cannot be reached now: owed work waits, a read waits for its deadline.
  refused,   ///< The server understood and said no: not retried; `code` may hold an errno.
  full,      ///< A local budget is used up: writers wait or fail, nothing is dropped.
  corrupt,   ///< Bytes do not match their name or tag: that copy is set aside, another is sought.
  protocol,  ///< The peer broke PROTOCOL.md: the session ends.
  local_io,  ///< The local disk failed: the mount turns read-only.
  stopped,   ///< Our own deadline or shutdown: unwinds quietly.
};

/// The fault's name as logs and `--json` show it.
std::string_view fault_name(Fault fault) noexcept;

struct [[nodiscard]] Error {
  Fault fault = Fault::local_io;
  int code = 0;      ///< An errno where the fault's table row says so, else 0.
  std::string what;  ///< For a person; grows on the way up. Nobody parses it. Never a key or a file name.

  /// The same error with "`place`: " before its text.
  [[nodiscard]] Error in(std::string_view place) &&;
};

/// POSIX's own answer `code`, such as ENOENT: told to the caller, not logged.
Error answer(int code);

/// An Error from `errno` after a failed system call `call`: ENOSPC and EDQUOT are Fault::full, others Fault::local_io.
Error os_error(int code, std::string_view call);

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  // NOLINTBEGIN(google-explicit-constructor,bugprone-forwarding-reference-overload): `return value;` is the point.
  template <class U = T>
  requires(std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error>) Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  // NOLINTEND(google-explicit-constructor,bugprone-forwarding-reference-overload)

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & { return checked(); }
  const T& value() const& { return checked(); }
  T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return checked(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &checked(); }

  Error& error() & { return checked_error(); }
  const Error& error() const& { return checked_error(); }
  Error&& error() && { return std::move(checked_error()); }

  template <class U>
  T value_or(U&& other) && {
    return has_value() ? std::move(checked()) : static_cast<T>(std::forward<U>(other));
  }

 private:
  T& checked() {
    COFFER_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& checked() const {
    COFFER_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  Error& checked_error() {
    COFFER_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }
  const Error& checked_error() const {
    COFFER_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }

  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const { COFFER_CHECK(has_value()); }
  void operator*() const { value(); }

  Error& error() & {
    COFFER_CHECK(!has_value());
    return *error_;
  }
  const Error& error() const& {
    COFFER_CHECK(!has_value());
    return *error_;
  }
  Error&& error() && {
    COFFER_CHECK(!has_value());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace coffer

#define COFFER_CAT_(a, b) a##b
#define COFFER_CAT(a, b) COFFER_CAT_(a, b)

#define COFFER_TRY_(keyword, result, decl, ...)         \
  auto result = (__VA_ARGS__);                          \
  if (!(result)) [[unlikely]] {                         \
    keyword ::coffer::Error(std::move(result).error()); \
  }                                                     \
  decl = *std::move(result)

#define COFFER_DO_(keyword, result, ...)                       \
  do {                                                         \
    if (auto result = (__VA_ARGS__); !(result)) [[unlikely]] { \
      keyword ::coffer::Error(std::move(result).error());      \
    }                                                          \
  } while (false)

/// COFFER_TRY(const T name, expression): declares `name` with the value, or returns the Error.
#define COFFER_TRY(decl, ...) COFFER_TRY_(return, COFFER_CAT(coffer_result_, __LINE__), decl, __VA_ARGS__)
/// COFFER_DO(expression): goes on if it worked, or returns the Error.
#define COFFER_DO(...) COFFER_DO_(return, COFFER_CAT(coffer_result_, __LINE__), __VA_ARGS__)
#define COFFER_CO_TRY(decl, ...) COFFER_TRY_(co_return, COFFER_CAT(coffer_result_, __LINE__), decl, __VA_ARGS__)
#define COFFER_CO_DO(...) COFFER_DO_(co_return, COFFER_CAT(coffer_result_, __LINE__), __VA_ARGS__)
