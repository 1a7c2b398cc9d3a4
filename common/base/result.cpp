#include "common/base/result.h"

#include <cerrno>
#include <system_error>

namespace coffer {

std::string_view fault_name(Fault fault) noexcept {
  switch (fault) {
    case Fault::answer: return "answer";
    case Fault::offline: return "offline";
    case Fault::refused: return "refused";
    case Fault::full: return "full";
    case Fault::corrupt: return "corrupt";
    case Fault::protocol: return "protocol";
    case Fault::local_io: return "local_io";
    case Fault::stopped: return "stopped";
  }
  return "unknown";
}

Error Error::in(std::string_view place) && {
  what.insert(0, ": ").insert(0, place);
  return std::move(*this);
}

Error answer(int code) { return {Fault::answer, code, std::generic_category().message(code)}; }

Error os_error(int code, std::string_view call) {
  const bool full = code == ENOSPC || code == EDQUOT;
  Error error{full ? Fault::full : Fault::local_io, code, std::generic_category().message(code)};
  return std::move(error).in(call);
}

}  // namespace coffer
