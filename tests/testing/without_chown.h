// This thread as one that cannot give files away, though it is root's.
#pragma once

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "common/base/check.h"

namespace coffer::testing {

/// While it lives, chown(2) to another user fails in this thread, as it does for everyone but root.
class WithoutChown {
 public:
  WithoutChown() {
    COFFER_CHECK(::syscall(SYS_capget, &header_, before_.data()) == 0);
    std::array<__user_cap_data_struct, 2> less = before_;
    less[0].effective &= ~(1u << CAP_CHOWN | 1u << CAP_FSETID);
    COFFER_CHECK(::syscall(SYS_capset, &header_, less.data()) == 0);
  }
  ~WithoutChown() { COFFER_CHECK(::syscall(SYS_capset, &header_, before_.data()) == 0); }
  WithoutChown(const WithoutChown&) = delete;
  WithoutChown& operator=(const WithoutChown&) = delete;

 private:
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> before_{};
};

}  // namespace coffer::testing
