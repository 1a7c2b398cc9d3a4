#include "fs/ops/readers.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace coffer::ops {

Result<void> Readers::open() {
  turns_ = os::Fd(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
  return turns_.is_open() ? Result<void>() : os_error(errno, "FUSE");
}

bool Readers::has_to_wait() {
  const MutexLock lock(mutex_);
  const bool has_to = reading_ >= kReadersMax;
  ++(has_to ? waiting_ : reading_);
  return has_to;
}

void Readers::enter() {
  if (!has_to_wait()) return;
  std::uint64_t turn = 0;
  while (::read(turns_.get(), &turn, sizeof(turn)) < 0 && errno == EINTR) {
  }
}

void Readers::leave() {
  {
    const MutexLock lock(mutex_);
    --reading_;
    if (reading_ > 0 || waiting_ == 0) return;
    ++reading_;
    --waiting_;
  }
  ::eventfd_write(turns_.get(), 1);
}

}  // namespace coffer::ops
