#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "common/base/text.h"
#include "server/admin/commands.h"

namespace coffer::admin {
namespace {

/// The command that was chosen, with its options.
using Command = std::function<Result<int>()>;

struct CommandLine {
  CLI::App app{"The server of Coffer: keeps sealed chunks that it cannot read.", "cofferd"};
  Command chosen;

  InitOptions init_options;
  ServeOptions serve_options;
  InviteOptions invite_options;
  ListOptions clients_options;
  AddClientOptions add_options;
  ListOptions vaults_options;
  RevokeOptions revoke_options;
  GrantOptions grant_options;
  SlotsOptions slots_options;
  CheckOptions check_options;

  /// A subcommand with --dir; it runs `command` with `options`.
  template <class Options>
  CLI::App* add(const std::string& name, const std::string& what, Options& options,
                Result<int> (*command)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("--dir", options.dir, "The server's folder")->type_name("D")->required();
    sub->callback([this, &options, command] {
      // A subcommand of this one may have been chosen already.
      if (!chosen) chosen = [&options, command] { return command(options); };
    });
    return sub;
  }
};

void add_json(CLI::App* sub, bool& json) { sub->add_flag("--json", json, "Print JSON"); }

void add_quota(CLI::App* sub, std::uint64_t& quota_bytes) {
  sub->add_option_function<std::string>(
         "--quota",
         [&quota_bytes](const std::string& text) {
           const auto bytes = base::parse_size(text);
           if (!bytes)
             throw CLI::ValidationError("--quota", "\"" + text + "\" is no size; a size is like 500M or 100G");
           quota_bytes = *bytes;
         },
         "Bytes that the new vault may hold, such as 100G")
      ->type_name("SIZE");
}

void add_valid(CLI::App* sub, std::chrono::seconds& valid) {
  sub->add_option_function<std::string>(
         "--expires",
         [&valid](const std::string& text) {
           constexpr std::uint64_t kMax = 366ull * 24 * 3600;
           const auto seconds = base::parse_seconds(text);
           if (!seconds || *seconds == 0 || *seconds > kMax)
             throw CLI::ValidationError("--expires",
                                        "\"" + text + "\" is no time up to a year; a time is like 24h or 7d");
           valid = std::chrono::seconds(*seconds);
         },
         "How long the token may be used: 24h if not given")
      ->type_name("TIME");
}

void add_invite(CommandLine& line) {
  InviteOptions& options = line.invite_options;
  CLI::App* sub = line.add("invite", "Print a one-time token for a new client", options, &invite);
  sub->add_option("name", options.name, "The new client's name, and that of its new vault")
      ->type_name("NAME")
      ->required();
  sub->add_option("--vault", options.vault, "Join this vault instead of a new one")->type_name("V");
  sub->add_flag("--read-only", options.read_only, "With --vault: may read only")->needs("--vault");
  add_quota(sub, options.quota_bytes);
  sub->get_option("--quota")->excludes("--vault");
  add_valid(sub, options.valid);
  sub->add_option("--address", options.address, "Where the client reaches the server")->type_name("HOST:PORT");
}

void add_clients(CommandLine& line) {
  CLI::App* list = line.add("clients", "List the clients", line.clients_options, &clients);
  add_json(list, line.clients_options.json);
  AddClientOptions& options = line.add_options;
  CLI::App* sub = list->add_subcommand("add", "Register a certificate that was made by hand");
  sub->fallthrough();
  sub->add_option("name", options.name, "The client's name")->type_name("NAME")->required();
  sub->add_option("--certificate", options.certificate_file, "The certificate, PEM")->type_name("FILE")->required();
  sub->add_option("--vault", options.vault, "Use this vault instead of a new one")->type_name("V");
  sub->add_flag("--read-only", options.read_only, "With --vault: may read only")->needs("--vault");
  add_quota(sub, options.quota_bytes);
  sub->get_option("--quota")->excludes("--vault");
  sub->add_flag("--existing", options.existing, "One more certificate for a client that is there")
      ->excludes("--vault")
      ->excludes("--quota");
  sub->callback([&line] {
    line.chosen = [&line] {
      line.add_options.dir = line.clients_options.dir;
      line.add_options.json = line.clients_options.json;
      return add_client(line.add_options);
    };
  });
}

void add_slots(CommandLine& line) {
  SlotsOptions& options = line.slots_options;
  CLI::App* sub = line.add("slots", "List a vault's key slots, bring removed ones back", options, &slots);
  sub->add_option("vault", options.vault, "The vault's name")->type_name("VAULT")->required();
  sub->add_option("--restore", options.restored, "Bring this removed slot back (as often as needed)")
      ->type_name("NUMBER")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  sub->add_option("--remove", options.removed, "Remove this slot (as often as needed)")
      ->type_name("NUMBER")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_json(sub, options.json);
}

void add_all(CommandLine& line) {
  line.app.require_subcommand(1);
  line.app.set_version_flag("--version", "cofferd 0.1.0");
  CLI::App* sub = line.add("init", "Make a new server in a folder", line.init_options, &init);
  sub->add_option("--host", line.init_options.hosts, "A name or address by which clients reach this server")
      ->type_name("NAME");
  sub = line.add("serve", "Run the server", line.serve_options, &serve);
  sub->add_option("--listen", line.serve_options.listen, "Where to listen")->type_name("HOST:PORT");
  add_invite(line);
  add_clients(line);
  sub = line.add("vaults", "List the vaults", line.vaults_options, &vaults);
  add_json(sub, line.vaults_options.json);
  sub = line.add("revoke", "Shut a client out, at once and for good", line.revoke_options, &revoke);
  sub->add_option("name", line.revoke_options.name, "The client's name")->type_name("NAME")->required();
  add_json(sub, line.revoke_options.json);
  sub = line.add("grant", "Let a client use a vault", line.grant_options, &grant);
  sub->add_option("name", line.grant_options.name, "The client's name")->type_name("NAME")->required();
  sub->add_option("vault", line.grant_options.vault, "The vault's name")->type_name("VAULT")->required();
  sub->add_flag("--read-only", line.grant_options.read_only, "May read only");
  add_json(sub, line.grant_options.json);
  add_slots(line);
  sub = line.add("check", "Read everything back", line.check_options, &check);
  sub->add_flag("--read-data", line.check_options.read_data, "Hash every chunk");
  sub->add_flag("--rebuild-index", line.check_options.rebuild_index,
                "Make the index of the packs anew; not beside a running server");
  add_json(sub, line.check_options.json);
}

/// One line, whatever CLI11 has to say. `first` is the first argument, or empty.
int usage_error(const CLI::Error& e, const std::string& first) {
  std::string what = e.what();
  const bool is_unknown_command = dynamic_cast<const CLI::RequiredError*>(&e) != nullptr &&
                                  what.find("ubcommand") != std::string::npos && !first.empty() && first[0] != '-';
  if (is_unknown_command) what = "there is no command \"" + first + "\"";
  for (char& c : what) {
    if (c == '\n') c = ' ';
  }
  std::cerr << "cofferd: " << what << "; see cofferd --help\n";
  return kExitUsage;
}

}  // namespace

int run(int argc, char** argv) {
  CommandLine line;
  add_all(line);
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return line.app.exit(e);
    return usage_error(e, argc > 1 ? argv[1] : "");
  }
  const Result<int> done = line.chosen();
  if (done) return *done;
  std::cerr << "cofferd: " << done.error().what << "\n";
  return kExitFailed;
}

}  // namespace coffer::admin
