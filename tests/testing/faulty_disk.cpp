#include "tests/testing/faulty_disk.h"

#include <cerrno>
#include <utility>

namespace coffer::testing {

struct FaultyDisk::Faults {
  mutable Mutex mutex;
  std::uint64_t calls GUARDED_BY(mutex) = 0;
  std::uint64_t syncs GUARDED_BY(mutex) = 0;
  std::uint64_t fail_at GUARDED_BY(mutex) = 0;
  bool and_after GUARDED_BY(mutex) = false;
  int code GUARDED_BY(mutex) = 0;
  int sync_code GUARDED_BY(mutex) = 0;
  bool failed GUARDED_BY(mutex) = false;
  std::string unreadable_end GUARDED_BY(mutex);  ///< Empty: all can be read.
  std::uint64_t unreadable_at GUARDED_BY(mutex) = 0;

  Result<void> read_call(const std::string& path, std::uint64_t offset, std::size_t bytes) {
    const MutexLock lock(mutex);
    if (unreadable_end.empty() || !path.ends_with(unreadable_end)) return {};
    if (unreadable_at < offset || unreadable_at >= offset + bytes) return {};
    return os_error(EIO, "faulty sector");
  }

  Result<void> call() {
    const MutexLock lock(mutex);
    return count();
  }

  Result<void> sync_call(bool of_file) {
    const MutexLock lock(mutex);
    if (of_file) ++syncs;
    COFFER_DO(count());
    if (sync_code != 0) return os_error(sync_code, "faulty sync");
    return {};
  }

 private:
  Result<void> count() REQUIRES(mutex) {
    ++calls;
    const bool fails = fail_at != 0 && (calls == fail_at || (and_after && calls > fail_at));
    if (!fails) return {};
    failed = true;
    return os_error(code, "faulty disk");
  }
};

class FaultyDisk::FaultyFile : public os::File {
 public:
  FaultyFile(std::unique_ptr<os::File> file, std::string path, std::shared_ptr<Faults> faults)
      : file_(std::move(file)), path_(std::move(path)), faults_(std::move(faults)) {}

  Result<std::size_t> read_at(MutableByteView into, std::uint64_t offset) override {
    COFFER_DO(faults_->read_call(path_, offset, into.size()));
    return file_->read_at(into, offset);
  }
  Result<void> write_at(ByteView bytes, std::uint64_t offset) override {
    Result<void> call = faults_->call();
    if (call) return file_->write_at(bytes, offset);
    (void)file_->write_at(bytes.first(bytes.size() / 2), offset);
    return call;
  }
  Result<void> sync() override {
    COFFER_DO(faults_->sync_call(true));
    return file_->sync();
  }
  Result<void> truncate(std::uint64_t bytes) override {
    COFFER_DO(faults_->call());
    return file_->truncate(bytes);
  }
  Result<std::uint64_t> size() override { return file_->size(); }
  Result<void> punch(std::uint64_t offset, std::uint64_t bytes) override {
    COFFER_DO(faults_->call());
    return file_->punch(offset, bytes);
  }

 private:
  std::unique_ptr<os::File> file_;
  const std::string path_;
  std::shared_ptr<Faults> faults_;
};

FaultyDisk::FaultyDisk(os::Disk& disk) : disk_(disk), faults_(std::make_shared<Faults>()) {}

void FaultyDisk::fail_call(std::uint64_t call, int code) {
  const MutexLock lock(faults_->mutex);
  faults_->fail_at = faults_->calls + call;
  faults_->and_after = false;
  faults_->code = code;
}

void FaultyDisk::fail_from_call(std::uint64_t call, int code) {
  fail_call(call, code);
  const MutexLock lock(faults_->mutex);
  faults_->and_after = true;
}

void FaultyDisk::fail_syncs(int code) {
  const MutexLock lock(faults_->mutex);
  faults_->sync_code = code;
}

void FaultyDisk::fail_reads(std::string path_end, std::uint64_t offset) {
  const MutexLock lock(faults_->mutex);
  faults_->unreadable_end = std::move(path_end);
  faults_->unreadable_at = offset;
}

void FaultyDisk::heal() {
  const MutexLock lock(faults_->mutex);
  faults_->unreadable_end.clear();
  faults_->fail_at = 0;
  faults_->sync_code = 0;
  faults_->failed = false;
}

std::uint64_t FaultyDisk::call_count() const {
  const MutexLock lock(faults_->mutex);
  return faults_->calls;
}

std::uint64_t FaultyDisk::sync_count() const {
  const MutexLock lock(faults_->mutex);
  return faults_->syncs;
}

bool FaultyDisk::has_failed() const {
  const MutexLock lock(faults_->mutex);
  return faults_->failed;
}

Result<std::unique_ptr<os::File>> FaultyDisk::open(const std::string& path, os::Open how) {
  if (how == os::Open::create || how == os::Open::create_new) COFFER_DO(faults_->call());
  COFFER_TRY(std::unique_ptr<os::File> file, disk_.open(path, how));
  return std::make_unique<FaultyFile>(std::move(file), path, faults_);
}

Result<void> FaultyDisk::remove(const std::string& path) {
  COFFER_DO(faults_->call());
  return disk_.remove(path);
}

Result<void> FaultyDisk::rename(const std::string& from, const std::string& to) {
  COFFER_DO(faults_->call());
  return disk_.rename(from, to);
}

Result<bool> FaultyDisk::make_one_folder(const std::string& path) {
  COFFER_DO(faults_->call());
  return disk_.make_one_folder(path);
}

Result<void> FaultyDisk::sync_folder(const std::string& path) {
  COFFER_DO(faults_->sync_call(false));
  return disk_.sync_folder(path);
}

Result<std::vector<std::string>> FaultyDisk::list(const std::string& path) { return disk_.list(path); }
Result<std::uint64_t> FaultyDisk::free_bytes(const std::string& path) { return disk_.free_bytes(path); }
Result<std::unique_ptr<os::DiskLock>> FaultyDisk::lock(const std::string& path) { return disk_.lock(path); }
const char* FaultyDisk::sqlite_vfs() const { return disk_.sqlite_vfs(); }

}  // namespace coffer::testing
