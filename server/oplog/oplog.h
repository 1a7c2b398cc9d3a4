// The append-only log of one vault: its commits, the server's receipts, the lease and the key slots.
//
// One SQLite file, D/vaults/<vault>/oplog.db; OPLOG.md says what it holds and what is checked. There is no call
// that changes or removes a commit.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/crypto/sign.h"
#include "common/object/commit.h"
#include "common/object/key_slots.h"
#include "common/object/quota.h"
#include "common/os/clock.h"
#include "common/os/disk.h"

namespace coffer::oplog {

using object::kKeySlotBytesMax;
using object::kKeySlotsMax;
/// Removed ones that are kept; what a client may remove at most within kLockFor.
inline constexpr std::size_t kRemovedSlotsMax = 64;
/// For how long nothing that a client gives up is thrown away, by the server's clock.
inline constexpr std::chrono::hours kLockFor{7 * 24};
using object::kAddedOverheadBytes;
using object::kCommitOverheadBytes;
inline constexpr std::uint64_t kNoLogLimit = ~std::uint64_t{0};

struct Head {
  std::uint64_t seq = 0;  ///< 0: the log is empty, and `hash` zeros.
  object::CommitHash hash;
  Bytes receipt;  ///< Encoded; empty where seq is 0.
};

struct Page {
  std::vector<Bytes> commits;  ///< In order, from the first one asked for.
  Head head;
};

struct Lease {
  bool granted = false;
  std::uint64_t epoch = 0;
  std::chrono::milliseconds ttl{};  ///< Until the holder's lease ends unless it is renewed.
  object::ClientId holder;
};

struct KeySlot {
  std::uint64_t number = 0;
  Bytes slot;
  std::optional<std::int64_t> removed_ns;  ///< Since 1970.
};

/// Says whether a chunk is on stable storage; may see to it that it is, or begin to and leave the rest to Settled. It
/// is the last that is asked whether a commit may be appended, and must not call the log.
using IsStored = std::function<Result<bool>(const object::ChunkId&)>;
/// Returns when all that IsStored has begun is on stable storage. It is called before the commit can be, and must
/// not call the log; where it fails, the commit is not appended.
using Settled = std::function<Result<void>()>;

/// Thread-safe; every call that changes something is one transaction, on stable storage when it returns, and may
/// wait for the disk. Keeps references to key and clock.
class OpLog {
 public:
  static Result<std::unique_ptr<OpLog>> open(const std::string& path, const object::VaultId& vault,
                                             const crypto::SigningKey& key, os::Clock& clock,
                                             os::Disk& disk = os::real_disk());
  ~OpLog();

  /// Appends the commit of `client` and returns the encoded receipt; the same bytes again return the same receipt.
  /// Fault::refused: EINVAL not a commit of this vault; ESTALE not the next one; EROFS not under the current lease;
  /// ENOENT names a chunk that is not stored.
  /// Fault::full: EDQUOT where log_bytes() would grow beyond `log_bytes_max`; ENOSPC where the disk is nearly full.
  Result<Bytes> append(ByteView commit, const object::ClientId& client, const IsStored& is_stored,
                       std::uint64_t log_bytes_max = kNoLogLimit, const Settled& settled = nullptr);
  /// What counts against a quota: the bytes of all commits, and what keeping them takes besides.
  Result<std::uint64_t> log_bytes();
  Result<Head> head();
  enum class First { in_any_case, if_it_fits };
  /// Commits from `from_seq` on while they fit into `bytes_max`.
  Result<Page> read(std::uint64_t from_seq, std::uint64_t bytes_max, First first = First::in_any_case);
  /// Whether a commit has added the chunk, and none has released it since.
  Result<bool> is_present(const object::ChunkId& id);
  /// At most `count_max` chunks that are present and behind `after`, ascending; none: that was all.
  Result<std::vector<object::ChunkId>> present_after(const std::optional<object::ChunkId>& after,
                                                     std::size_t count_max);
  /// Called after each append(), on its thread, from before the first append() on.
  void on_append(std::function<void()> call);

  /// Granted where nobody holds the lease, where it is over, where it is the client's own, or with `force`. Each
  /// grant has a higher epoch than all before.
  Result<Lease> acquire_lease(const object::ClientId& client, bool force);
  /// Granted also where `held` is the lease as it stands: its holder can no longer write.
  Result<Lease> take_lease_from(const Lease& held, const object::ClientId& client);
  /// Fault::refused with EROFS unless the client holds the lease under this epoch; so does release_lease().
  Result<std::chrono::milliseconds> renew_lease(const object::ClientId& client, std::uint64_t epoch);
  Result<void> release_lease(const object::ClientId& client, std::uint64_t epoch);

  Result<std::vector<KeySlot>> key_slots();
  /// Fault::refused: EEXIST where `only_if_first` and there is one; EFBIG too long; ENOSPC too many.
  Result<std::uint64_t> put_key_slot(ByteView slot, bool only_if_first);
  /// It is kept for kLockFor. Fault::refused: ENOENT no such slot; EBUSY the last one, which stays; ENOSPC
  /// kRemovedSlotsMax are kept already.
  Result<void> remove_key_slot(std::uint64_t number);
  /// Those that were removed and are still kept.
  Result<std::vector<KeySlot>> removed_key_slots();
  /// For the server's own command line: brings slots back and removes others, in one step and however many are kept.
  /// Fault::refused with a sentence where one is not there, and where none or more than kKeySlotsMax would be left.
  Result<void> change_key_slots(const std::vector<std::uint64_t>& restored, const std::vector<std::uint64_t>& removed);

 private:
  struct State;
  explicit OpLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What a walk over a whole log found.
struct LogReport {
  std::uint64_t commits = 0;
  std::vector<std::string> damage;       ///< Sentences.
  std::vector<object::ChunkId> present;  ///< Added and not released since, ascending.
};

/// Recomputes the hash chain, compares every receipt and the table of chunks with it. Opens the file by itself, beside
/// a running server too. Fails only where the file cannot be read at all.
Result<LogReport> check_log(const std::string& path, const object::VaultId& vault, const crypto::PublicKey& key);

}  // namespace coffer::oplog
