#include "tests/testing/temp_dir.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <system_error>

#include "common/base/check.h"

namespace coffer::testing {

TempDir::TempDir(const std::filesystem::path& parent) {
  std::string name = (parent / "coffer-test-XXXXXX").string();
  COFFER_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path in_memory() {
  constexpr const char* kSharedMemory = "/dev/shm";
  return access(kSharedMemory, W_OK) == 0 ? kSharedMemory : std::filesystem::temp_directory_path();
}

}  // namespace coffer::testing
