// coffer enroll: makes this machine a client of a vault.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>
#include <memory>
#include <utility>

#include "common/base/limits.h"
#include "fs/cli/command.h"
#include "fs/cli/terminal.h"
#include "fs/vault/enrollment.h"

namespace coffer::cli {

namespace {

struct EnrollOptions {
  std::string token, token_file, certificate, certificate_key, ca, server;
  KeyOptions key;
};

Result<rpc::Endpoint> endpoint(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  rpc::Endpoint server{text, limits::kDefaultPort};
  if (colon != std::string::npos && text.find(']', colon) == std::string::npos) {
    server.host = text.substr(0, colon);
    const char* const end = text.data() + text.size();
    const auto [at, failure] = std::from_chars(text.data() + colon + 1, end, server.port);
    if (failure != std::errc() || at != end || server.port == 0) return usage("--server wants HOST:PORT, not " + text);
  }
  if (server.host.size() > 2 && server.host.front() == '[' && server.host.back() == ']') {
    server.host = server.host.substr(1, server.host.size() - 2);
  }
  if (server.host.empty()) return usage("--server wants HOST:PORT, not " + text);
  return server;
}

Result<vault::EnrollmentRequest> request_of(const EnrollOptions& options, const CommandLine& line) {
  vault::EnrollmentRequest request;
  const bool is_handmade = !options.certificate.empty() || !options.certificate_key.empty() || !options.ca.empty() ||
                           !options.server.empty();
  if (!options.token.empty() && !options.token_file.empty()) return usage("give either the token or --token-file");
  if (is_handmade == !(options.token.empty() && options.token_file.empty())) {
    return usage(is_handmade
                     ? "give either a token or certificates, not both"
                     : "give the token that `cofferd invite` printed, or --certificate, --certificate-key, --ca "
                       "and --server");
  }
  if (is_handmade) {
    if (options.certificate.empty() || options.certificate_key.empty() || options.ca.empty() ||
        options.server.empty()) {
      return usage("--certificate, --certificate-key, --ca and --server go together");
    }
    COFFER_TRY(const rpc::Endpoint server, endpoint(options.server));
    request.handmade = vault::HandmadeIdentity{options.certificate, options.certificate_key, options.ca, server};
  }
  if (!options.key.key_file.empty() && !options.key.passphrase_file.empty()) {
    return usage("give either --key-file or --passphrase-file");
  }
  request.token = options.token;
  const std::string token_file = options.token == "-" ? "-" : options.token_file;
  if (!token_file.empty()) {
    COFFER_TRY(const crypto::Secret token, vault::read_secret_line(token_file, "token"));
    request.token = std::string(as_text(token.bytes()));
  }
  request.vault_name = line.vault;
  vault::VaultSettings unknown;
  unknown.name = line.vault.empty() ? "on the server" : line.vault;
  request.key = options.key.source(unknown);
  if (!request.key.names_any() && has_terminal()) request.ask_new_passphrase = ask_new_passphrase;
  return request;
}

Result<int> enroll(const EnrollOptions& options, const CommandLine& line) {
  COFFER_TRY(vault::EnrollmentRequest request, request_of(options, line));
  COFFER_TRY(const vault::Home home, vault::Home::find(line.home));
  request.show_recovery_key = [&request](const crypto::Secret& text) {
    const std::string lost = request.key.key_file.empty() ? "the passphrase" : "the key file";
    return show_secret(
        "Recovery key (write it down now, it is shown only this once, and takes the place of any that an "
        "earlier attempt showed; with it the vault can be opened when " +
            lost + " is lost):\n\n    ",
        text);
  };
  COFFER_TRY(const vault::Enrollment enrollment, vault::enroll(home, request));
  const vault::VaultSettings& settings = enrollment.settings;
  std::cout << "This machine is now client " << settings.client_name << " of vault " << settings.name << " on "
            << settings.server.host << ":" << settings.server.port << ".\n";
  if (enrollment.is_new_vault && !settings.key_file.empty()) {
    std::cout << "The vault's key file is " << settings.key_file << ": keep a copy of it elsewhere.\n";
  }
  std::cout << "Next: coffer mount MOUNTPOINT" << (line.home.empty() ? "" : " --home " + line.home) << "\n";
  return kDone;
}

}  // namespace

void add_enroll(CLI::App& app, CommandLine& line) {
  CLI::App* const command = app.add_subcommand("enroll", "Make this machine a client of a vault");
  const auto options = std::make_shared<EnrollOptions>();
  command->add_option("token", options->token,
                      "What `cofferd invite` printed; - reads it from standard input, where no other user sees it");
  command->add_option("--token-file", options->token_file, "The token is this file's first line");
  command->add_option("--certificate", options->certificate, "A certificate made by hand, instead of a token (PEM)");
  command->add_option("--certificate-key", options->certificate_key, "Its private key (PEM)");
  command->add_option("--ca", options->ca, "The CA that signed the server's certificate (PEM)");
  command->add_option("--server", options->server, "HOST:PORT of the server");
  options->key.add_to(*command);
  command->callback([options, &line] { line.action = [options, &line] { return enroll(*options, line); }; });
}

}  // namespace coffer::cli
