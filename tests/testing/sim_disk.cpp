#include "tests/testing/sim_disk.h"

#include <iterator>

#include "tests/testing/sim_state.h"

namespace coffer::testing {
namespace {

void put_into(Bytes& content, const SimChange& change) {
  if (change.is_truncate) {
    content.resize(change.at, std::byte{0});
    return;
  }
  if (content.size() < change.at + change.bytes.size()) content.resize(change.at + change.bytes.size(), std::byte{0});
  std::ranges::copy(change.bytes, content.begin() + static_cast<std::ptrdiff_t>(change.at));
}

void put_into(SimNames& names, const SimNameChange& change) {
  if (!change.from.empty()) {
    const auto before = names.find(change.from);
    if (before != names.end() && before->second == change.node) names.erase(before);
  }
  if (change.node) {
    names[change.name] = change.node;
  } else {
    names.erase(change.name);
  }
}

/// Each sector or page of it by itself is there or not; the length may be there without the bytes.
void put_torn(Bytes& content, const SimChange& change, SimRandom& random) {
  if (change.is_truncate) {
    if (random.coin()) put_into(content, change);
    return;
  }
  const std::uint64_t unit = random.coin() ? 512 : 4096;
  const std::uint64_t end = change.at + change.bytes.size();
  if (random.coin() && content.size() < end) content.resize(end, std::byte{0});
  for (std::uint64_t at = change.at; at < end;) {
    const std::uint64_t next = std::min(end, (at / unit + 1) * unit);
    if (random.coin()) {
      const auto from = change.bytes.begin() + static_cast<std::ptrdiff_t>(at - change.at);
      put_into(content, {at, Bytes(from, from + static_cast<std::ptrdiff_t>(next - at)), false});
    }
    at = next;
  }
}

void put_torn(SimNames& names, const SimNameChange& change, SimRandom& random) {
  if (random.coin()) put_into(names, change);
}

template <class Content, class Change>
void keep_some(Content& content, const std::vector<Change>& changes, SimRandom& random) {
  switch (random.below(4)) {
    case 0: return;
    case 1:
      for (const Change& change : changes) put_into(content, change);
      return;
    case 2: {
      const std::size_t whole = changes.empty() ? 0 : random.below(changes.size());
      for (std::size_t i = 0; i < whole; ++i) put_into(content, changes[i]);
      if (whole < changes.size()) put_torn(content, changes[whole], random);
      return;
    }
    default:
      for (const Change& change : changes) put_torn(content, change, random);
  }
}

/// Moves by themselves: what the one folder keeps of one, the other keeps too.
void keep_some(SimNames& names, std::vector<SimNameChange> changes, SimRandom& random) {
  std::vector<SimNameChange> moves;
  std::ranges::copy_if(changes, std::back_inserter(moves), [](const SimNameChange& change) { return !!change.move; });
  std::erase_if(changes, [](const SimNameChange& change) { return !!change.move; });
  keep_some<SimNames, SimNameChange>(names, changes, random);
  for (const SimNameChange& change : moves) {
    if (!change.move->is_kept) change.move->is_kept = random.coin();
    if (*change.move->is_kept) put_into(names, change);
  }
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  std::string part;
  for (const char c : path + "/") {
    if (c != '/') {
      part += c;
    } else if (!part.empty()) {
      parts.push_back(std::exchange(part, {}));
    }
  }
  return parts;
}

}  // namespace

// ---- one file or folder ----------------------------------------------------------------------------------------

void SimNode::change(SimChange what) {
  put_into(now, what);
  dirty.push_back(std::move(what));
}

void SimNode::change(SimNameChange what) {
  put_into(names_now, what);
  names_dirty.push_back(std::move(what));
}

void SimNode::sync() {
  for (const SimChange& change : dirty) put_into(safe, change);
  for (const SimNameChange& change : names_dirty) {
    put_into(names_safe, change);
    if (change.move) change.move->is_kept = true;
  }
  dirty.clear();
  names_dirty.clear();
}

void SimNode::lose_power(SimRandom& random) {
  keep_some(safe, dirty, random);
  keep_some(names_safe, names_dirty, random);
  dirty.clear();
  names_dirty.clear();
  now = safe;
  names_now = names_safe;
  for (const auto& [name, node] : names_now) node->lose_power(random);
}

// ---- the disk --------------------------------------------------------------------------------------------------

Result<void> SimDisk::State::check(std::uint64_t of_epoch) const {
  if (is_off || of_epoch != epoch) return power_is_off();
  return {};
}

Result<bool> SimDisk::State::count(std::uint64_t of_epoch) {
  COFFER_DO(check(of_epoch));
  ++calls;
  is_off = calls == cut_at;
  return !is_off;
}

Result<void> SimDisk::State::sync(SimNode& node, std::uint64_t of_epoch) {
  COFFER_TRY(const bool is_on, count(of_epoch));
  if (!is_on) return power_is_off();
  if (++syncs == fail_sync_at) {
    sync_failed = true;
    node.dirty.clear();
    return os_error(EIO, "sync");
  }
  node.sync();
  return {};
}

Result<void> SimDisk::State::change(SimNode& node, SimChange what, std::uint64_t of_epoch) {
  COFFER_TRY(const bool is_on, count(of_epoch));
  node.change(std::move(what));
  return is_on ? said_of_change() : power_is_off();
}

Result<void> SimDisk::State::change(SimNode& node, SimNameChange what, std::uint64_t of_epoch) {
  COFFER_TRY(const bool is_on, count(of_epoch));
  node.change(std::move(what));
  return is_on ? said_of_change() : power_is_off();
}

Result<void> SimDisk::State::said_of_change() {
  if (++changes != fail_change_at) return {};
  change_failed = true;
  return os_error(EIO, "write");
}

Result<std::pair<SimNodePtr, std::string>> SimDisk::State::folder_of(const std::string& path) {
  std::vector<std::string> parts = parts_of(path);
  if (parts.empty()) return os_error(EINVAL, "no name");
  const std::string last = parts.back();
  parts.pop_back();
  SimNodePtr folder = root;
  for (const std::string& part : parts) {
    const auto found = folder->names_now.find(part);
    if (found == folder->names_now.end()) return os_error(ENOENT, "sim");
    folder = found->second;
    if (!folder->is_folder) return os_error(ENOTDIR, "sim");
  }
  return std::pair(folder, last);
}

Result<SimNodePtr> SimDisk::State::find(const std::string& path) {
  if (parts_of(path).empty()) return root;
  COFFER_TRY(const auto place, folder_of(path));
  const auto found = place.first->names_now.find(place.second);
  if (found == place.first->names_now.end()) return os_error(ENOENT, "sim");
  return found->second;
}

Result<SimNodePtr> SimDisk::State::open(const std::string& path, os::Open how) {
  COFFER_DO(check(epoch));
  Result<SimNodePtr> found = find(path);
  if (found && how == os::Open::create_new) return os_error(EEXIST, "open");
  if (found && (*found)->is_folder) return os_error(EISDIR, "open");
  const bool makes = how == os::Open::create || how == os::Open::create_new;
  if (found || found.error().code != ENOENT || !makes) return found;
  COFFER_TRY(const auto place, folder_of(path));
  auto made = std::make_shared<SimNode>();
  COFFER_DO(change(*place.first, SimNameChange{place.second, made, ""}, epoch));
  return made;
}

Result<void> SimDisk::State::remove(const std::string& path) {
  COFFER_DO(check(epoch));
  COFFER_TRY(const SimNodePtr node, find(path));
  if (!node->names_now.empty()) return os_error(ENOTEMPTY, "remove");
  COFFER_TRY(const auto place, folder_of(path));
  return change(*place.first, SimNameChange{place.second, nullptr, ""}, epoch);
}

Result<void> SimDisk::State::move(const std::string& from, const std::string& to) {
  COFFER_DO(check(epoch));
  COFFER_TRY(const SimNodePtr node, find(from));
  COFFER_TRY(const auto old_place, folder_of(from));
  COFFER_TRY(const auto new_place, folder_of(to));
  if (old_place.first == new_place.first) {
    return change(*new_place.first, SimNameChange{new_place.second, node, old_place.second}, epoch);
  }
  COFFER_TRY(const bool is_on, count(epoch));
  const auto both = std::make_shared<SimMove>();
  new_place.first->change(SimNameChange{new_place.second, node, "", both});
  old_place.first->change(SimNameChange{old_place.second, nullptr, "", both});
  return is_on ? said_of_change() : power_is_off();
}

void SimDisk::State::restart() {
  if (is_off) root->lose_power(random);
  is_off = false;
  ++epoch;
  calls = cut_at = syncs = fail_sync_at = changes = fail_change_at = 0;
  sync_failed = change_failed = false;
  locks.clear();
}

class SimDisk::SimFile : public os::File {
 public:
  SimFile(std::shared_ptr<State> state, SimNodePtr node, std::uint64_t epoch)
      : state_(std::move(state)), node_(std::move(node)), epoch_(epoch) {}

