// Locks, connections and transactions around what store.h and read.h do.
#include "fs/meta/tree.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <type_traits>
#include <utility>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/os/disk.h"
#include "fs/meta/read.h"
#include "fs/meta/schema.h"
#include "fs/meta/store.h"

namespace coffer::meta {
namespace {

/// 32 MiB of journal: rare checkpoints, and a restart that reads no more than this.
constexpr const char* kCheckpointPages = "PRAGMA wal_autocheckpoint=8192";
constexpr int kWriterCacheKib = 32 << 10;
constexpr int kReaderCacheKib = 8 << 10;
/// So long operations share a transaction at most: what a power cut takes stays within a second or so.
constexpr auto kSharedFor = std::chrono::milliseconds(200);
/// Changes since the last draft up to which a commit is small: it shares a transaction, as what it holds did.
constexpr std::uint64_t kSmallCommitChanges = 100;

}  // namespace

struct Tree::Impl {
  Impl(Connection writer, std::unique_ptr<RedoLog> log, std::optional<Connection> second, os::Clock& clock,
       TreeEvents& events_to_tell)
      : store(std::move(writer), std::move(log), clock, pins), reader(std::move(second)), events(events_to_tell) {}

  template <class Work>
  static std::invoke_result_t<Work, Store&> transact(Store& s, Sharing sharing, Work& work) {
    return s.transact(sharing, [&] { return work(s); });
  }

  /// One operation; `then` follows if it succeeds. What it dropped and made owed is told when all locks are free.
  template <class Work, class Then>
  std::invoke_result_t<Work, Store&> write(Sharing sharing, Work work, Then then) EXCLUDES(writer_mutex) {
    std::vector<ChunkRow> dropped;
    std::optional<std::invoke_result_t<Work, Store&>> result;
    bool has_changed = false;
    bool has_opened = false;
    {
      MutexLock lock(writer_mutex);
      const bool was_open = is_open();
      const std::uint64_t version_before = store.counters().version;
      result.emplace(transact(store, sharing, work));
      if (*result) then(store);
      dropped = store.take_dropped();
      version.store(store.counters().version, std::memory_order_release);
      has_changed = store.counters().version != version_before;  // Whatever becomes owed takes a version.
      has_opened = is_open() && !was_open;
    }
    if (has_opened) settle_soon();
    tell_if_failed(*result);
    for (const ChunkRow& chunk : dropped) events.chunk_dropped(chunk);
    if (has_changed) events.changed();
    return *std::move(result);
  }

  template <class T>
  void tell_if_failed(const Result<T>& result) {
    if (!result && result.error().fault == Fault::local_io) events.failed(result.error());
  }

  /// For what comes often and is small.
  template <class Work>
  std::invoke_result_t<Work, Store&> share(Work work) EXCLUDES(writer_mutex) {
    return write(Sharing::shared, std::move(work), [](Store&) {});
  }
  template <class Work>
  std::invoke_result_t<Work, Store&> write(Work work) EXCLUDES(writer_mutex) {
    return write(Sharing::alone, std::move(work), [](Store&) {});
  }

  /// Something that needs the writer's connection or memory, but no transaction.
  template <class Work>
  std::invoke_result_t<Work, Store&> with_store(Work work) EXCLUDES(writer_mutex) {
    MutexLock lock(writer_mutex);
    if constexpr (!std::is_void_v<std::invoke_result_t<Work, Store&>>) COFFER_DO(store.transactions().readable());
    return work(store);
  }

  /// One statement. The writer's connection has the warmer cache; while it is busy with an operation that is alone, the
  /// reader's sees all that was answered, and does not wait.
  template <class Work>
  std::invoke_result_t<Work, Connection&> read(Work work) EXCLUDES(writer_mutex, reader_mutex) {
    if (writer_mutex.try_lock()) {
      const Result<void> readable = store.transactions().readable();
      std::invoke_result_t<Work, Connection&> result =
          readable ? work(store.connection()) : std::invoke_result_t<Work, Connection&>(readable.error());
      writer_mutex.unlock();
      return result;
    }
    if (!reader || is_open()) return with_store([&](Store& s) { return work(s.connection()); });
    MutexLock lock(reader_mutex);
    return work(*reader);
  }

