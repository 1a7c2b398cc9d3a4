// Strong<T, Tag>: a number with a meaning. An InodeId is not a FileOffset, and the compiler says so.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>

namespace coffer {

template <class T, class Tag>
class Strong {
 public:
  using value_type = T;

  constexpr Strong() = default;
  constexpr explicit Strong(T value) : value_(value) {}

  constexpr T value() const { return value_; }
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;

 private:
  T value_{};
};

}  // namespace coffer

template <class T, class Tag>
struct std::hash<coffer::Strong<T, Tag>> {
  std::size_t operator()(const coffer::Strong<T, Tag>& strong) const noexcept { return std::hash<T>()(strong.value()); }
};
