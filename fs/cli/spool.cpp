// coffer spool clear: drops what is kept here of what the server has.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "fs/cli/command.h"
#include "fs/control/control_client.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

namespace {

struct ClearOptions {
  std::string mountpoint;
  bool tree = false;
  bool discard_owed = false;
};

Result<int> clear(const ClearOptions& options, const CommandLine& line) {
  if (options.discard_owed && !options.tree) return usage("--discard-owed goes with --tree");
  COFFER_TRY(const vault::VaultFolder folder, line.folder(options.mountpoint));
  if (const std::optional<vault::Holder> holder = vault::holder_of(folder)) {
    if (options.tree) {
      return Error{Fault::refused, EBUSY,
                   "the vault is mounted" + (holder->mountpoint.empty() ? "" : " at " + holder->mountpoint) +
                       ": run `coffer umount` first"};
    }
    COFFER_DO(control::ControlClient(folder.control()).clear_spool());
  } else {
    COFFER_DO(vault::clear_unmounted(folder, options.tree, options.discard_owed));
  }
  std::cout << (options.tree ? "Spool and tree are empty; both are fetched again.\n"
                             : "The spool is empty; what is read is fetched again.\n");
  return kDone;
}

}  // namespace

void add_spool(CLI::App& app, CommandLine& line) {
  CLI::App* const spool = app.add_subcommand("spool", "The local store of sealed chunks");
  spool->require_subcommand(1);
  CLI::App* const command =
      spool->add_subcommand("clear", "Drop what the server has too; refuses while anything is owed");
  const auto options = std::make_shared<ClearOptions>();
  command->add_option("mountpoint", options->mountpoint, "Where the vault is mounted; not needed with one vault");
  command->add_flag("--tree", options->tree, "The local tree as well; it is fetched again at the next mount");
  command->add_flag("--discard-owed", options->discard_owed,
                    "With --tree: also what the server does not have. It is lost");
  command->callback([options, &line] { line.action = [options, &line] { return clear(*options, line); }; });
}

}  // namespace coffer::cli
