// Runs one FUSE operation: nothing is thrown through libfuse, which is C, and a failure is an answer.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "fs/ops/context.h"
#include "fs/ops/reply.h"

namespace coffer::ops {

inline files::FileSystem& file_system(fuse_req_t req) { return context(req).file_system; }

/// `operation(Reply&)` returns Result<void>: it has answered, or moved the Reply to whoever will, or failed.
template <class Operation>
void guarded(Reply reply, Operation&& operation) {
  try {
    if (Result<void> result = operation(reply); !result) reply.error(result.error());
  } catch (const std::bad_alloc&) {
    if (reply.is_open()) reply.error({Fault::full, 0, "out of memory"});
  } catch (const std::exception& e) {
    if (reply.is_open()) reply.error({Fault::local_io, 0, e.what()});
  }
}

template <class Operation>
void guarded(fuse_req_t req, Operation&& operation) {
  guarded(Reply(req), std::forward<Operation>(operation));
}

/// The same on a thread that may wait for long, so that the threads which answer the kernel stay free.
template <class Operation>
void guarded_waiting(fuse_req_t req, Operation operation) {
  auto reply = std::make_shared<Reply>(req);
  context(req).waiters.run([reply, operation = std::move(operation)] { guarded(std::move(*reply), operation); });
}

}  // namespace coffer::ops
