#include "common/db/page_sums.h"

#include <sqlite3.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/mutex.h"

namespace coffer::db {
namespace {

constexpr std::string_view kName = "coffer-page-sums";
constexpr std::string_view kMagic = "CFRp";
constexpr int kPageBytesMin = 512;
/// Where the header of a database says how many bytes of each page are reserved (fileformat2.html, 1.3.4).
constexpr int kReservedAt = 20;

std::uint32_t sum_of(ByteView page, std::uint32_t number) {
  std::array<std::byte, 4> prefix{};
  for (std::size_t i = 0; i < prefix.size(); ++i) prefix[i] = static_cast<std::byte>(number >> (8 * i));
  const auto crc = [](uLong sum, ByteView bytes) {
    return crc32(sum, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
  };
  return static_cast<std::uint32_t>(crc(crc(0, prefix), page.first(page.size() - kPageSumBytes)));
}

bool has_magic(ByteView page) { return as_text(page.last(kMagic.size())) == kMagic; }

/// One open file: the real one, and whether its pages have sums.
struct File {
  sqlite3_file base;
  sqlite3_file* real;
  bool is_database;
  bool has_sums;
  bool sync_failed;
};

File& of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
sqlite3_file* real(sqlite3_file* file) { return of(file).real; }
sqlite3_vfs* below(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }

bool is_page(int bytes, sqlite3_int64 offset) {
  return bytes >= kPageBytesMin && (bytes & (bytes - 1)) == 0 && offset % bytes == 0;
}

int read(sqlite3_file* file, void* into, int bytes, sqlite3_int64 offset) {
  File& own = of(file);
  const int code = own.real->pMethods->xRead(own.real, into, bytes, offset);
  if (code != SQLITE_OK || !own.is_database) return code;
  const ByteView page(static_cast<const std::byte*>(into), static_cast<std::size_t>(bytes));
  if (offset == 0 && bytes > kReservedAt) {
    // Either sign is enough: a flipped bit must not turn the sums off.
    const bool reserves = page[kReservedAt] == std::byte{kPageSumBytes};
    own.has_sums = own.has_sums || reserves || (is_page(bytes, 0) && has_magic(page));
  }
  if (!own.has_sums || !is_page(bytes, offset)) return code;
  if (!has_good_sum(page, static_cast<std::uint32_t>(offset / bytes + 1))) return SQLITE_IOERR_DATA;
  // SQLite hands these bytes on with the page when it changes: a copy made of the journal must not have an old sum.
  std::memset(static_cast<std::byte*>(into) + bytes - kPageSumBytes, 0, kPageSumBytes);
  return SQLITE_OK;
}

int write(sqlite3_file* file, const void* from, int bytes, sqlite3_int64 offset) {
  File& own = of(file);
  const auto pass_on = [&](const void* what) { return own.real->pMethods->xWrite(own.real, what, bytes, offset); };
  if (!own.is_database || !is_page(bytes, offset)) return pass_on(from);
  const ByteView given(static_cast<const std::byte*>(from), static_cast<std::size_t>(bytes));
  if (offset == 0) own.has_sums = given[kReservedAt] == std::byte{kPageSumBytes};
  if (!own.has_sums) return pass_on(from);
  try {
    std::vector<std::byte> page(given.begin(), given.end());
    const std::uint32_t sum = sum_of(page, static_cast<std::uint32_t>(offset / bytes + 1));
    std::byte* const at = page.data() + page.size() - kPageSumBytes;
    for (std::size_t i = 0; i < 4; ++i) at[i] = static_cast<std::byte>(sum >> (8 * i));
    std::memcpy(at + 4, kMagic.data(), kMagic.size());
    return pass_on(page.data());
  } catch (const std::bad_alloc&) {
    return SQLITE_IOERR_NOMEM;
  }
}

int sync(sqlite3_file* file, int flags) {
  File& own = of(file);
  if (own.sync_failed) {
    errno = EIO;  // For xGetLastError.
    return SQLITE_IOERR_FSYNC;
  }
  const int code = own.real->pMethods->xSync(own.real, flags);
  own.sync_failed = code != SQLITE_OK;
  return code;
}

int close(sqlite3_file* file) {
  sqlite3_file* const inner = real(file);
  const int code = inner->pMethods != nullptr ? inner->pMethods->xClose(inner) : SQLITE_OK;
  sqlite3_free(inner);
  return code;
}

const sqlite3_io_methods& methods() {
  static const sqlite3_io_methods kMethods = [] {
    sqlite3_io_methods m{};
    m.iVersion = 2;  // Without memory maps, which would show pages that nobody checked.
    m.xClose = close;
    m.xRead = read;
    m.xWrite = write;
    m.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) { return real(f)->pMethods->xTruncate(real(f), size); };
    m.xSync = sync;
    m.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); };
    m.xLock = [](sqlite3_file* f, int how) { return real(f)->pMethods->xLock(real(f), how); };
    m.xUnlock = [](sqlite3_file* f, int how) { return real(f)->pMethods->xUnlock(real(f), how); };
    m.xCheckReservedLock = [](sqlite3_file* f, int* out) {
      return real(f)->pMethods->xCheckReservedLock(real(f), out);
    };
    m.xFileControl = [](sqlite3_file* f, int op, void* arg) {
      return real(f)->pMethods->xFileControl(real(f), op, arg);
    };
    m.xSectorSize = [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); };
    m.xDeviceCharacteristics = [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); };
    m.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** to) {
      return real(f)->pMethods->xShmMap(real(f), page, size, extend, to);
    };
    m.xShmLock = [](sqlite3_file* f, int at, int n, int flags) {
      return real(f)->pMethods->xShmLock(real(f), at, n, flags);
    };
    m.xShmBarrier = [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); };
    m.xShmUnmap = [](sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); };
    return m;
  }();
  return kMethods;
}

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  File& own = of(file);
  own = {};
  sqlite3_vfs* const inner = below(vfs);
  own.real = static_cast<sqlite3_file*>(sqlite3_malloc(inner->szOsFile));
  if (own.real == nullptr) return SQLITE_NOMEM;
  std::memset(own.real, 0, static_cast<std::size_t>(inner->szOsFile));
  own.is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
  const int code = inner->xOpen(inner, name, own.real, flags, out_flags);
  if (code == SQLITE_OK || own.real->pMethods != nullptr) {
    own.base.pMethods = &methods();  // SQLite closes what has methods, also after a failure.
  } else {
    sqlite3_free(own.real);
  }
  return code;
}

