// SQLite on a SimDisk: the calls of a VFS (https://www.sqlite.org/vfs.html), as its own "unix" one does them.
//
// As there: the first sync of a journal or write-ahead log since it was opened also syncs the folder, a delete may sync
// it, and an empty file counts as absent. Locks and shared memory are those of one process.
#include <sqlite3.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>

#include "tests/testing/sim_state.h"

namespace coffer::testing {
namespace {

constexpr int kShmSlots = 8;

struct VfsFile;

/// What the connections to one file share.
struct Shared {
  std::set<VfsFile*> files;
  std::vector<std::unique_ptr<std::array<char, 32768>>> regions;
};

}  // namespace

struct SimDisk::Vfs::Impl {
  std::shared_ptr<State> state;
  std::string name;
  sqlite3_vfs* base = nullptr;
  sqlite3_vfs vfs{};
  Mutex mutex;  // After the state's, if both.
  std::map<std::string, std::shared_ptr<Shared>> shared GUARDED_BY(mutex);
};

namespace {

/// `base` is first, so that SQLite's pointer is ours.
struct VfsFile {
  sqlite3_file base;
  SimNodePtr node;
  SimNodePtr folder_to_sync;  // Of a journal, until its first sync.
  std::uint64_t epoch;
  int level;
  unsigned shm_shared;
  unsigned shm_exclusive;
  std::shared_ptr<Shared> shared;
};

VfsFile& file_of(sqlite3_file* file) { return *reinterpret_cast<VfsFile*>(file); }

}  // namespace

struct SimDisk::Vfs::Methods {
  static Impl& impl_of(sqlite3_vfs* vfs) { return *static_cast<Impl*>(vfs->pAppData); }
  /// SQLite gives files no pointer to their VFS.
  struct OpenFile : VfsFile {
    Impl* impl;
  };
  static Impl& impl_of(sqlite3_file* file) { return *static_cast<OpenFile&>(file_of(file)).impl; }

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* out, int flags, int* out_flags) {
    Impl& impl = impl_of(vfs);
    out->pMethods = nullptr;
    if (path == nullptr) return SQLITE_CANTOPEN;
    const MutexLock lock(impl.state->mutex);
    const bool creates = (flags & SQLITE_OPEN_CREATE) != 0;
    const Result<SimNodePtr> node = impl.state->open(path, creates ? os::Open::create : os::Open::write);
    if (!node) return SQLITE_CANTOPEN;
    auto* file = new (out) OpenFile{};
    file->impl = &impl;
    file->node = *node;
    file->epoch = impl.state->epoch;
    if (creates && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0) {
      file->folder_to_sync = impl.state->folder_of(path)->first;
    }
    const MutexLock shared_lock(impl.mutex);
    std::shared_ptr<Shared>& shared = impl.shared[path + std::string("@") + std::to_string(file->epoch)];
    if (!shared) shared = std::make_shared<Shared>();
    shared->files.insert(file);
    file->shared = shared;
    if (out_flags != nullptr) *out_flags = flags;
    out->pMethods = &io();
    return SQLITE_OK;
  }

  static int close(sqlite3_file* file) {
    Impl& impl = impl_of(file);
    auto& open = static_cast<OpenFile&>(file_of(file));
    const MutexLock lock(impl.mutex);
    open.shared->files.erase(&open);
    if (open.shared->files.empty()) open.shared->regions.clear();
    open.~OpenFile();
    return SQLITE_OK;
  }

  static int read(sqlite3_file* file, void* into, int count, sqlite3_int64 offset) {
    State& state = *impl_of(file).state;
    const MutexLock lock(state.mutex);
    if (!state.check(file_of(file).epoch)) return failed(SQLITE_IOERR_READ);
    const Bytes& now = file_of(file).node->now;
    const auto at = static_cast<std::size_t>(offset);
    const std::size_t wanted = static_cast<std::size_t>(count);
    const std::size_t got = at < now.size() ? std::min(wanted, now.size() - at) : 0;
    if (got > 0) std::memcpy(into, now.data() + at, got);
    if (got == wanted) return SQLITE_OK;
    std::memset(static_cast<char*>(into) + got, 0, wanted - got);
    return SQLITE_IOERR_SHORT_READ;
  }

