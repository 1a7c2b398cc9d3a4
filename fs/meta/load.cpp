#include "fs/meta/load.h"

#include <cerrno>
#include <utility>

#include "common/os/paths.h"
#include "fs/meta/pieces_of_load.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

constexpr int kCacheKib = 64 << 10;

std::string loading(const std::string& path) { return path + ".loading"; }

/// Before the file gets the name by which it is found.
Result<void> sync_file(const std::string& path, os::Disk& disk) {
  COFFER_TRY(const std::unique_ptr<os::File> file, disk.open(path, os::Open::write));
  return file->sync();
}

}  // namespace

Result<void> remove_load(const std::string& path, os::Disk& disk) {
  for (const char* end : {"", "-wal", "-shm", "-journal"}) COFFER_DO(os::remove_all(disk, loading(path) + end));
  return {};
}

Load::Load(std::string path, os::Disk& disk, const LoadLimits& limits)
    : path_(std::move(path)), disk_(disk), limits_(limits), pins_(std::make_unique<Pins>()) {}

Load::~Load() {
  store_.reset();
  (void)remove_load(path_, disk_);  // After finish() nothing is there.
}

Result<std::unique_ptr<Load>> Load::begin(const std::string& path, os::Clock& clock, os::Disk& disk,
                                          const LoadLimits& limits) {
  if (os::is_there(disk, path)) return answer(EEXIST);
  COFFER_DO(remove_load(path, disk));
  // A journal that another tree left would be run upon this one.
  for (const char* end : {"-wal", "-shm", "-redo"}) COFFER_DO(os::remove_all(disk, path + end));
  std::unique_ptr<Load> load(new Load(path, disk, limits));
  COFFER_DO(load->make_store(clock));
  return load;
}

Result<void> Load::make_store(os::Clock& clock) {
  COFFER_TRY(db::Database database,
             db::Database::open(
                 loading(path_),
                 {.sync = db::Sync::off, .cache_kib = kCacheKib, .disk = &disk_, .journal = db::Journal::memory}));
  COFFER_DO(migrate(database));
  COFFER_TRY(late_, drop_late_indexes(database));
  store_ = std::make_unique<Store>(Connection(std::move(database)), nullptr, clock, *pins_);
  COFFER_DO(store_->load());
  return store_->begin_load();
}

Head Load::head() const { return {.seq = store_->counters().head_seq, .hash = store_->counters().head_hash}; }

Result<void> Load::apply(const object::Commit& commit, const Operations& operations, const object::CommitHash& hash) {
  COFFER_DO(store_->apply_loaded(commit, operations, hash));
  if (store_->pieces_of_load()->count() >= limits_.pieces_sorted) COFFER_DO(write_pieces());
  return store_->counters().files > limits_.files_sorted ? index_rows() : Result<void>();
}

Result<void> Load::index_rows() {
  for (const std::string& sql : std::exchange(late_.of_rows, {})) {
    COFFER_DO(store_->connection().database().execute(sql.c_str()));
  }
  return {};
}

Result<void> Load::write_pieces() {
  COFFER_DO(store_->pieces_of_load()->write(store_->connection()));
  const std::string sql = std::exchange(late_.of_pieces, {});
  return store_->connection().database().execute(sql.c_str());
}

Result<void> Load::finish() {
  COFFER_DO(index_rows());
  COFFER_DO(write_pieces());
  COFFER_DO(store_->end_load());
  // Tree::open() finds a file that is in this mode; here the change of mode needs no sync.
  COFFER_DO(store_->connection().database().execute("PRAGMA journal_mode=WAL"));
  store_.reset();
  COFFER_DO(sync_file(loading(path_), disk_));
  const std::string folder = path_.substr(0, path_.rfind('/'));
  COFFER_DO(disk_.sync_folder(folder));  // First what was removed beside it.
  COFFER_DO(disk_.rename(loading(path_), path_));
  return disk_.sync_folder(folder);
}

}  // namespace coffer::meta