  Result<std::size_t> read_at(MutableByteView into, std::uint64_t offset) override {
    const MutexLock lock(state_->mutex);
    COFFER_DO(state_->check(epoch_));
    if (offset >= node_->now.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(into.size(), node_->now.size() - offset);
    std::memcpy(into.data(), node_->now.data() + offset, count);
    return count;
  }
  Result<void> write_at(ByteView bytes, std::uint64_t offset) override {
    const MutexLock lock(state_->mutex);
    return state_->change(*node_, SimChange{offset, copy_of(bytes), false}, epoch_);
  }
  Result<void> sync() override {
    const MutexLock lock(state_->mutex);
    return state_->sync(*node_, epoch_);
  }
  Result<void> truncate(std::uint64_t bytes) override {
    const MutexLock lock(state_->mutex);
    return state_->change(*node_, SimChange{bytes, {}, true}, epoch_);
  }
  Result<std::uint64_t> size() override {
    const MutexLock lock(state_->mutex);
    COFFER_DO(state_->check(epoch_));
    return std::uint64_t{node_->now.size()};
  }
  Result<void> punch(std::uint64_t offset, std::uint64_t bytes) override {
    const MutexLock lock(state_->mutex);
    const std::uint64_t end = std::min<std::uint64_t>(offset + bytes, node_->now.size());
    if (end <= offset) return {};
    return state_->change(*node_, SimChange{offset, Bytes(end - offset, std::byte{0}), false}, epoch_);
  }

 private:
  const std::shared_ptr<State> state_;
  const SimNodePtr node_;
  const std::uint64_t epoch_;
};

class SimDisk::SimLock : public os::DiskLock {
 public:
  SimLock(std::shared_ptr<State> state, std::string path, std::uint64_t epoch)
      : state_(std::move(state)), path_(std::move(path)), epoch_(epoch) {}
  ~SimLock() override {
    const MutexLock lock(state_->mutex);
    if (state_->epoch == epoch_) state_->locks.erase(path_);
  }