/// All but xOpen is `base`'s own.
sqlite3_vfs make_vfs(sqlite3_vfs* base, const char* name) {
  sqlite3_vfs vfs{};
  vfs.iVersion = 1;
  vfs.szOsFile = sizeof(File);
  vfs.mxPathname = base->mxPathname;
  vfs.zName = name;
  vfs.pAppData = base;
  vfs.xOpen = open;
  vfs.xDelete = [](sqlite3_vfs* v, const char* path, int sync) { return below(v)->xDelete(below(v), path, sync); };
  vfs.xAccess = [](sqlite3_vfs* v, const char* path, int flags, int* out) {
    return below(v)->xAccess(below(v), path, flags, out);
  };
  vfs.xFullPathname = [](sqlite3_vfs* v, const char* path, int bytes, char* to) {
    return below(v)->xFullPathname(below(v), path, bytes, to);
  };
  vfs.xRandomness = [](sqlite3_vfs* v, int bytes, char* to) { return below(v)->xRandomness(below(v), bytes, to); };
  vfs.xSleep = [](sqlite3_vfs* v, int microseconds) { return below(v)->xSleep(below(v), microseconds); };
  vfs.xCurrentTime = [](sqlite3_vfs* v, double* to) { return below(v)->xCurrentTime(below(v), to); };
  vfs.xGetLastError = [](sqlite3_vfs* v, int bytes, char* to) { return below(v)->xGetLastError(below(v), bytes, to); };
  return vfs;
}

/// One of each base; SQLite keeps pointers to both.
struct Registered {
  std::string name;
  sqlite3_vfs vfs;
};

}  // namespace

bool has_good_sum(ByteView page, std::uint32_t number) {
  const ByteView sum = page.last(kPageSumBytes);
  const std::uint32_t wanted = sum_of(page, number);
  bool is_good = has_magic(page);
  for (std::size_t i = 0; i < 4; ++i) is_good = is_good && sum[i] == static_cast<std::byte>(wanted >> (8 * i));
  return is_good || std::ranges::all_of(sum, [](std::byte one) { return one == std::byte{}; });
}

const char* page_sums_vfs(const char* base_name) {
  static Mutex mutex;
  static std::map<std::string, Registered> all;
  sqlite3_vfs* const base = sqlite3_vfs_find(base_name);
  COFFER_CHECK(base != nullptr);
  const MutexLock lock(mutex);
  const auto [found, is_new] = all.try_emplace(base->zName);
  Registered& own = found->second;
  if (!is_new) return own.name.c_str();
  own.name = std::string(kName) + "-" + base->zName;
  own.vfs = make_vfs(base, own.name.c_str());
  COFFER_CHECK(sqlite3_vfs_register(&own.vfs, 0) == SQLITE_OK);
  return own.name.c_str();
}

void reserve_page_sums(sqlite3* db) {
  int bytes = kPageSumBytes;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes);
}

}  // namespace coffer::db
