// coffer get: copies files out of the vault.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <memory>

#include "common/base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/open_side.h"
#include "fs/cli/terminal.h"

namespace coffer::cli {

namespace {

struct GetOptions {
  std::vector<std::string> paths;
  std::string to = ".";
  KeyOptions key;
};

/// What is said to be copied is on the disk: once for all files, because an fsync of each would take longer than they
/// do.
Result<void> sync_file_system(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return os_error(errno, folder);
  const bool synced = ::syncfs(fd) == 0;
  const int code = errno;
  ::close(fd);
  return synced ? Result<void>() : os_error(code, folder);
}

Result<int> get(const GetOptions& options, const CommandLine& line) {
  std::error_code failure;
  if (!std::filesystem::is_directory(options.to, failure)) {
    std::filesystem::create_directories(options.to, failure);
    if (failure) return os_error(failure.value(), options.to);
  }
  COFFER_TRY(OpenSide vault, OpenSide::open(line, options.key, true));
  const std::string to_folder = absolute(options.to);
  const std::unique_ptr<Side> local = local_side(to_folder);
  Copied all;
  ProgressLine progress;
  for (const std::string& path : options.paths) {
    const std::string from = vault.path(path);
    if (!vault.side().look(from))
      return Error{Fault::answer, ENOENT, path + " is not in the vault: `coffer ls` shows what is"};
    const std::string name = std::filesystem::path("/" + path).lexically_normal().filename().string();
    const bool is_root = vault.path(path) == vault.path("/");
    const std::string trimmed = std::filesystem::path(from).filename().string();
    const std::string to = is_root ? to_folder : to_folder + "/" + (name.empty() ? trimmed : name);
    COFFER_TRY(
        const Copied copied, copy_tree(vault.side(), from, *local, to, "", [&](const Copied& now) {
          progress.show(std::to_string(all.files + now.files) + " files, " + base::format_size(all.bytes + now.bytes));
        }));
    all.files += copied.files;
    all.bytes += copied.bytes;
  }
  COFFER_DO(sync_file_system(to_folder));
  std::cout << all.files << (all.files == 1 ? " file, " : " files, ") << base::format_size(all.bytes) << " in "
            << options.to << ".\n";
  return kDone;
}

}  // namespace

void add_get(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("get", "Copy files out of the vault");
  const auto options = std::make_shared<GetOptions>();
  command->add_option("path", options->paths, "Paths of the vault; / is all of it")->required();
  command->add_option("-o,--to", options->to, "Folder of this machine; made where it is missing");
  options->key.add_to(*command);
  command->callback([options, &line] { line.action = [options, &line] { return get(*options, line); }; });
}

}  // namespace coffer::cli