 private:
  const std::shared_ptr<State> state_;
  const std::string path_;
  const std::uint64_t epoch_;
};

SimDisk::SimDisk(std::uint64_t seed) : state_(std::make_shared<State>(seed)), vfs_(std::make_unique<Vfs>(state_)) {}
SimDisk::~SimDisk() = default;

void SimDisk::cut_power_at_call(std::uint64_t call) {
  const MutexLock lock(state_->mutex);
  state_->cut_at = state_->calls + call;
}

void SimDisk::cut_power() {
  const MutexLock lock(state_->mutex);
  state_->is_off = true;
}

bool SimDisk::power_was_cut() const {
  const MutexLock lock(state_->mutex);
  return state_->is_off;
}

std::uint64_t SimDisk::call_count() const {
  const MutexLock lock(state_->mutex);
  return state_->calls;
}

void SimDisk::fail_sync(std::uint64_t sync) {
  const MutexLock lock(state_->mutex);
  state_->fail_sync_at = sync == 0 ? 0 : state_->syncs + sync;
}

bool SimDisk::sync_has_failed() const {
  const MutexLock lock(state_->mutex);
  return state_->sync_failed;
}

void SimDisk::fail_change(std::uint64_t change) {
  const MutexLock lock(state_->mutex);
  state_->fail_change_at = change == 0 ? 0 : state_->changes + change;
}

bool SimDisk::change_has_failed() const {
  const MutexLock lock(state_->mutex);
  return state_->change_failed;
}

void SimDisk::restart() {
  const MutexLock lock(state_->mutex);
  state_->restart();
}

Result<std::unique_ptr<os::File>> SimDisk::open(const std::string& path, os::Open how) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(SimNodePtr node, state_->open(path, how));
  return std::make_unique<SimFile>(state_, std::move(node), state_->epoch);
}

Result<void> SimDisk::remove(const std::string& path) {
  const MutexLock lock(state_->mutex);
  return state_->remove(path);
}

Result<void> SimDisk::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(state_->mutex);
  return state_->move(from, to);
}

Result<bool> SimDisk::make_one_folder(const std::string& path) {
  const MutexLock lock(state_->mutex);
  COFFER_DO(state_->check(state_->epoch));
  const Result<SimNodePtr> found = state_->find(path);
  if (found && !(*found)->is_folder) return os_error(ENOTDIR, "make folder");
  if (found) return false;
  COFFER_TRY(const auto place, state_->folder_of(path));
  auto made = std::make_shared<SimNode>();
  made->is_folder = true;
  COFFER_DO(state_->change(*place.first, SimNameChange{place.second, made, ""}, state_->epoch));
  return true;
}

Result<void> SimDisk::sync_folder(const std::string& path) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY(const SimNodePtr node, state_->find(path));
  return state_->sync(*node, state_->epoch);
}

Result<std::vector<std::string>> SimDisk::list(const std::string& path) {
  const MutexLock lock(state_->mutex);
  COFFER_DO(state_->check(state_->epoch));
  COFFER_TRY(const SimNodePtr node, state_->find(path));
  std::vector<std::string> names;
  for (const auto& [name, child] : node->names_now) names.push_back(name);
  return names;
}

Result<std::uint64_t> SimDisk::free_bytes(const std::string&) { return std::uint64_t{1} << 40; }

Result<std::unique_ptr<os::DiskLock>> SimDisk::lock(const std::string& path) {
  const MutexLock lock(state_->mutex);
  COFFER_TRY([[maybe_unused]] const SimNodePtr node, state_->open(path, os::Open::create));
  if (!state_->locks.insert(path).second) return Error{Fault::refused, EBUSY, "it is in use"};
  return std::make_unique<SimLock>(state_, path, state_->epoch);
}

const char* SimDisk::sqlite_vfs() const { return vfs_->name(); }

}  // namespace coffer::testing
