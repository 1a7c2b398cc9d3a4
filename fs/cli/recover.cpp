// coffer recover: the way on when the server's log is not the one that this client has seen.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/crypto/fingerprint.h"
#include "fs/cli/command.h"
#include "fs/cli/terminal.h"
#include "fs/vault/log_watch.h"
#include "fs/vault/receipt_key.h"
#include "fs/vault/recovery.h"
#include "fs/vault/vault.h"

namespace coffer::cli {

namespace {

using nlohmann::json;

struct RecoverOptions {
  vault::RecoveryRequest request;
  bool take_server = false;
  bool accept_receipt_key = false;
  std::string fingerprint;
  bool json = false;
  KeyOptions key;
};

json to_json(const vault::RecoveryReport& report) {
  json last_common = nullptr;
  if (report.divergence.last_common) last_common = *report.divergence.last_common;
  return {{"needed", report.is_needed},
          {"done", report.is_done},
          {"server_seq", report.divergence.server.seq},
          {"seen_seq", report.divergence.seen.seq},
          {"last_common", last_common},
          {"can_send_again", report.divergence.is_prefix()},
          {"chunks_to_send", report.chunks_to_send},
          {"paths", report.divergence.paths},
          {"returning", report.divergence.returning_count},
          {"lost", report.lost_paths}};
}

void print(const vault::RecoveryReport& report) {
  for (const std::string& path : report.divergence.paths) std::cout << shown(path) << "\n";
  for (const std::string& path : report.lost_paths)
    std::cout << shown(path) << ": LOST: its content is neither here nor there\n";
  std::cout << "Commit " << report.divergence.server.seq << " is the server's last, commit "
            << report.divergence.seen.seq << " the last that was seen here: " << vault::describe(report.divergence)
            << ".\n";
}

void print_ways(const vault::RecoveryReport& report) {
  std::cout << "Nothing was changed. Ways on:\n"
               "  - have the server's newer copy restored, then mount again: nothing else is needed;\n";
  if (report.divergence.is_prefix()) {
    std::cout << "  - `coffer recover --send-again`: all that the server lacks is sent to it again ("
              << report.chunks_to_send << " chunks)";
    if (!report.lost_paths.empty()) {
      std::cout << "; --give-up-lost as well, for the " << report.lost_paths.size() << " files whose content is lost";
    }
    std::cout << ";\n";
  }
  std::cout << "  - mount the vault (read-only), copy out what is needed, then `coffer recover --take-server`: this "
               "machine takes the server's older state for the true one.\n";
}

/// The key that this machine holds to is changed only by a fingerprint that the user brings: from the server itself it
/// would prove nothing.
Result<int> accept_receipt_key(const RecoverOptions& options, const vault::VaultFolder& folder) {
  COFFER_TRY(const vault::ReceiptKeys keys, vault::ask_receipt_keys(folder));
  const std::string shown = crypto::fingerprint_of(keys.shown);
  std::cout << "Receipt key that this machine holds to: "
            << (keys.held_to ? crypto::fingerprint_of(*keys.held_to) : "none yet") << "\n"
            << "Receipt key that the server shows now:  " << shown << "\n";
  if (!keys.differ() && options.fingerprint.empty()) {
    std::cout << "Nothing is to be accepted.\n";
    return kDone;
  }
  if (options.fingerprint.empty()) {
    std::cout
        << "Nothing was changed. Ask whoever runs the server, on another way than through it, whether its key was "
           "changed and which one it has: `cofferd check` there shows the fingerprint. If it is the one above: "
           "`coffer recover --accept-receipt-key --fingerprint F`\n";
    return kCorrupt;
  }
  COFFER_DO(vault::accept_receipt_key(folder, options.fingerprint));
  std::cout << "This machine holds to the key with the fingerprint " << shown << " from now on.\n";
  return kDone;
}

Result<int> recover(const RecoverOptions& options, const CommandLine& line) {
  if (options.take_server && options.request.send_again)
    return usage("--send-again and --take-server exclude each other");
  if (options.request.give_up_lost && !options.request.send_again)
    return usage("--give-up-lost goes with --send-again");
  if (options.accept_receipt_key && (options.take_server || options.request.send_again))
    return usage("--accept-receipt-key goes alone");
  if (!options.fingerprint.empty() && !options.accept_receipt_key)
    return usage("--fingerprint goes with --accept-receipt-key");
  COFFER_TRY(const vault::VaultFolder folder, line.folder());
  if (options.accept_receipt_key) return accept_receipt_key(options, folder);
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  if (options.take_server) {
    COFFER_DO(vault::clear_unmounted(folder, true, true));
    std::cout << "What was newer here is given up: the next mount fetches the server's state.\n";
    return kDone;
  }
  COFFER_TRY(const vault::RecoveryReport report, vault::recover(folder, options.key.source(settings), options.request));
  if (options.json) {
    std::cout << to_json(report).dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else if (!report.is_needed) {
    std::cout << "Nothing is to be recovered: the server's log is the one that this client has seen.\n";
  } else {
    print(report);
    if (report.is_done) {
      std::cout
          << "All that the server lacks is owed to it now: mount the vault, and `coffer sync`. The tree as it was is "
             "kept as tree.db.before-recover.\n";
    } else {
      print_ways(report);
    }
  }
  return !report.is_needed || report.is_done ? kDone : kCorrupt;
}

}  // namespace

void add_recover(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand(
      "recover",
      "After a server went back to an old copy: what it lacks, and how to go on; 4 where it lacks something");
  const auto options = std::make_shared<RecoverOptions>();
  command->add_flag("--send-again", options->request.send_again,
                    "Owe the server all that it lacks; sent at the next mount");
  command->add_flag("--give-up-lost", options->request.give_up_lost,
                    "With --send-again: files whose content is lost become the server's version, or go");
  command->add_flag("--take-server", options->take_server, "Give up what is newer here, and take the server's state");
  command->add_flag("--accept-receipt-key", options->accept_receipt_key,
                    "Where the server signs with another key than before: shows both; with --fingerprint takes it");
  command->add_option("--fingerprint", options->fingerprint,
                      "With --accept-receipt-key: that of the new key, from whoever runs the server (`cofferd check`)");
  command->add_flag("--json", options->json, "For programs");
  options->key.add_to(*command);
  command->callback([options, &line] { line.action = [options, &line] { return recover(*options, line); }; });
}

}  // namespace coffer::cli