  void drop_if_unused(ChunkKey chunk) EXCLUDES(writer_mutex) {
    // Nearly always it is used, and no transaction is needed. A failure leaves it to the next open().
    const Result<bool> unused = with_store([&](Store& s) { return s.is_unused(chunk); });
    if (unused && *unused) (void)share([&](Store& s) { return s.drop_if_unused(chunk); });
  }

  bool is_open() const { return transactions->is_open(); }

  void settle_soon() EXCLUDES(settler_mutex) {
    const MutexLock lock(settler_mutex);
    settle_at = std::chrono::steady_clock::now() + kSharedFor;
    settler_wakes.notify_one();
  }

  /// The settler's thread: no shared transaction stays open for long.
  void settle_in_time() EXCLUDES(settler_mutex, writer_mutex) {
    for (;;) {
      {
        const MutexLock lock(settler_mutex);
        while (!is_stopping && !settle_at) settler_wakes.wait(settler_mutex);
        while (!is_stopping && std::chrono::steady_clock::now() < *settle_at) {
          settler_wakes.wait_until(settler_mutex, *settle_at);
        }
        settle_at.reset();
        if (is_stopping) return;
      }
      settle();
    }
  }

  void settle() EXCLUDES(settler_mutex, writer_mutex) {
    Result<void> settled;
    {
      const MutexLock lock(writer_mutex);
      settled = store.transactions().settle();
    }
    if (settled) return;
    log::warn("tree_not_settled", {{"why", settled.error().what}});  // All of it is in the redo log.
    tell_if_failed(settled);
    settle_soon();
  }

  void stop() EXCLUDES(settler_mutex, writer_mutex) {
    {
      const MutexLock lock(settler_mutex);
      is_stopping = true;
      settler_wakes.notify_one();
    }
    if (settler.joinable()) settler.join();
    settle();
  }

  Pins pins;
  Mutex writer_mutex;
  Store store GUARDED_BY(writer_mutex);
  const Transactions* transactions = &store.transactions();  ///< For is_open() alone.
  Mutex reader_mutex;
  std::optional<Connection> reader;  ///< Used under reader_mutex; that it is there never changes.
  TreeEvents& events;
  std::atomic<std::uint64_t> version{0};
  std::atomic<std::uint64_t> drafted_at{0};  ///< The version when the last draft was made.
  std::atomic<Sharing> draft_sharing{Sharing::alone};

