#include "tests/testing/folder_oracle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>

namespace coffer::testing {
namespace {

bool read_file(const std::string& path, FoundFile& into) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat st {};
  bool is_read = ::fstat(fd, &st) == 0;
  into = {std::string(static_cast<std::size_t>(st.st_size), '\0'), st.st_ino, st.st_nlink};
  std::size_t at = 0;
  while (is_read && at < into.content.size()) {
    const ssize_t got = ::pread(fd, into.content.data() + at, into.content.size() - at, static_cast<off_t>(at));
    if (got == 0) break;
    is_read = got > 0;
    at += is_read ? static_cast<std::size_t>(got) : 0;
  }
  into.content.resize(at);
  const int why = errno;
  ::close(fd);
  errno = why;
  return is_read;
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

FoundTree read_tree(const std::string& folder, std::string& why) {
  FoundTree tree;
  std::error_code failure;
  std::filesystem::recursive_directory_iterator entries(folder, failure);
  for (; !failure && entries != std::filesystem::recursive_directory_iterator(); entries.increment(failure)) {
    if (entries->is_directory(failure)) continue;
    const std::string path = entries->path().string();
    FoundFile file;
    if (!read_file(path, file)) {
      why = path + ": " + std::strerror(errno);
      return tree;
    }
    tree.emplace(path.substr(folder.size() + 1), std::move(file));
  }
  if (failure) why = folder + ": " + failure.message();
  return tree;
}

std::vector<std::string> FolderOracle::names_of(const File& file) const {
  std::vector<std::string> names;
  for (const auto& [name, meant] : names_) {
    if (meant == file) names.push_back(name);
  }
  return names;
}

void FolderOracle::will_change(Change change) {
  for (const auto& [name, file] : change) {
    std::vector<Meaning>& meanings = meanings_[name];
    if (meanings.empty()) meanings.push_back({nullptr, 0});
    meanings.push_back({file, file ? file->spooled_count() : 0});
  }
  under_way_ = std::move(change);
}

void FolderOracle::changed() {
  for (const auto& [name, file] : under_way_) {
    if (file) {
      names_.insert_or_assign(name, file);
    } else {
      names_.erase(name);
    }
  }
  under_way_.clear();
}

void FolderOracle::committed(const File& file) {
  if (names_of(file).empty()) return;  // It was removed: nothing more of it is sent.
  file->committed();
  names_committed(file);
}

void FolderOracle::written_through(const File& file) {
  if (names_of(file).empty()) return;
  file->written_through();
  names_committed(file);
}

// A name that the file has lost may still mean what it came to mean after it: that may have been committed before it
// went.
void FolderOracle::names_committed(const File& file) {
  for (auto& [name, meanings] : meanings_) {
    const auto last = std::ranges::find(meanings.rbegin(), meanings.rend(), file, &Meaning::file);
    if (last == meanings.rend()) continue;
    const auto now = names_.find(name);
    if (now == names_.end()) meanings.erase(meanings.begin(), last.base());
    if (now != names_.end() && now->second == file) meanings = {meanings.back()};
  }
}

// A name that means again what it meant at its last commit is not sent, and its file's content only with the file.
void FolderOracle::committed_in(const std::string& folder) {
  for (auto& [name, meanings] : meanings_) {
    if (folder_of(name) != folder) continue;
    Meaning last = meanings.back();
    for (const Meaning& meaning : meanings) {
      if (meaning.file == last.file) last.at_least = std::min(last.at_least, meaning.at_least);
    }
    meanings = {last};
  }
}

void FolderOracle::all_committed() {
  for (auto& [name, meanings] : meanings_) meanings = {meanings.back()};
  for (const auto& [name, file] : names_) file->committed();
}

std::string FolderOracle::settle(const FoundTree& found) {
  const auto is_found = [&found](const auto& name) { return found.contains(name.first); };
  const auto before = names_;
  const Change change = under_way_;
  const auto has_all_names = [&] { return names_.size() == found.size() && std::ranges::all_of(names_, is_found); };
  if (!has_all_names()) changed();
  if (!has_all_names()) {
    std::string why = "names found:";
    for (const auto& [name, file] : found) why += " " + name;
    why += "; expected:";
    for (const auto& [name, file] : before) why += " " + name;
    for (const auto& [name, file] : change) why += (file ? ", perhaps with " : ", perhaps without ") + name;
    return why;
  }
  // What did not happen is again what the name means last.
  for (const auto& [name, file] : under_way_) {
    const auto now = names_.find(name);
    if (now == names_.end()) {
      meanings_[name].push_back({nullptr, 0});
    } else {
      meanings_[name].push_back({now->second, now->second->spooled_count()});
    }
  }
  under_way_.clear();

  for (const auto& [name, file] : names_) {
    const FoundFile& seen = found.at(name);
    if (std::string why = file->why_not(Copy::local, 0, seen.content); !why.empty()) return name + ": " + why;
    const std::vector<std::string> its_names = names_of(file);
    if (seen.links != its_names.size()) return name + " has " + std::to_string(seen.links) + " links";
    for (const std::string& other : its_names) {
      if (found.at(other).inode != seen.inode) return name + " and " + other + " are no longer one file";
    }
  }
  for (const auto& [name, file] : names_) file->found(found.at(name).content);
  return {};
}

std::string FolderOracle::why_no_meaning(const std::vector<Meaning>& meanings, const FoundTree& found,
                                         const std::string& name) const {
  const auto seen = found.find(name);
  std::string why;
  for (const auto& [file, at_least] : meanings) {
    if (!file) {
      if (seen == found.end()) return {};
      why += "; it may be absent";
    } else if (seen == found.end()) {
      why += "; file " + std::to_string(file->number()) + " may be there";
    } else {
      const std::string not_this = file->why_not(Copy::server, at_least, seen->second.content);
      if (not_this.empty()) return {};
      why += "; " + not_this;
    }
  }
  return name + (seen == found.end() ? " is absent" : " is there") + why;
}

std::string FolderOracle::why_not_on_server(const FoundTree& found) const {
  for (const auto& [name, file] : found) {
    if (!meanings_.contains(name)) return name + " was never made";
  }
  for (const auto& [name, meanings] : meanings_) {
    if (std::string why = why_no_meaning(meanings, found, name); !why.empty()) return why;
  }
  return {};
}

}  // namespace coffer::testing
