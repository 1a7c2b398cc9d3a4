// What a thread has to do before it waits for long: a thread of a pool lets another one take its place.
#pragma once

namespace coffer::os {

/// From now on begin_long_wait() of the calling thread calls `leave` with `pool`, which must outlive the thread or be
/// replaced by another one; null for nothing. It must not throw or wait.
void on_long_wait(void (*leave)(void* pool), void* pool);

/// To be called by whoever is about to wait: for another machine, for room, or for work of other threads that takes
/// milliseconds. With locks or without; twice is harmless.
void begin_long_wait();

}  // namespace coffer::os
