#include "common/crypto/wipe.h"

#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"

namespace coffer::crypto {
namespace {

constexpr std::size_t kLockedHeapBytes = 1u << 20;
constexpr std::size_t kLockedBlockBytesMin = 16;

}  // namespace

void protect_process_memory() {
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
  // The limit stops a dump to a file, PR_SET_DUMPABLE one to a pipe (core(5)), and ptrace(2) by the same user.
  if (setrlimit(RLIMIT_CORE, &no_core) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    log::warn("memory.core_dumps_stay_on");
  }
  if (CRYPTO_secure_malloc_initialized() == 1) return;
  // 1: locked; 2: there, but mlock(2) failed; 0: not there, and every Secret lives on the ordinary heap.
  if (CRYPTO_secure_malloc_init(kLockedHeapBytes, kLockedBlockBytesMin) != 1) log::warn("memory.not_locked");
}

void wipe(MutableByteView bytes) noexcept {
  if (!bytes.empty()) OPENSSL_cleanse(bytes.data(), bytes.size());
}

Secret::Secret(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* memory = OPENSSL_secure_zalloc(bytes);            // The ordinary heap where there is no locked one.
  if (memory == nullptr) memory = OPENSSL_zalloc(bytes);  // The locked heap is full.
  COFFER_CHECK(memory != nullptr);
  data_ = static_cast<std::byte*>(memory);
}

Secret Secret::copy_of(ByteView bytes) {
  Secret secret(bytes.size());
  if (!bytes.empty()) std::memcpy(secret.data_, bytes.data(), bytes.size());
  return secret;
}

Secret::~Secret() { OPENSSL_secure_clear_free(data_, size_); }  // It knows which heap the bytes came from.

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  Secret taken(std::move(other));
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  return *this;
}

}  // namespace coffer::crypto
