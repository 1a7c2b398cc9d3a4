#include "net/rpc/task_group.h"

#include "common/base/log.h"

namespace coffer::rpc {

void log_exception(std::exception_ptr exception) noexcept {
  try {
    std::rethrow_exception(std::move(exception));
  } catch (const std::exception& e) {
    log::error("task failed", {{"what", e.what()}});
  } catch (...) {
    log::error("task failed", {{"what", "unknown exception"}});
  }
}

}  // namespace coffer::rpc
