#include "fs/ops/kernel_io.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/bytes.h"
#include "fs/ops/context.h"

namespace coffer::ops {
namespace {

thread_local bool wants_privileges_cleared = false;

/// The argument behind the header of a request; zeros where it is shorter.
template <class Argument>
Argument argument_of(ByteView request) {
  Argument argument{};
  const ByteView bytes = request.subspan(std::min(request.size(), sizeof(fuse_in_header)));
  std::memcpy(&argument, bytes.data(), std::min(bytes.size(), sizeof(argument)));
  return argument;
}

bool asks_to_clear(ByteView request, std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_WRITE: return (argument_of<fuse_write_in>(request).write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
    case FUSE_OPEN: return (argument_of<fuse_open_in>(request).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
    case FUSE_SETATTR: return (argument_of<fuse_setattr_in>(request).valid & FATTR_KILL_SUIDGID) != 0;
    default: return false;
  }
}

void look_at(Context& about, ByteView request) {
  fuse_in_header header{};
  if (request.size() < sizeof(header)) return;
  std::memcpy(&header, request.data(), sizeof(header));
  wants_privileges_cleared = asks_to_clear(request, header.opcode);
  if (header.opcode != FUSE_INIT) return;
  const bool knows = (argument_of<fuse_init_in>(request).flags & FUSE_HANDLE_KILLPRIV_V2) != 0;
  about.init_to_extend = knows ? header.unique : 0;
}

ssize_t read_request(int device, void* into, std::size_t size, void* userdata) {
  Context& about = *static_cast<Context*>(userdata);
  const ssize_t got = about.readers.read(device, into, size);
  if (got > 0) look_at(about, {static_cast<const std::byte*>(into), std::size_t(got)});
  return got;
}

/// Adds what libfuse does not know to its answer to the first request.
void extend_answer(Context& about, const iovec* parts, int count) {
  fuse_out_header header{};
  if (count < 2 || parts[0].iov_len < sizeof(header) || parts[1].iov_len < offsetof(fuse_init_out, max_background))
    return;
  std::memcpy(&header, parts[0].iov_base, sizeof(header));
  if (header.unique != about.init_to_extend || header.error != 0) return;
  std::uint32_t flags = 0;
  std::byte* const at = static_cast<std::byte*>(parts[1].iov_base) + offsetof(fuse_init_out, flags);
  std::memcpy(&flags, at, sizeof(flags));
  flags |= FUSE_HANDLE_KILLPRIV_V2;
  std::memcpy(at, &flags, sizeof(flags));
  about.init_to_extend = 0;
}

ssize_t write_answer(int device, iovec* parts, int count, void* userdata) {
  Context& about = *static_cast<Context*>(userdata);
  if (about.init_to_extend != 0) extend_answer(about, parts, count);
  about.readers.about_to_answer(device);
  return ::writev(device, parts, count);
}

}  // namespace

Result<void> take_over_io(fuse_session* session, Context& context) {
  COFFER_DO(context.readers.open());
  const fuse_custom_io io{
      .writev = write_answer, .read = read_request, .splice_receive = nullptr, .splice_send = nullptr};
  const int failed = fuse_session_custom_io(session, &io, fuse_session_fd(session));
  if (failed != 0) return os_error(-failed, "FUSE");
  return {};
}

bool clears_privileges() { return wants_privileges_cleared; }

}  // namespace coffer::ops
