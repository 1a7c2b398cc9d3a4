// coffer put: copies files into the vault, and returns when they are committed.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "common/base/text.h"
#include "fs/cli/command.h"
#include "fs/cli/open_side.h"
#include "fs/cli/terminal.h"

namespace coffer::cli {

namespace {

struct PutOptions {
  std::vector<std::string> files;
  std::string to = "/";
  std::string priority;
  KeyOptions key;
};

Result<void> make_folders(OpenSide& vault, const std::string& to) {
  std::string path;
  for (const std::filesystem::path& part : std::filesystem::path("/" + to).lexically_normal()) {
    if (part.empty() || part == "/") continue;
    path += "/" + part.string();
    COFFER_DO(vault.side().make_folder(vault.path(path)));
  }
  return {};
}

Result<int> put(const PutOptions& options, const CommandLine& line) {
  const std::unique_ptr<Side> local = local_side();
  for (const std::string& file : options.files) {
    if (!local->look(file)) return Error{Fault::answer, ENOENT, file + " is not there"};
  }
  COFFER_TRY(OpenSide vault, OpenSide::open(line, options.key, false));
  COFFER_DO(make_folders(vault, options.to));
  Copied all;
  {
    ProgressLine progress;
    for (const std::string& file : options.files) {
      const std::string from = std::filesystem::absolute(file).lexically_normal().string();
      const std::filesystem::path named =
          from.back() == '/' ? std::filesystem::path(from).parent_path() : std::filesystem::path(from);
      const std::string to = vault.path(options.to + "/" + named.filename().string());
      COFFER_TRY(const Copied copied,
                 copy_tree(*local, named.string(), vault.side(), to, options.priority, [&](const Copied& now) {
                   progress.show(std::to_string(all.files + now.files) + " files, " +
                                 base::format_size(all.bytes + now.bytes));
                 }));
      all.files += copied.files;
      all.bytes += copied.bytes;
    }
  }
  if (const Result<void> synced = vault.sync(); !synced) {
    std::cerr << "coffer: copied, but not everything is committed: " << shown(synced.error().what, STDERR_FILENO)
              << "\n";
    return kNotCommitted;
  }
  std::cout << all.files << (all.files == 1 ? " file, " : " files, ") << base::format_size(all.bytes)
            << ": committed.\n";
  return kDone;
}

}  // namespace

void add_put(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("put", "Copy files into the vault and wait until they are committed");
  const auto options = std::make_shared<PutOptions>();
  command->add_option("file", options->files, "Files and folders of this machine")->required();
  command->add_option("--to", options->to, "Folder of the vault; made where it is missing");
  command->add_option("--priority", options->priority, "high, normal or low")
      ->check(CLI::IsMember({"high", "normal", "low"}));
  options->key.add_to(*command);
  command->callback([options, &line] { line.action = [options, &line] { return put(*options, line); }; });
}

}  // namespace coffer::cli
