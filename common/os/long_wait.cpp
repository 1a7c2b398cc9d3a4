#include "common/os/long_wait.h"

namespace coffer::os {
namespace {

struct Pool {
  void (*leave)(void* pool) = nullptr;
  void* pool = nullptr;
};
thread_local Pool of_this_thread;

}  // namespace

void on_long_wait(void (*leave)(void* pool), void* pool) { of_this_thread = {leave, pool}; }

void begin_long_wait() {
  if (of_this_thread.leave != nullptr) of_this_thread.leave(of_this_thread.pool);
}

}  // namespace coffer::os