  Mutex settler_mutex;
  Condition settler_wakes;
  std::optional<std::chrono::steady_clock::time_point> settle_at GUARDED_BY(settler_mutex);
  bool is_stopping GUARDED_BY(settler_mutex) = false;
  std::thread settler;  ///< Where there is a redo log.
};

Tree::Tree(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tree::~Tree() { impl_->stop(); }

Result<std::unique_ptr<Tree>> Tree::open(const std::string& path, os::Clock& clock, TreeEvents& events,
                                         os::Disk& disk) {
  COFFER_TRY(db::Database database,
             db::Database::open(path, {.sync = db::Sync::normal, .cache_kib = kWriterCacheKib, .disk = &disk}));
  COFFER_DO(migrate(database));
  COFFER_DO(database.execute(kCheckpointPages));
  std::optional<Connection> reader;
  std::unique_ptr<RedoLog> log;
  if (path != ":memory:") {
    COFFER_TRY(log, RedoLog::open(disk, path + "-redo"));
    COFFER_TRY(db::Database second,
               db::Database::open(
                   path, {.sync = db::Sync::normal, .read_only = true, .cache_kib = kReaderCacheKib, .disk = &disk}));
    reader.emplace(std::move(second));
  }
  std::unique_ptr<Impl> impl =
      std::make_unique<Impl>(Connection(std::move(database)), std::move(log), std::move(reader), clock, events);
  COFFER_DO(impl->with_store([](Store& store) { return store.load(); }));
  std::unique_ptr<Tree> tree(new Tree(std::move(impl)));
  COFFER_DO(tree->impl_->write([](Store&) { return Result<void>(); }));  // Tells what load() dropped.
  tree->impl_->settler = std::thread([impl = tree->impl_.get()] { impl->settle_in_time(); });
  return tree;
}

Result<Attributes> Tree::lookup(InodeId parent, std::string_view name) {
  return impl_->read([&](Connection& c) { return read::lookup(c, parent, name); });
}
Result<Attributes> Tree::attributes(InodeId inode) {
  return impl_->read([&](Connection& c) { return read::attributes(c, inode); });
}
Result<Attributes> Tree::create(InodeId parent, std::string_view name, const NewInode& what) {
  return impl_->share([&](Store& store) { return store.create(parent, name, what); });
}
Result<Attributes> Tree::link(InodeId inode, InodeId new_parent, std::string_view name) {
  return impl_->share([&](Store& store) { return store.link(inode, new_parent, name); });
}
Result<void> Tree::unlink(InodeId parent, std::string_view name) {
  return impl_->share([&](Store& store) { return store.unlink(parent, name); });
}
Result<void> Tree::rmdir(InodeId parent, std::string_view name) {
  return impl_->share([&](Store& store) { return store.rmdir(parent, name); });
}
Result<void> Tree::rename(InodeId parent, std::string_view name, InodeId new_parent, std::string_view new_name,
                          RenameMode mode) {
  return impl_->share([&](Store& store) { return store.rename(parent, name, new_parent, new_name, mode); });
}
Result<std::string> Tree::symlink_target(InodeId inode) {
  return impl_->read([&](Connection& c) { return read::symlink_target(c, inode); });
}
Result<std::vector<Entry>> Tree::entries(InodeId folder, std::uint64_t after, std::size_t count_max) {
  return impl_->read([&](Connection& c) { return read::entries(c, folder, after, count_max); });
}
Result<std::uint64_t> Tree::last_cookie(InodeId folder) {
  return impl_->read([&](Connection& c) { return read::last_cookie(c, folder); });
}
Result<InodeId> Tree::parent_of(InodeId folder) {
  return impl_->read([&](Connection& c) { return read::parent_of(c, folder); });
}
Result<InodeId> Tree::resolve(std::string_view path) {
  return impl_->with_store([&](Store& store) { return read::resolve(store.connection(), path); });
}
Result<std::string> Tree::path_of(InodeId inode) {
  return impl_->with_store([&](Store& store) { return read::path_of(store.connection(), inode); });
}
Result<std::vector<std::pair<InodeId, std::string>>> Tree::names_of(InodeId inode) {
  return impl_->with_store([&](Store& store) { return read::names_of(store.connection(), inode); });
}
Result<Attributes> Tree::change(InodeId inode, const AttributeChange& change) {
  return impl_->share([&](Store& store) { return store.change(inode, change); });
}
Result<std::string> Tree::xattr(InodeId inode, std::string_view name) {
  return impl_->read([&](Connection& c) { return read::xattr(c, inode, name); });
}
Result<std::vector<std::string>> Tree::xattrs(InodeId inode) {
  return impl_->read([&](Connection& c) { return read::xattrs(c, inode); });
}
Result<void> Tree::set_xattr(InodeId inode, std::string_view name, ByteView value, XattrMode mode) {
  return impl_->share([&](Store& store) { return store.set_xattr(inode, name, value, mode); });
}
Result<void> Tree::remove_xattr(InodeId inode, std::string_view name) {
  return impl_->share([&](Store& store) { return store.remove_xattr(inode, name); });
}

void Tree::pin(InodeId inode, std::uint64_t count) { impl_->pins.pin(inode, count); }
void Tree::unpin(InodeId inode, std::uint64_t count) {
  if (!impl_->pins.unpin(inode, count)) return;
  // A failure leaves the inode to the next open().
  (void)impl_->share([&](Store& store) { return store.drop_unlinked(inode); });
}
Result<Totals> Tree::totals() {
  return impl_->with_store([](Store& store) -> Result<Totals> {
    const Counters& counters = store.counters();
    return Totals{.files = counters.files, .bytes = counters.bytes, .sealed_bytes = counters.sealed_bytes};
  });
}

Result<std::vector<Extent>> Tree::extents(InodeId inode, FileOffset begin, FileOffset end) {
  return impl_->read([&](Connection& c) { return read::extents(c, inode, begin, end); });
}
Result<Mark> Tree::record(InodeId inode, const Content& content) {
  return impl_->write(
      Sharing::shared, [&](Store& store) { return store.record(inode, content); },
      [&](Store& store) { store.use_up_keeps(content); });
}
Result<std::optional<PieceAt>> Tree::find_piece(const PieceId& piece) {
  return impl_->with_store([&](Store& store) { return store.find_piece(piece); });
}
Result<void> Tree::forget_pieces(std::span<const ChunkKey> chunks) {
  return impl_->write([&](Store& store) { return store.forget_pieces(chunks); });
}
void Tree::keep(const PieceAt& piece) {
  impl_->with_store([&](Store& store) { store.keep(piece); });
}
void Tree::let_go(const PieceAt& piece) {
  impl_->with_store([&](Store& store) { store.let_go(piece); });
  impl_->drop_if_unused(piece.chunk);
}
void Tree::let_go(ChunkKey chunk) {
  impl_->with_store([&](Store& store) { store.let_go(chunk); });
  impl_->drop_if_unused(chunk);
}
Result<ChunkKey> Tree::add_open_chunk() {
  return impl_->share([](Store& store) { return store.add_open_chunk(); });
}
Result<ChunkKey> Tree::add_spooled_chunk(const object::ChunkId& id, std::uint32_t sealed_bytes,
                                         std::uint32_t plain_bytes, Priority priority) {
  return impl_->share([&](Store& store) { return store.add_spooled_chunk(id, sealed_bytes, plain_bytes, priority); });
}
Result<void> Tree::chunk_sealed(ChunkKey chunk, const object::ChunkId& id, std::uint32_t sealed_bytes,
                                std::uint32_t plain_bytes) {
  COFFER_DO(impl_->share([&](Store& store) { return store.chunk_sealed(chunk, id, sealed_bytes, plain_bytes); }));
  let_go(chunk);
  return {};
}
Result<std::vector<Range>> Tree::live_ranges(ChunkKey chunk) {
  return impl_->share([&](Store& store) { return store.live_ranges(chunk); });
}
Result<ChunkRow> Tree::chunk(ChunkKey chunk) {
  return impl_->read([&](Connection& c) { return read::chunk(c, chunk); });
}
Result<std::optional<ChunkRow>> Tree::chunk_by_id(const object::ChunkId& id) {
  return impl_->read([&](Connection& c) { return read::chunk_by_id(c, id); });
}
Result<std::vector<ChunkRow>> Tree::open_chunks() {
  return impl_->with_store([](Store& store) { return read::open_chunks(store.connection()); });
}
Result<std::vector<ChunkRow>> Tree::chunks_after(ChunkKey after, std::size_t count_max) {
  return impl_->read([&](Connection& c) { return read::chunks_after(c, after, count_max); });
}

Result<std::vector<ChunkRow>> Tree::owed_chunks(std::size_t count_max, const std::function<bool(ChunkKey)>& skip) {
  return impl_->with_store([&](Store& store) { return store.owed_chunks(count_max, skip); });
}
Result<void> Tree::chunks_stored(std::span<const ChunkKey> chunks) {
  return impl_->share([&](Store& store) { return store.chunks_stored(chunks); });
}
Result<void> Tree::chunks_lost(std::span<const object::ChunkId> chunks) {
  return impl_->write([&](Store& store) { return store.chunks_lost(chunks); });
}
Result<void> Tree::raise(InodeId inode) {
  return impl_->share([&](Store& store) { return store.raise(inode); });
}
void Tree::hold(InodeId inode, bool held) {
  impl_->with_store([&](Store& store) { store.hold(inode, held); });
  if (!held) impl_->events.changed();
}

Result<void> Tree::let_go_for(InodeId inode) {
  COFFER_TRY(const bool let_go, impl_->with_store([&](Store& store) { return store.let_go_for(inode); }));
  if (let_go) impl_->events.changed();
  return {};
}

Result<std::optional<Bytes>> Tree::draft_commit(const std::function<Result<Bytes>(const Draft&)>& seal,
                                                std::vector<CarriedChunk>* carried) {
  const std::uint64_t version = impl_->version.load();
  impl_->draft_sharing =
      version - impl_->drafted_at.exchange(version) <= kSmallCommitChanges ? Sharing::shared : Sharing::alone;
  return impl_->write(
      impl_->draft_sharing, [&](Store& store) { return store.draft_commit(seal, carried); }, [](Store&) {});
}
Result<std::vector<CarriedChunk>> Tree::carried() {
  return impl_->with_store([](Store& store) { return store.carried(); });
}
Result<std::optional<Bytes>> Tree::pending_commit() {
  return impl_->with_store([](Store& store) { return store.pending_commit(); });
}
Result<void> Tree::commit_done(std::uint64_t seq, const object::CommitHash& hash, ByteView receipt) {
  return impl_->write(
      impl_->draft_sharing, [&](Store& store) { return store.commit_done(seq, hash, receipt); }, [](Store&) {});
}
Result<Bytes> Tree::receipt() {
  return impl_->with_store([](Store& store) { return store.receipt(); });
}
Result<void> Tree::commit_refused() {
  return impl_->write([](Store& store) { return store.commit_refused(); });
}
Result<Head> Tree::head() {
  return impl_->with_store([](Store& store) -> Result<Head> {
    return Head{.seq = store.counters().head_seq, .hash = store.counters().head_hash};
  });
}
Result<Changed> Tree::apply(const object::Commit& commit, ByteView opened_payload, const object::CommitHash& hash) {
  return impl_->write([&](Store& store) { return store.apply(commit, opened_payload, hash); });
}
Result<void> Tree::take_over() {
  return impl_->write([](Store& store) { return store.take_over(); });
}

Result<std::string> Tree::id() {
  return impl_->with_store([](Store& store) { return store.id(); });
}
Mark Tree::mark() { return Mark(impl_->version.load(std::memory_order_acquire)); }
Result<bool> Tree::committed_up_to(Mark mark) {
  return impl_->with_store([&](Store& store) { return store.committed_up_to(mark); });
}
Result<bool> Tree::committed(InodeId inode) {
  return impl_->with_store([&](Store& store) { return store.committed(inode); });
}
Result<Level> Tree::level(InodeId inode) {
  return impl_->with_store([&](Store& store) { return store.level(inode); });
}
Result<Owed> Tree::owed() {
  return impl_->with_store([](Store& store) { return store.owed(); });
}
Result<std::vector<OwedPath>> Tree::owed_paths() {
  return impl_->with_store([](Store& store) { return store.owed_paths(); });
}
Result<std::vector<InodeId>> Tree::users_of(ChunkKey chunk) {
  return impl_->with_store([&](Store& store) { return store.users_of(chunk); });
}
Result<void> Tree::set_verified(std::span<const object::ChunkId> chunks, std::int64_t when_ns) {
  return impl_->write([&](Store& store) { return store.set_verified(chunks, when_ns); });
}
Result<std::optional<std::int64_t>> Tree::verified_since(InodeId inode) {
  return impl_->with_store([&](Store& store) { return store.verified_since(inode); });
}
Result<void> Tree::forget_verified(const object::ChunkId& chunk) {
  return impl_->write([&](Store& store) { return store.forget_verified(chunk); });
}
Result<void> Tree::power_safe() {
  Result<void> safe = impl_->with_store([](Store& store) { return store.transactions().power_safe(); });
  impl_->tell_if_failed(safe);
  return safe;
}

}  // namespace coffer::meta
