// A folder of a test's own, removed with all it holds when the test ends.
#pragma once

#include <filesystem>
#include <string_view>

namespace coffer::testing {

class TempDir {
 public:
  TempDir() : TempDir(std::filesystem::temp_directory_path()) {}
  explicit TempDir(const std::filesystem::path& parent);
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Where a TempDir does without a disk, if the machine has such a place: an fsync costs nothing there.
std::filesystem::path in_memory();

}  // namespace coffer::testing
