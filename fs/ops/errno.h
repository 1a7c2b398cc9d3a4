// What an application is told of an Error.
#pragma once

#include <cerrno>

#include "common/base/check.h"
#include "common/base/result.h"

namespace coffer::ops {

/// The one switch from Fault to errno. It has no default: a new Fault does not compile until someone decides here.
inline int errno_for(const Error& error) {
  switch (error.fault) {
    case Fault::answer: return error.code;
    case Fault::offline: return ETIMEDOUT;
    case Fault::refused: return error.code != 0 ? error.code : EACCES;
    case Fault::full: return ENOSPC;
    case Fault::corrupt: return EIO;
    case Fault::protocol: return EIO;
    case Fault::local_io: return EIO;
    case Fault::stopped: return EINTR;
  }
  COFFER_CHECK(false);
}

}  // namespace coffer::ops
