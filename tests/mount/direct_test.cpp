// Direct and asynchronous I/O beside the kernel's pages of the same file.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_mount.h"

namespace coffer {
namespace {

constexpr std::size_t kBytes = 640u << 10;
constexpr int kRounds = 300;

/// Of io_submit(2); glibc has no wrappers for it.
class AsynchronousIo {
 public:
  AsynchronousIo() { EXPECT_EQ(::syscall(SYS_io_setup, 1, &context_), 0); }
  ~AsynchronousIo() { ::syscall(SYS_io_destroy, context_); }
  AsynchronousIo(const AsynchronousIo&) = delete;
  AsynchronousIo& operator=(const AsynchronousIo&) = delete;

  /// Returns once the event says that it is written.
  bool write(int fd, const char* bytes, std::size_t count) {
    iocb block{};
    block.aio_lio_opcode = IOCB_CMD_PWRITE;
    block.aio_fildes = static_cast<std::uint32_t>(fd);
    block.aio_buf = reinterpret_cast<std::uintptr_t>(bytes);
    block.aio_nbytes = count;
    std::array<iocb*, 1> blocks{&block};
    io_event event{};
    return ::syscall(SYS_io_submit, context_, 1, blocks.data()) == 1 &&
           ::syscall(SYS_io_getevents, context_, 1, 1, &event, nullptr) == 1 &&
           event.res == static_cast<std::int64_t>(count);
  }

 private:
  aio_context_t context_ = 0;
};

// Claim: once an asynchronous direct write is done, a buffered read shows what it wrote, whoever read the file while it
// was under way.
TEST(ADirectWrite, IsShownByBufferedReadsOnceItIsDoneAlsoWhereItIsAsynchronous) {
  if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse here";
  const testing::TempDir folder;
  testing::LocalMount mount((folder / "vault").string());
  const std::string path = mount / "file";
  const int direct = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT, 0644);
  const int buffered = ::open(path.c_str(), O_RDONLY);
  ASSERT_GE(direct, 0);
  ASSERT_GE(buffered, 0);
  const std::unique_ptr<char, decltype(&std::free)> bytes(static_cast<char*>(std::aligned_alloc(4096, kBytes)),
                                                          std::free);
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    std::string into(kBytes, '\0');
    while (!stop) (void)!::pread(buffered, into.data(), into.size(), 0);
  });
  AsynchronousIo io;
  std::string shown(kBytes, '\0');
  int stale = 0;
  for (int round = 0; round < kRounds && stale == 0; ++round) {
    std::memset(bytes.get(), 'a' + round % 26, kBytes);
    ASSERT_TRUE(io.write(direct, bytes.get(), kBytes));
    ASSERT_EQ(::pread(buffered, shown.data(), kBytes, 0), static_cast<ssize_t>(kBytes));
    if (std::memcmp(shown.data(), bytes.get(), kBytes) != 0) ++stale;
  }
  stop = true;
  reader.join();
  EXPECT_EQ(stale, 0);
  ::close(buffered);
  ::close(direct);
}

}  // namespace
}  // namespace coffer
