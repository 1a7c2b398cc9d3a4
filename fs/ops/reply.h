// The edge to the kernel: every request is answered, and answered once.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <memory>
#include <stop_token>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "fs/files/file_system.h"
#include "fs/ops/fuse.h"

namespace coffer::ops {

struct Context;

/// One request that waits for its answer. Dropping it answers EIO and counts as a bug.
///
/// May be moved to another thread, which then answers.
class Reply {
 public:
  explicit Reply(fuse_req_t req) : req_(req) {}
  Reply(Reply&& other) noexcept
      : req_(std::exchange(other.req_, nullptr)), interruption_(std::move(other.interruption_)) {}
  Reply& operator=(Reply&&) = delete;
  ~Reply();

  bool is_open() const { return req_ != nullptr; }
  /// Stop is requested when the caller is interrupted by a signal (FUSE_INTERRUPT), and when the mount ends.
  std::stop_token stop_token();

  void error(const Error& error);
  void done();  ///< It worked, and there is nothing to say.
  /// The kernel knows the inode from now on: one more lookup to forget.
  void entry(const Attributes& attributes);
  void no_entry();  ///< ENOENT, which the kernel may remember.
  void attributes(const Attributes& attributes);
  /// The same, to be used once: the kernel keeps nothing of it and asks again.
  void passing_attributes(const Attributes& attributes);
  /// False: the caller was interrupted, and the kernel will never release `file`.
  bool opened(const fuse_file_info& file);
  void created(const Attributes& attributes, const fuse_file_info& file);
  void bytes(ByteView bytes);
  void text(std::string_view target);  ///< A symbolic link's target.
  void written(std::size_t bytes);
  void xattr_bytes(std::size_t bytes);
  void offset(std::uint64_t offset);
  void statfs(const struct statvfs& about);

 private:
  fuse_req_t take();

  struct Interruption {
    explicit Interruption(const std::stop_token& ending) : forward(ending, Forward{&source}) {}
    struct Forward {
      std::stop_source* to;
      void operator()() const { to->request_stop(); }
    };
    std::stop_source source;
    std::stop_callback<Forward> forward;
  };

  fuse_req_t req_;
  std::unique_ptr<Interruption> interruption_;  ///< At a fixed address, which libfuse keeps until take().
};

struct stat stat_of(const Context& context, const Attributes& attributes);
Context& context(fuse_req_t req);

}  // namespace coffer::ops