  static int write(sqlite3_file* file, const void* from, int count, sqlite3_int64 offset) {
    State& state = *impl_of(file).state;
    const MutexLock lock(state.mutex);
    const ByteView bytes(static_cast<const std::byte*>(from), static_cast<std::size_t>(count));
    const SimChange change{static_cast<std::uint64_t>(offset), copy_of(bytes), false};
    return state.change(*file_of(file).node, change, file_of(file).epoch) ? SQLITE_OK : failed(SQLITE_IOERR_WRITE);
  }

  static int truncate(sqlite3_file* file, sqlite3_int64 bytes) {
    State& state = *impl_of(file).state;
    const MutexLock lock(state.mutex);
    const SimChange change{static_cast<std::uint64_t>(bytes), {}, true};
    return state.change(*file_of(file).node, change, file_of(file).epoch) ? SQLITE_OK : failed(SQLITE_IOERR_TRUNCATE);
  }

  static int sync(sqlite3_file* file, int) {
    State& state = *impl_of(file).state;
    VfsFile& open = file_of(file);
    const MutexLock lock(state.mutex);
    if (!state.sync(*open.node, open.epoch)) return failed(SQLITE_IOERR_FSYNC);
    if (!open.folder_to_sync) return SQLITE_OK;
    if (!state.sync(*open.folder_to_sync, open.epoch)) return failed(SQLITE_IOERR_DIR_FSYNC);
    open.folder_to_sync = nullptr;
    return SQLITE_OK;
  }

  static int size(sqlite3_file* file, sqlite3_int64* bytes) {
    State& state = *impl_of(file).state;
    const MutexLock lock(state.mutex);
    *bytes = static_cast<sqlite3_int64>(file_of(file).node->now.size());
    return SQLITE_OK;
  }

  /// The highest level that others hold.
  static int level_of_others(const VfsFile& file) {
    int level = SQLITE_LOCK_NONE;
    for (const VfsFile* other : file.shared->files) {
      if (other != &file) level = std::max(level, other->level);
    }
    return level;
  }

  static int lock(sqlite3_file* file, int level) {
    const MutexLock lock(impl_of(file).mutex);
    VfsFile& open = file_of(file);
    if (open.level >= level) return SQLITE_OK;
    const int others = level_of_others(open);
    const bool is_free = level == SQLITE_LOCK_SHARED     ? others < SQLITE_LOCK_PENDING
                         : level == SQLITE_LOCK_RESERVED ? others < SQLITE_LOCK_RESERVED
                                                         : others == SQLITE_LOCK_NONE;
    if (!is_free) return SQLITE_BUSY;
    open.level = level;
    return SQLITE_OK;
  }

  static int unlock(sqlite3_file* file, int level) {
    const MutexLock lock(impl_of(file).mutex);
    file_of(file).level = std::min(file_of(file).level, level);
    return SQLITE_OK;
  }

  static int check_reserved(sqlite3_file* file, int* is_reserved) {
    const MutexLock lock(impl_of(file).mutex);
    *is_reserved = level_of_others(file_of(file)) >= SQLITE_LOCK_RESERVED ? 1 : 0;
    return SQLITE_OK;
  }

  static int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector_size(sqlite3_file*) { return 4096; }
  static int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  static int shm_map(sqlite3_file* file, int region, int, int extend, void volatile** out) {
    const MutexLock lock(impl_of(file).mutex);
    auto& regions = file_of(file).shared->regions;
    const auto wanted = static_cast<std::size_t>(region) + 1;
    *out = nullptr;
    if (regions.size() < wanted && extend == 0) return SQLITE_OK;
    while (regions.size() < wanted) regions.push_back(std::make_unique<std::array<char, 32768>>());
    *out = regions[wanted - 1]->data();
    return SQLITE_OK;
  }

