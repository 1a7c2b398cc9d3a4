#include "tests/testing/temp_dir.h"

#include <cstdlib>
#include <string>
#include <system_error>

#include "common/base/check.h"

namespace coffer::testing {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "coffer-test-XXXXXX").string();
  COFFER_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace coffer::testing
