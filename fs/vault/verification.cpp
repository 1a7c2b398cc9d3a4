// Vault::verify(): asks the server for every chunk that files need, and compares.
//
// First all files below the paths are looked up, then each chunk they use is checked once, several at a time, in the
// order of the files; then, if any is bad, the files are looked up again to name those that use it. The spool has no
// say: only the server's copies count.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <span>
#include <unordered_set>
#include <utility>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/os/clock.h"
#include "fs/vault/parts.h"

namespace coffer::vault {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t kEntriesAtOnce = 512;
constexpr std::size_t kChunksInFlightMax = 8;
constexpr std::size_t kIdsAtOnce = 64;
constexpr std::size_t kDatesAtOnce = 256;
constexpr std::size_t kCompareBytes = 1u << 20;
constexpr auto kChunkDeadline = 60s;
constexpr std::uint64_t kContentEnd = limits::kFileBytesMax;

bool is_folder(std::uint32_t mode) { return (mode & S_IFMT) == S_IFDIR; }
bool is_file(std::uint32_t mode) { return (mode & S_IFMT) == S_IFREG; }

/// Chunks that were asked for and have come, whichever thread brings them.
class Arrivals {
 public:
  struct Arrival {
    ChunkRow chunk;
    Result<Bytes> sealed;
  };

  void add(Arrival arrival) {
    const MutexLock lock(mutex_);
    arrivals_.push_back(std::move(arrival));
    came_.notify_all();
  }
  Arrival next() {
    const MutexLock lock(mutex_);
    while (arrivals_.empty()) came_.wait(mutex_);
    Arrival first = std::move(arrivals_.front());
    arrivals_.erase(arrivals_.begin());
    return first;
  }

 private:
  Mutex mutex_;
  Condition came_;
  std::vector<Arrival> arrivals_ GUARDED_BY(mutex_);
};

}  // namespace

class Verification {
 public:
  Verification(Vault::Parts& parts, const VerifyRequest& request,
               const std::function<void(std::uint64_t, std::uint64_t)>& progress, std::stop_token stop)
      : parts_(parts), request_(request), progress_(progress), stop_(std::move(stop)) {}

  Result<VerifyReport> run() {
    std::vector<std::string> paths = request_.paths;
    if (paths.empty()) paths.emplace_back("/");
    for (const std::string& path : paths) {
      Result<InodeId> inode = parts_.tree->resolve(path);
      if (!inode) return std::move(inode).error().in(path);
      COFFER_DO(walk(path, *inode, &Verification::collect_file));
    }
    COFFER_DO(request_.read_data ? read_back() : ask_server());
    COFFER_DO(record_dates());
    for (const std::string& path : bad_.empty() ? std::vector<std::string>() : paths) {
      const Result<InodeId> inode = parts_.tree->resolve(path);
      if (inode) COFFER_DO(walk(path, *inode, &Verification::name_if_bad));
    }
    if (!request_.against.empty()) COFFER_DO(compare(request_.against, paths.front() == "/" ? "" : paths.front()));
    return std::move(report_);
  }

 private:
  using Visit = Result<void> (Verification::*)(const std::string& path, const Attributes& attributes);

  /// Calls `visit` for every file at and below `path`.
  Result<void> walk(const std::string& path, InodeId inode, Visit visit);
  Result<void> walk_below(const std::string& path, const Attributes& attributes, Visit visit);
  Result<void> collect_file(const std::string& path, const Attributes& attributes);
  Result<void> read_back();
  Result<void> ask_server();
  Result<void> check(const Arrivals::Arrival& arrival);
  Result<void> found_good(const ChunkRow& chunk);
  Result<void> found_bad(const ChunkRow& chunk, const std::string& what);
  Result<void> record_dates();
  Result<void> name_if_bad(const std::string& path, const Attributes& attributes);
  Result<void> compare(const std::filesystem::path& local, const std::string& path);
  Result<void> compare_file(const std::string& local, const std::string& path);
  Result<bool> has_content_of(int fd, InodeId inode, std::uint64_t bytes);
  void find(Finding::Kind kind, const std::string& path, std::string what) {
    report_.findings.push_back({kind, path.empty() ? "/" : path, std::move(what)});
  }
  Result<void> go_on() const {
    if (stop_.stop_requested()) return Error{Fault::stopped, EINTR, "stopped"};
    return {};
  }

