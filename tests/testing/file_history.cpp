#include "tests/testing/file_history.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

namespace coffer::testing {
namespace {

constexpr std::uint64_t kEndless = std::numeric_limits<std::uint64_t>::max();

std::atomic<unsigned> files_made{0};

void put(std::string& content, std::uint64_t at, std::string_view bytes) {
  if (content.size() < at + bytes.size()) content.resize(at + bytes.size(), '\0');
  content.replace(at, bytes.size(), bytes);
}

}  // namespace

/// All contents that a copy may have: for each byte that of `base`, or of any alternative that covers it.
struct FileHistory::Possible {
  struct Alternative {
    std::uint64_t begin;
    std::uint64_t end;
    std::uint64_t at;        // Where `bytes` begin in the file.
    std::string_view bytes;  // Beyond them: zeros.
  };
  struct Sizes {
    std::uint64_t min;
    std::uint64_t max;
  };

  std::string base;
  std::vector<Alternative> alternatives;
  std::vector<Sizes> sizes;

  explicit Possible(std::string start) : base(std::move(start)), sizes{{base.size(), base.size()}} {}

  void settle(const Change& change) {
    switch (change.kind) {
      case Kind::write: {
        const std::uint64_t end = change.at + change.bytes.size();
        put(base, change.at, change.bytes);
        cut_alternatives(change.at, end);
        for (Sizes& size : sizes) size = {std::max(size.min, end), std::max(size.max, end)};
        return;
      }
      case Kind::truncate:
        base.resize(change.at, '\0');
        cut_alternatives(change.at, kEndless);
        sizes = {{change.at, change.at}};
        return;
      case Kind::replace:
        base = change.bytes;
        alternatives.clear();
        sizes = {{base.size(), base.size()}};
        return;
    }
  }

  void allow(const Change& change) {
    const std::uint64_t end = change.at + change.bytes.size();
    std::vector<Sizes> more;
    switch (change.kind) {
      case Kind::write:
        for (const Sizes& size : sizes) {
          if (size.min < change.at) alternatives.push_back({size.min, change.at, 0, {}});
          more.push_back({size.min, std::max(size.max, end)});
        }
        alternatives.push_back({change.at, end, change.at, change.bytes});
        break;
      case Kind::truncate:
        more.push_back({change.at, change.at});
        alternatives.push_back({change.at, kEndless, 0, {}});
        break;
      case Kind::replace:
        more.push_back({end, end});
        alternatives.push_back({0, kEndless, 0, change.bytes});
        break;
    }
    sizes.insert(sizes.end(), more.begin(), more.end());
  }

  void cut_alternatives(std::uint64_t begin, std::uint64_t end) {
    std::vector<Alternative> kept;
    for (const Alternative& one : alternatives) {
      if (one.begin < std::min(one.end, begin))
        kept.push_back({one.begin, std::min(one.end, begin), one.at, one.bytes});
      if (std::max(one.begin, end) < one.end) kept.push_back({std::max(one.begin, end), one.end, one.at, one.bytes});
    }
    alternatives = std::move(kept);
  }

  bool has_size(std::uint64_t bytes) const {
    return std::ranges::any_of(sizes, [&](const Sizes& size) { return size.min <= bytes && bytes <= size.max; });
  }

  bool has_byte(std::uint64_t at, char byte) const {
    if (byte == (at < base.size() ? base[at] : '\0')) return true;
    return std::ranges::any_of(alternatives, [&](const Alternative& one) {
      if (at < one.begin || at >= one.end) return false;
      return byte == (at - one.at < one.bytes.size() ? one.bytes[at - one.at] : '\0');
    });
  }
};

FileHistory::FileHistory() : number_(++files_made) {}

void FileHistory::will_write(std::uint64_t at, std::string bytes) {
  put(now_, at, bytes);
  changes_.push_back({Kind::write, at, std::move(bytes)});
}

void FileHistory::will_truncate(std::uint64_t bytes) {
  now_.resize(bytes, '\0');
  changes_.push_back({Kind::truncate, bytes, {}});
}

void FileHistory::truncated() {
  if (!changes_.empty()) changes_.back().is_spooled = true;
}

void FileHistory::closed() {
  for (Change& change : changes_) change.is_spooled = true;
}

void FileHistory::committed() {
  committed_ = now_;
  committed_count_ += changes_.size();
  changes_.clear();
}

void FileHistory::written_through() {
  if (!changes_.empty()) changes_.back().is_spooled = true;
  for (Change& change : changes_) change.is_committed = change.is_committed || change.is_spooled;
}

void FileHistory::found(const std::string& content) {
  if (content != now_) changes_.push_back({Kind::replace, 0, content});
  now_ = content;
  closed();
}

std::uint64_t FileHistory::spooled_count() const {
  const auto first_unsure = std::ranges::find(changes_, false, &Change::is_spooled);
  return committed_count_ + static_cast<std::uint64_t>(first_unsure - changes_.begin());
}

FileHistory::Possible FileHistory::possible(Copy copy, std::uint64_t at_least) const {
  Possible all(committed_);
  std::uint64_t count = committed_count_;
  for (const Change& change : changes_) {
    const bool is_sure = ++count <= at_least || (copy == Copy::local ? change.is_spooled : change.is_committed);
    is_sure ? all.settle(change) : all.allow(change);
  }
  return all;
}

std::string FileHistory::why_not(Copy copy, std::uint64_t at_least, std::string_view content) const {
  if (content == now_) return {};
  const Possible all = possible(copy, at_least);
  const std::string file = "file " + std::to_string(number_);
  if (!all.has_size(content.size())) {
    return file + " has " + std::to_string(content.size()) + " bytes, and was last known with " +
           std::to_string(all.base.size()) + "; all went well: " + std::to_string(now_.size());
  }
  for (std::uint64_t at = 0; at < content.size(); ++at) {
    if (!all.has_byte(at, content[at])) {
      return file + " (" + std::to_string(content.size()) + " bytes): byte " + std::to_string(at) + " is " +
             std::to_string(static_cast<unsigned char>(content[at])) + ", never written there, or replaced for good";
    }
  }
  return {};
}

}  // namespace coffer::testing
