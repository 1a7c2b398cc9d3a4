// Bytes, views of bytes, and a reader and a writer of little-endian fields that cannot overrun.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace coffer {

static_assert(std::endian::native == std::endian::little, "formats are little-endian and copied as they are");

using ByteView = std::span<const std::byte>;
using MutableByteView = std::span<std::byte>;

/// An allocator that leaves new bytes as they are: a buffer that is read into is not zeroed first.
template <class T>
struct UninitializedAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = UninitializedAllocator<U>;
  };
  template <class U>
  void construct(U* at) noexcept(std::is_nothrow_default_constructible_v<U>) {
    ::new (static_cast<void*>(at)) U;
  }
  template <class U, class... Args>
  void construct(U* at, Args&&... args) {
    ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }
};

/// Owned bytes. Bytes(n) and resize(n) leave new bytes uninitialized.
using Bytes = std::vector<std::byte, UninitializedAllocator<std::byte>>;

inline ByteView as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view as_text(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
/// memcpy(3), which insert() and the like do not use with an allocator of one's own.
inline void append(Bytes& to, ByteView bytes) {
  const std::size_t at = to.size();
  to.resize(at + bytes.size());
  if (!bytes.empty()) std::memcpy(to.data() + at, bytes.data(), bytes.size());
}
inline Bytes copy_of(ByteView bytes) {
  Bytes copy;
  append(copy, bytes);
  return copy;
}

/// Appends little-endian fields to a Bytes that it does not own.
class Writer {
 public:
  explicit Writer(Bytes& to) : to_(to) {}

  template <class T>
  requires std::is_unsigned_v<T>
  void put(T value) { append(to_, std::as_bytes(std::span(&value, 1))); }
  void put_bytes(ByteView bytes) { append(to_, bytes); }

 private:
  Bytes& to_;
};

/// Reads little-endian fields from bytes that may come from anyone.
///
/// A read past the end fails with Fault::corrupt and moves nothing.
class Reader {
 public:
  explicit Reader(ByteView from) : rest_(from) {}

  template <class T>
  requires std::is_unsigned_v<T> Result<T> get() {
    if (rest_.size() < sizeof(T)) return Error{Fault::corrupt, 0, "record ends early"};
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  Result<ByteView> get_bytes(std::size_t count) {
    if (rest_.size() < count) return Error{Fault::corrupt, 0, "record ends early"};
    const ByteView taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  ByteView rest() const { return rest_; }

 private:
  ByteView rest_;
};

}  // namespace coffer