  Vault::Parts& parts_;
  const VerifyRequest& request_;
  const std::function<void(std::uint64_t, std::uint64_t)>& progress_;
  std::stop_token stop_;
  std::vector<ChunkRow> chunks_;  // On the server; each once, in the order of the files.
  std::unordered_set<ChunkKey> seen_;
  std::map<ChunkKey, std::string> bad_;  // Why.
  std::vector<object::ChunkId> good_;
  VerifyReport report_;
};

Result<VerifyReport> Vault::verify(const VerifyRequest& request,
                                   const std::function<void(std::uint64_t done, std::uint64_t of)>& progress,
                                   std::stop_token stop) {
  return Verification(*parts_, request, progress, std::move(stop)).run();
}

Result<void> Verification::walk(const std::string& path, InodeId inode, Visit visit) {
  COFFER_TRY(const Attributes attributes, parts_.tree->attributes(inode));
  return walk_below(path == "/" ? "" : path, attributes, visit);
}

// Not by recursion: a tree may be deeper than a stack.
Result<void> Verification::walk_below(const std::string& path, const Attributes& attributes, Visit visit) {
  if (is_file(attributes.mode)) return (this->*visit)(path, attributes);
  if (!is_folder(attributes.mode)) return {};
  struct Level {
    InodeId folder;
    std::size_t path_bytes;  // Of the folder's path.
    std::uint64_t after;
    std::vector<meta::Entry> entries;
    std::size_t next;
  };
  std::string here = path;
  std::vector<Level> levels{{attributes.inode, here.size(), 0, {}, 0}};
  while (!levels.empty()) {
    COFFER_DO(go_on());
    Level& level = levels.back();
    here.resize(level.path_bytes);
    if (level.next == level.entries.size()) {
      COFFER_TRY(level.entries, parts_.tree->entries(level.folder, level.after, kEntriesAtOnce));
      level.next = 0;
      if (level.entries.empty()) {
        levels.pop_back();
        continue;
      }
      level.after = level.entries.back().cookie;
    }
    const meta::Entry entry = level.entries[level.next++];
    here += "/" + entry.name;
    if (is_file(entry.attributes.mode)) COFFER_DO((this->*visit)(here, entry.attributes));
    if (is_folder(entry.attributes.mode)) levels.push_back({entry.attributes.inode, here.size(), 0, {}, 0});
  }
  return {};
}

Result<void> Verification::collect_file(const std::string& path, const Attributes& attributes) {
  ++report_.files;
  report_.bytes += attributes.bytes;
  COFFER_TRY(const bool is_committed, parts_.tree->committed(attributes.inode));
  if (!is_committed || parts_.committer->buffered(attributes.inode).bytes > 0) {
    find(Finding::Kind::owed, path, "is not committed on the server yet");
  }
  COFFER_TRY(const std::vector<Extent> extents,
             parts_.tree->extents(attributes.inode, FileOffset(0), FileOffset(kContentEnd)));
  for (const Extent& extent : extents) {
    if (!seen_.insert(extent.chunk).second) continue;
    COFFER_TRY(const ChunkRow chunk, parts_.tree->chunk(extent.chunk));
    if (chunk.state == ChunkState::stored || chunk.state == ChunkState::committed) chunks_.push_back(chunk);
  }
  return {};
}

