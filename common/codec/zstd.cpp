#include <zstd.h>

#include <memory>

#include "common/base/check.h"
#include "common/codec/codec.h"

namespace coffer::codec {
namespace {

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

template <class Context>
Context* checked(Context* context) {
  COFFER_CHECK(context != nullptr);
  return context;
}

/// One ordinary frame and nothing else: ZSTD_decompressDCtx() would also take several, and skip what is marked so.
bool is_one_frame(ByteView packed) {
  std::uint32_t magic = 0;
  if (packed.size() < sizeof(magic)) return false;
  std::memcpy(&magic, packed.data(), sizeof(magic));
  return magic == ZSTD_MAGICNUMBER && ZSTD_findFrameCompressedSize(packed.data(), packed.size()) == packed.size();
}

}  // namespace

std::size_t zstd_compress(ByteView plain, int level, MutableByteView into) {
  static thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(checked(ZSTD_createCCtx()));
  const std::size_t packed =
      ZSTD_compressCCtx(context.get(), into.data(), into.size(), plain.data(), plain.size(), level);
  return ZSTD_isError(packed) != 0 ? 0 : packed;
}

Result<void> zstd_decompress(ByteView packed, MutableByteView into) {
  static thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(checked(ZSTD_createDCtx()));
  if (!is_one_frame(packed)) return Error{Fault::corrupt, 0, "not one zstd frame"};
  const std::size_t plain = ZSTD_decompressDCtx(context.get(), into.data(), into.size(), packed.data(), packed.size());
  if (plain != into.size()) return Error{Fault::corrupt, 0, "zstd frame does not hold what it should"};
  return {};
}

}  // namespace coffer::codec
