#include "common/pack/pack_files.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "common/pack/record.h"

namespace coffer::pack {
namespace {

/// Reads go to few packs at a time, and a server has many vaults.
constexpr std::size_t kOpenCountMax = 8;
constexpr std::string_view kSuffix = ".pack";
constexpr std::size_t kDigits = 8;

std::optional<std::uint64_t> number_of(std::string_view name) {
  if (!name.ends_with(kSuffix) || name.size() < kDigits + kSuffix.size()) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (code != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string PackFiles::path(std::uint64_t number) const {
  std::string digits = std::to_string(number);
  if (digits.size() < kDigits) digits.insert(0, kDigits - digits.size(), '0');
  return folder_ + '/' + digits + std::string(kSuffix);
}

Result<std::vector<std::uint64_t>> PackFiles::list() {
  COFFER_TRY(const std::vector<std::string> names, disk_.list(folder_));
  std::vector<std::uint64_t> numbers;
  for (const std::string& name : names) {
    if (const auto number = number_of(name)) numbers.push_back(*number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

Result<std::shared_ptr<os::File>> PackFiles::get(std::uint64_t number) {
  if (std::shared_ptr<os::File> file = kept(number)) return file;
  COFFER_TRY(std::unique_ptr<os::File> opened, disk_.open(path(number), os::Open::write));
  const std::shared_ptr<os::File> file = std::move(opened);
  keep(number, file);
  return file;
}

Result<std::shared_ptr<os::File>> PackFiles::create(std::uint64_t number) {
  COFFER_TRY(std::unique_ptr<os::File> opened, disk_.open(path(number), os::Open::create_new));
  const std::shared_ptr<os::File> file = std::move(opened);
  if (Result<void> written = file->write_at(encode_pack_header(number), 0); !written) {
    (void)disk_.remove(path(number));
    return std::move(written).error();
  }
  keep(number, file);
  return file;
}

Result<void> PackFiles::remove(std::uint64_t number) {
  {
    const MutexLock lock(mutex_);
    std::erase_if(open_, [&](const Open& open) { return open.first == number; });
  }
  return disk_.remove(path(number));
}

void PackFiles::keep(std::uint64_t number, const std::shared_ptr<os::File>& file) {
  const MutexLock lock(mutex_);
  open_.emplace_front(number, file);
  if (open_.size() > kOpenCountMax) open_.pop_back();
}

std::shared_ptr<os::File> PackFiles::kept(std::uint64_t number) {
  const MutexLock lock(mutex_);
  const auto found = std::ranges::find(open_, number, &Open::first);
  if (found == open_.end()) return nullptr;
  open_.splice(open_.begin(), open_, found);
  return open_.front().second;
}

}  // namespace coffer::pack