Result<void> Verification::read_back() {
  Arrivals arrivals;
  std::size_t asked = 0;
  std::size_t done = 0;
  const auto ask_next = [&] {
    const ChunkRow& chunk = chunks_[asked++];
    parts_.client->get_chunk(chunk.id, steady_clock::now() + kChunkDeadline, [&arrivals, chunk](Result<Bytes> sealed) {
      arrivals.add({chunk, std::move(sealed)});
    });
  };
  Result<void> result;
  // Every answer is waited for, also after a failure: it refers to `arrivals`.
  while (done < asked || (result && asked < chunks_.size())) {
    while (result && asked < chunks_.size() && asked - done < kChunksInFlightMax) ask_next();
    const Arrivals::Arrival arrival = arrivals.next();
    ++done;
    if (result) result = check(arrival);
    if (result) result = go_on();
    if (progress_) progress_(done, chunks_.size());
  }
  return result;
}

// Failures of the line end the verification; failures of the chunk are findings.
Result<void> Verification::check(const Arrivals::Arrival& arrival) {
  const ChunkRow& chunk = arrival.chunk;
  if (!arrival.sealed) {
    const Error& error = arrival.sealed.error();
    if (error.fault == Fault::corrupt) return found_bad(chunk, "is damaged on the server");
    if (error.fault == Fault::answer) return found_bad(chunk, "is missing on the server");
    return error;
  }
  const Result<Bytes> plain = parts_.sealer->open(*arrival.sealed);
  if (!plain) return found_bad(chunk, "does not open with this vault's key");
  if (plain->size() != chunk.plain_bytes) return found_bad(chunk, "has another length than the tree says");
  report_.chunk_bytes += arrival.sealed->size();
  return found_good(chunk);
}

Result<void> Verification::ask_server() {
  for (std::size_t from = 0; from < chunks_.size(); from += kIdsAtOnce) {
    COFFER_DO(go_on());
    const std::size_t end = std::min(chunks_.size(), from + kIdsAtOnce);
    std::vector<object::ChunkId> ids;
    for (std::size_t i = from; i < end; ++i) ids.push_back(chunks_[i].id);
    COFFER_TRY(const std::vector<rpc::VerifyState> states, rpc::wait<std::vector<rpc::VerifyState>>([&](auto done) {
                 parts_.client->verify_chunks(std::move(ids), steady_clock::now() + kChunkDeadline, std::move(done));
               }));
    if (states.size() != end - from) return Error{Fault::protocol, 0, "verify: an answer of another length"};
    for (std::size_t i = from; i < end; ++i) {
      const rpc::VerifyState state = states[i - from];
      if (state == rpc::VerifyState::good) {
        report_.chunk_bytes += chunks_[i].sealed_bytes;
        COFFER_DO(found_good(chunks_[i]));
      } else {
        COFFER_DO(found_bad(
            chunks_[i], state == rpc::VerifyState::missing ? "is missing on the server" : "is damaged on the server"));
      }
    }
    if (progress_) progress_(end, chunks_.size());
  }
  return {};
}

Result<void> Verification::found_good(const ChunkRow& chunk) {
  ++report_.chunks;
  good_.push_back(chunk.id);
  return good_.size() < kDatesAtOnce ? Result<void>{} : record_dates();
}

Result<void> Verification::found_bad(const ChunkRow& chunk, const std::string& what) {
  ++report_.chunks;
  log::error("chunk_bad", {{"chunk", chunk.id.hex()}, {"what", what}});
  bad_[chunk.key] = "chunk " + chunk.id.hex() + " " + what;
  COFFER_DO(parts_.tree->forget_pieces(std::span(&chunk.key, 1)));
  return parts_.tree->forget_verified(chunk.id);
}

Result<void> Verification::record_dates() {
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(os::real_clock().now().time_since_epoch());
  COFFER_DO(parts_.tree->set_verified(good_, now.count()));
  good_.clear();
  return {};
}

