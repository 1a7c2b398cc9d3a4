// coffer key: who can open the vault.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "fs/cli/command.h"
#include "fs/cli/terminal.h"
#include "fs/vault/key_slots.h"

namespace coffer::cli {

namespace {

struct KeyCommand {
  KeyOptions key;
  std::string new_key_file, new_passphrase_file;
  std::uint64_t number = 0;
};

Result<int> list(const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder());
  COFFER_TRY(const std::vector<vault::SlotFacts> slots, vault::list_slots(folder));
  for (const vault::SlotFacts& slot : slots) std::cout << slot.number << "  " << slot.kind << "\n";
  return kDone;
}

Result<int> add(const KeyCommand& command, const CommandLine& line) {
  if (!command.new_key_file.empty() && !command.new_passphrase_file.empty()) {
    return usage("give either --new-key-file or --new-passphrase-file");
  }
  COFFER_TRY(const vault::VaultFolder folder, line.folder());
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  const vault::KeySource source = command.key.source(settings);
  std::uint64_t number = 0;
  if (!command.new_key_file.empty()) {
    COFFER_TRY(number, vault::add_key_file(folder, source, absolute(command.new_key_file)));
  } else {
    COFFER_TRY(const crypto::Secret passphrase, command.new_passphrase_file.empty()
                                                    ? ask_new_passphrase()
                                                    : vault::read_passphrase_file(command.new_passphrase_file));
    COFFER_TRY(number, vault::add_passphrase(folder, source, passphrase));
  }
  std::cout << "Key slot " << number << " was added.\n";
  return kDone;
}

Result<int> remove(const KeyCommand& command, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder());
  COFFER_DO(vault::remove_slot(folder, command.number));
  std::cout << "Key slot " << command.number << " was removed.\n";
  return kDone;
}

Result<int> recovery(const KeyCommand& command, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder());
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  const auto show = [](const crypto::Secret& text) {
    return show_secret("New recovery key (write it down now, it is shown only this once):\n\n    ", text);
  };
  COFFER_TRY(const std::vector<std::uint64_t> left,
             vault::renew_recovery_key(folder, command.key.source(settings), show));
  for (const std::uint64_t number : left) {
    std::cerr << "coffer: an old recovery key still opens the vault: run `coffer key remove " << number << "`\n";
  }
  if (left.empty()) std::cout << "The old one no longer works.\n";
  return kDone;
}

}  // namespace

void add_key(CLI::App& app, CommandLine& line) {
  CLI::App* const keys = app.add_subcommand("key", "Who can open the vault");
  keys->require_subcommand(1);
  const auto command = std::make_shared<KeyCommand>();

  CLI::App* const list_command = keys->add_subcommand("list", "Number and kind of each key slot");
  list_command->callback([&line] { line.action = [&line] { return list(line); }; });

  CLI::App* const add_command = keys->add_subcommand("add", "Add a key file or a passphrase");
  add_command->add_option("--new-key-file", command->new_key_file, "Make this key file; it must not exist yet");
  add_command->add_option("--new-passphrase-file", command->new_passphrase_file,
                          "The new passphrase is this file's first line");
  command->key.add_to(*add_command);
  add_command->callback([command, &line] { line.action = [command, &line] { return add(*command, line); }; });

  CLI::App* const remove_command = keys->add_subcommand("remove", "Remove a key slot; the last one stays");
  remove_command->add_option("number", command->number, "As `coffer key list` shows it")->required();
  remove_command->callback([command, &line] { line.action = [command, &line] { return remove(*command, line); }; });

  CLI::App* const recovery_command =
      keys->add_subcommand("recovery", "Make a new recovery key in place of the old one");
  command->key.add_to(*recovery_command);
  recovery_command->callback([command, &line] { line.action = [command, &line] { return recovery(*command, line); }; });
}

}  // namespace coffer::cli
