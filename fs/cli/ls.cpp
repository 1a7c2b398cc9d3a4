// coffer ls: what the vault holds.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <array>
#include <ctime>
#include <iomanip>
#include <iostream>
#include <memory>

#include "fs/cli/command.h"
#include "fs/cli/open_side.h"
#include "fs/cli/terminal.h"

namespace coffer::cli {

namespace {

struct LsOptions {
  std::string path = "/";
  bool is_long = false;
  KeyOptions key;
};

std::string mode_text(std::uint32_t mode) {
  std::string text = S_ISDIR(mode)    ? "d"
                     : S_ISLNK(mode)  ? "l"
                     : S_ISFIFO(mode) ? "p"
                     : S_ISSOCK(mode) ? "s"
                     : S_ISCHR(mode)  ? "c"
                     : S_ISBLK(mode)  ? "b"
                                      : "-";
  for (int shift = 6; shift >= 0; shift -= 3) {
    text += (mode >> shift & 4) != 0 ? 'r' : '-';
    text += (mode >> shift & 2) != 0 ? 'w' : '-';
    text += (mode >> shift & 1) != 0 ? 'x' : '-';
  }
  return text;
}

std::string time_text(std::int64_t since_1970_ns) {
  const std::time_t seconds = since_1970_ns / 1'000'000'000;
  std::tm broken_down{};
  ::localtime_r(&seconds, &broken_down);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%F %T", &broken_down);
  return text.data();
}

Result<void> show(Side& side, const std::string& path, const std::string& name, bool is_long) {
  if (!is_long) {
    std::cout << shown(name) << "\n";
    return {};
  }
  COFFER_TRY(const Node node, side.look(path));
  std::cout << mode_text(node.mode) << std::setw(4) << node.links << std::setw(6) << node.uid << std::setw(6)
            << node.gid << std::setw(14) << node.bytes << " " << time_text(node.mtime_ns) << " " << shown(name);
  if (S_ISLNK(node.mode)) {
    COFFER_TRY(const std::string target, side.link_target(path));
    std::cout << " -> " << shown(target);
  }
  std::cout << "\n";
  return {};
}

Result<int> ls(const LsOptions& options, const CommandLine& line) {
  COFFER_TRY(OpenSide vault, OpenSide::open(line, options.key, true));
  const std::string path = vault.path(options.path);
  const Result<Node> node = vault.side().look(path);
  if (!node) {
    if (node.error().code != ENOENT) return node.error();
    return Error{Fault::answer, ENOENT, options.path + " is not in the vault"};
  }
  if (!S_ISDIR(node->mode)) {
    COFFER_DO(show(vault.side(), path, options.path, options.is_long));
    return kDone;
  }
  COFFER_TRY(const std::vector<std::string> names, vault.side().names(path));
  for (const std::string& name : names) {
    COFFER_DO(show(vault.side(), (path == "/" ? "" : path) + "/" + name, name, options.is_long));
  }
  return kDone;
}

}  // namespace

void add_ls(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("ls", "List a folder of the vault");
  const auto options = std::make_shared<LsOptions>();
  command->add_option("path", options->path, "Path of the vault");
  command->add_flag("-l", options->is_long, "With mode, links, owner, size and time");
  options->key.add_to(*command);
  command->callback([options, &line] { line.action = [options, &line] { return ls(*options, line); }; });
}

}  // namespace coffer::cli