Result<void> Verification::name_if_bad(const std::string& path, const Attributes& attributes) {
  COFFER_TRY(const std::vector<Extent> extents,
             parts_.tree->extents(attributes.inode, FileOffset(0), FileOffset(kContentEnd)));
  for (const Extent& extent : extents) {
    const auto bad = bad_.find(extent.chunk);
    if (bad == bad_.end()) continue;
    find(Finding::Kind::corrupt, path, bad->second);
    break;
  }
  return {};
}

Result<void> Verification::compare(const std::filesystem::path& local, const std::string& path) {
  COFFER_DO(go_on());
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::symlink_status(local, failure);
  if (failure) return os_error(failure.value(), "read " + local.string());
  const Result<InodeId> inode = parts_.tree->resolve(path.empty() ? "/" : path);
  if (!inode) {
    find(Finding::Kind::different, path, "is not in the vault");
    return {};
  }
  COFFER_TRY(const Attributes attributes, parts_.file_system->attributes(*inode));
  switch (status.type()) {
    case std::filesystem::file_type::directory: {
      if (!is_folder(attributes.mode)) {
        find(Finding::Kind::different, path, "is no folder in the vault");
        return {};
      }
      std::vector<std::filesystem::path> names;
      for (std::filesystem::directory_iterator at(local, failure), end; !failure && at != end; at.increment(failure)) {
        names.push_back(at->path().filename());
      }
      if (failure) return os_error(failure.value(), "read " + local.string());
      std::ranges::sort(names);
      for (const auto& name : names) COFFER_DO(compare(local / name, path + "/" + name.string()));
      return {};
    }
    case std::filesystem::file_type::symlink: {
      ++report_.compared_files;
      const Result<std::string> target = parts_.tree->symlink_target(*inode);
      if (!target || *target != std::filesystem::read_symlink(local, failure).string()) {
        find(Finding::Kind::different, path, "is another symbolic link");
      }
      return {};
    }
    case std::filesystem::file_type::regular:
      if (is_file(attributes.mode)) return compare_file(local.string(), path);
      find(Finding::Kind::different, path, "is no file in the vault");
      return {};
    default: return {};
  }
}

Result<void> Verification::compare_file(const std::string& local, const std::string& path) {
  ++report_.compared_files;
  const int fd = ::open(local.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return os_error(errno, "open " + local);
  struct stat found {};
  Result<bool> is_same = false;
  if (::fstat(fd, &found) == 0) {
    const Result<InodeId> inode = parts_.tree->resolve(path);
    if (inode) is_same = has_content_of(fd, *inode, static_cast<std::uint64_t>(found.st_size));
  }
  ::close(fd);
  if (!is_same) {
    if (is_same.error().fault != Fault::corrupt) return std::move(is_same).error();
    find(Finding::Kind::corrupt, path, is_same.error().what);
  } else if (!*is_same) {
    find(Finding::Kind::different, path, "has other content");
  }
  return {};
}

Result<bool> Verification::has_content_of(int fd, InodeId inode, std::uint64_t bytes) {
  COFFER_TRY(const Attributes attributes, parts_.file_system->attributes(inode));
  if (attributes.bytes != bytes) return false;
  COFFER_TRY(const files::HandleId handle, parts_.file_system->open(inode, O_RDONLY));
  Bytes ours(kCompareBytes);
  Bytes theirs(kCompareBytes);
  Result<bool> is_same = true;
  for (std::uint64_t at = 0; is_same && *is_same && at < bytes;) {
    Result<std::size_t> got = parts_.file_system->read(handle, at, ours, stop_);
    if (!got) {
      is_same = std::move(got).error();
      break;
    }
    const ssize_t local = ::pread(fd, theirs.data(), *got, static_cast<off_t>(at));
    is_same = *got > 0 && local == static_cast<ssize_t>(*got) &&
              std::equal(ours.begin(), ours.begin() + local, theirs.begin());
    at += *got;
  }
  parts_.file_system->release(handle);
  return is_same;
}

}  // namespace coffer::vault
