// The machine's disk, with a say in what its files do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/os/disk.h"

namespace coffer::pack {

/// Each hook runs before the call that it is named after; where it gives an Error, the call does nothing but fail
/// with it.
class HookedDisk : public os::Disk {
 public:
  std::function<Result<void>()> before_sync = [] { return Result<void>(); };
  std::function<Result<void>(std::uint64_t at, std::size_t bytes)> before_read = [](std::uint64_t, std::size_t) {
    return Result<void>();
  };
  std::function<Result<void>(std::uint64_t at, std::size_t bytes)> before_write = [](std::uint64_t, std::size_t) {
    return Result<void>();
  };

  Result<std::unique_ptr<os::File>> open(const std::string& path, os::Open how) override {
    COFFER_TRY(std::unique_ptr<os::File> file, os::real_disk().open(path, how));
    return std::make_unique<HookedFile>(std::move(file), *this);
  }
  Result<void> remove(const std::string& path) override { return os::real_disk().remove(path); }
  Result<void> rename(const std::string& a, const std::string& b) override { return os::real_disk().rename(a, b); }
  Result<bool> make_one_folder(const std::string& path) override { return os::real_disk().make_one_folder(path); }
  Result<void> sync_folder(const std::string& path) override { return os::real_disk().sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return os::real_disk().list(path); }
  Result<std::uint64_t> free_bytes(const std::string& path) override { return os::real_disk().free_bytes(path); }
  Result<std::unique_ptr<os::DiskLock>> lock(const std::string& path) override { return os::real_disk().lock(path); }
  const char* sqlite_vfs() const override { return nullptr; }

 private:
  class HookedFile : public os::File {
   public:
    HookedFile(std::unique_ptr<os::File> file, HookedDisk& disk) : file_(std::move(file)), disk_(disk) {}
    Result<std::size_t> read_at(MutableByteView into, std::uint64_t at) override {
      COFFER_DO(disk_.before_read(at, into.size()));
      return file_->read_at(into, at);
    }
    Result<void> write_at(ByteView bytes, std::uint64_t at) override {
      COFFER_DO(disk_.before_write(at, bytes.size()));
      return file_->write_at(bytes, at);
    }
    Result<void> truncate(std::uint64_t bytes) override { return file_->truncate(bytes); }
    Result<std::uint64_t> size() override { return file_->size(); }
    Result<void> punch(std::uint64_t at, std::uint64_t bytes) override { return file_->punch(at, bytes); }
    Result<void> sync() override {
      COFFER_DO(disk_.before_sync());
      return file_->sync();
    }

   private:
    std::unique_ptr<os::File> file_;
    HookedDisk& disk_;
  };
};

}  // namespace coffer::pack