  static int shm_lock(sqlite3_file* file, int first, int count, int flags) {
    const MutexLock lock(impl_of(file).mutex);
    VfsFile& open = file_of(file);
    const unsigned mask = ((1u << count) - 1u) << first;
    static_assert(kShmSlots <= 32);
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      open.shm_shared &= ~mask;
      open.shm_exclusive &= ~mask;
      return SQLITE_OK;
    }
    unsigned held = 0;
    for (const VfsFile* other : open.shared->files) {
      if (other == &open) continue;
      held |= other->shm_exclusive;
      if ((flags & SQLITE_SHM_EXCLUSIVE) != 0) held |= other->shm_shared;
    }
    if ((held & mask) != 0) return SQLITE_BUSY;
    ((flags & SQLITE_SHM_EXCLUSIVE) != 0 ? open.shm_exclusive : open.shm_shared) |= mask;
    return SQLITE_OK;
  }

  static void shm_barrier(sqlite3_file*) { std::atomic_thread_fence(std::memory_order_seq_cst); }

  static int shm_unmap(sqlite3_file* file, int) {
    const MutexLock lock(impl_of(file).mutex);
    file_of(file).shm_shared = file_of(file).shm_exclusive = 0;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* path, int syncs_folder) {
    State& state = *impl_of(vfs).state;
    const MutexLock lock(state.mutex);
    const Result<void> removed = state.remove(path);
    if (!removed) return removed.error().code == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    if (syncs_folder == 0) return SQLITE_OK;
    return state.sync(*state.folder_of(path)->first, state.epoch) ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
  }

  static int access(sqlite3_vfs* vfs, const char* path, int flags, int* out) {
    State& state = *impl_of(vfs).state;
    const MutexLock lock(state.mutex);
    const Result<SimNodePtr> node = state.find(path);
    *out = node && (flags != SQLITE_ACCESS_EXISTS || (*node)->is_folder || !(*node)->now.empty()) ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_path(sqlite3_vfs*, const char* path, int count, char* out) {
    std::snprintf(out, static_cast<std::size_t>(count), "%s", path);
    return SQLITE_OK;
  }

  static int randomness(sqlite3_vfs* vfs, int count, char* out) {
    return impl_of(vfs).base->xRandomness(impl_of(vfs).base, count, out);
  }
  static int sleep(sqlite3_vfs* vfs, int microseconds) {
    return impl_of(vfs).base->xSleep(impl_of(vfs).base, std::min(microseconds, 1000));
  }
  static int current_time(sqlite3_vfs* vfs, double* out) {
    return impl_of(vfs).base->xCurrentTime(impl_of(vfs).base, out);
  }
  static int last_error(sqlite3_vfs*, int, char*) { return errno; }
  static int failed(int code) {
    errno = EIO;
    return code;
  }

  static const sqlite3_io_methods& io() {
    static const sqlite3_io_methods methods = [] {
      sqlite3_io_methods m{};
      m.iVersion = 2;
      m.xClose = close;
      m.xRead = read;
      m.xWrite = write;
      m.xTruncate = truncate;
      m.xSync = sync;
      m.xFileSize = size;
      m.xLock = lock;
      m.xUnlock = unlock;
      m.xCheckReservedLock = check_reserved;
      m.xFileControl = control;
      m.xSectorSize = sector_size;
      m.xDeviceCharacteristics = characteristics;
      m.xShmMap = shm_map;
      m.xShmLock = shm_lock;
      m.xShmBarrier = shm_barrier;
      m.xShmUnmap = shm_unmap;
      return m;
    }();
    return methods;
  }
};

SimDisk::Vfs::Vfs(std::shared_ptr<State> state) : impl_(std::make_unique<Impl>()) {
  static std::atomic<unsigned> count = 0;
  impl_->state = std::move(state);
  impl_->name = "sim-disk-" + std::to_string(++count);
  impl_->base = sqlite3_vfs_find(nullptr);
  sqlite3_vfs& vfs = impl_->vfs;
  vfs.iVersion = 1;
  vfs.szOsFile = sizeof(Methods::OpenFile);
  vfs.mxPathname = 512;
  vfs.zName = impl_->name.c_str();
  vfs.pAppData = impl_.get();
  vfs.xOpen = Methods::open;
  vfs.xDelete = Methods::remove;
  vfs.xAccess = Methods::access;
  vfs.xFullPathname = Methods::full_path;
  vfs.xRandomness = Methods::randomness;
  vfs.xSleep = Methods::sleep;
  vfs.xCurrentTime = Methods::current_time;
  vfs.xGetLastError = Methods::last_error;
  sqlite3_vfs_register(&vfs, 0);
}

SimDisk::Vfs::~Vfs() { sqlite3_vfs_unregister(&impl_->vfs); }

const char* SimDisk::Vfs::name() const { return impl_->name.c_str(); }

}  // namespace coffer::testing
