// The real program, as a person runs it.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "common/crypto/hash.h"
#include "common/os/clock.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "net/rpc/client.h"
#include "net/tls/certificate.h"
#include "server/accounts/accounts.h"
#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::admin {
namespace {

using testing::Finished;
using Args = std::vector<std::string>;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

rpc::Deadline soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(20); }

class Cofferd : public ::testing::Test {
 protected:
  void SetUp() override {
    const Finished made = cofferd({"init", "--host", "127.0.0.1", "--host", "localhost"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }

  std::string dir() const { return (folder_ / "server").string(); }
  Finished bare(Args args) const {
    args.insert(args.begin(), std::string(COFFER_BIN) + "/cofferd");
    return testing::run(args);
  }
  Finished cofferd(Args args) const {
    args.insert(args.end(), {"--dir", dir()});
    return bare(std::move(args));
  }

  /// Runs the server on a free port, and waits until it serves.
  void serve(const std::string& listen = "127.0.0.1:0") {
    server_.reset();
    const Args argv{std::string(COFFER_BIN) + "/cofferd", "serve", "--dir", dir(), "--listen", listen};
    server_ = std::make_unique<testing::Process>(argv, log());
    ASSERT_TRUE(testing::eventually([&] { return !address().empty() || !server_->runs(); }));
    ASSERT_TRUE(server_->runs()) << text_of(log());
  }
  int stop() {
    server_->signal(SIGTERM);
    return server_->wait(std::chrono::seconds(20));
  }
  std::string log() const { return (folder_ / "log").string(); }
  std::string address() const {
    const std::string line = text_of(dir() + "/run/listen");
    return line.substr(0, line.find('\n'));
  }
  std::uint16_t port() const {
    return static_cast<std::uint16_t>(std::stoi(address().substr(address().rfind(':') + 1)));
  }

  /// One clear sentence on stderr, nothing on stdout.
  static void expect_sentence(const Finished& finished, int exit_code, std::string_view part) {
    EXPECT_EQ(finished.exit_code, exit_code) << finished.out << finished.err;
    EXPECT_TRUE(finished.err.starts_with("cofferd: ")) << finished.err;
    EXPECT_EQ(std::ranges::count(finished.err, '\n'), 1) << finished.err;
    EXPECT_NE(finished.err.find(part), std::string::npos) << finished.err;
    EXPECT_EQ(finished.out, "");
  }

  /// A client for the certificate in `base`.pem with its key in `base`.key, on its first vault.
  std::unique_ptr<rpc::Client> connect(const std::string& base, const object::VaultId& vault = {}) {
    rpc::ClientOptions options;
    options.server = {.host = "127.0.0.1", .port = port()};
    options.identity = {.ca_file = dir() + "/tls/ca.pem", .certificate_file = base + ".pem", .key_file = base + ".key"};
    options.vault = vault;
    options.program = "test";
    auto client = std::make_unique<rpc::Client>(options, os::real_random());
    client->start();
    return client;
  }

  /// Enrols with what invite prints; the files of the new client begin with the returned path.
  std::string enrol(const std::string& name, object::VaultId* vault) {
    const Finished invited = cofferd({"invite", name});
    EXPECT_EQ(invited.exit_code, 0) << invited.err;
    const auto token = tls::decode_token(invited.out);
    EXPECT_TRUE(token);
    const tls::KeyAndCsr made = tls::make_key_pair_and_csr(name);
    const auto enrolled = rpc::enroll(*token, made.csr_der, "test", soon());
    EXPECT_TRUE(enrolled) << enrolled.error().what;
    const std::string base = (folder_ / name).string();
    std::ofstream(base + ".pem") << enrolled->certificate_pem;
    std::ofstream(base + ".key") << as_text(made.key_pem.bytes());
    *vault = enrolled->vault.id;
    return base;
  }

  testing::TempDir folder_;
  std::unique_ptr<testing::Process> server_;
};

TEST_F(Cofferd, SaysInOneSentenceWhatIsWrongWithItsArguments) {
  expect_sentence(bare({}), 2, "subcommand");
  expect_sentence(bare({"fly"}), 2, "no command \"fly\"");
  expect_sentence(bare({"--fly"}), 2, "");
  expect_sentence(bare({"serve"}), 2, "--dir");
  expect_sentence(bare({"init", "--dir"}), 2, "--dir");
  expect_sentence(cofferd({"serve", "--fly"}), 2, "--fly");
  expect_sentence(cofferd({"invite"}), 2, "name");
  expect_sentence(cofferd({"invite", "a", "b"}), 2, "b");
  expect_sentence(cofferd({"invite", "a", "--quota", "lots"}), 2, "lots");
  expect_sentence(cofferd({"invite", "a", "--expires", "soon"}), 2, "soon");
  expect_sentence(cofferd({"invite", "a", "--expires", "0"}), 2, "0");
  expect_sentence(cofferd({"invite", "a", "--read-only"}), 2, "--vault");
  expect_sentence(cofferd({"revoke"}), 2, "name");
  expect_sentence(cofferd({"grant", "a"}), 2, "vault");
  expect_sentence(cofferd({"clients", "add", "a"}), 2, "--certificate");
  EXPECT_EQ(bare({"--help"}).exit_code, 0);
  EXPECT_EQ(bare({"serve", "--help"}).exit_code, 0);
}

TEST_F(Cofferd, SaysInOneSentenceWhatItCannotDo) {
  for (const char* command : {"serve", "clients", "vaults", "check"}) {
    expect_sentence(bare({command, "--dir", (folder_ / "nowhere").string()}), 1, "cofferd init");
  }
  expect_sentence(cofferd({"revoke", "nobody"}), 1, "no client \"nobody\"");
  expect_sentence(cofferd({"grant", "nobody", "nowhere"}), 1, "no client");
  expect_sentence(cofferd({"invite", "a b"}), 1, "a name has");
  expect_sentence(cofferd({"invite", "a", "--vault", "nowhere"}), 1, "no vault \"nowhere\"");
  expect_sentence(cofferd({"invite", "a", "--address", "here:99999"}), 1, "99999");
  expect_sentence(cofferd({"invite", "a", "--address", "::1:1"}), 1, "HOST:PORT");
  expect_sentence(cofferd({"serve", "--listen", "127.0.0.1:x"}), 1, "no port");
  expect_sentence(cofferd({"clients", "add", "a", "--certificate", "/nowhere"}), 1, "/nowhere");
  expect_sentence(cofferd({"clients", "add", "a", "--certificate", dir() + "/cofferd.toml"}), 1, "no certificate");
}

TEST_F(Cofferd, NeverInitsOverWhatIsThere) {
  const std::string before = text_of(dir() + "/tls/ca.pem");
  expect_sentence(cofferd({"init"}), 1, "nothing was changed");
  EXPECT_EQ(text_of(dir() + "/tls/ca.pem"), before);
  std::filesystem::create_directories(folder_ / "full/sub");
  expect_sentence(bare({"init", "--dir", (folder_ / "full").string()}), 1, "not empty");
  std::ofstream(folder_ / "file") << "x";
  expect_sentence(bare({"init", "--dir", (folder_ / "file").string()}), 1, "not a folder");
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_EQ(bare({"init", "--dir", (folder_ / "empty").string()}).exit_code, 0);
}

// Claim: an init that was cut off, wherever, is run again and goes on: keys that are there stay, and nothing is made
// over what init did not make.
TEST_F(Cofferd, InitsAgainWhereItWasCutOff) {
  const std::string made = (folder_ / "made").string();
  const std::vector<std::string> in_order = {"/tls/ca.key",     "/tls/ca.pem",     "/receipt.key",
                                             "/tls/server.key", "/tls/server.pem", "/accounts.db"};
  for (std::size_t left = 0; left <= in_order.size(); ++left) {
    SCOPED_TRACE(::testing::Message() << "cut off after " << left << " files");
    std::filesystem::remove_all(made);
    ASSERT_EQ(bare({"init", "--dir", made}).exit_code, 0);
    std::filesystem::remove(made + "/cofferd.toml");
    for (std::size_t i = left; i < in_order.size(); ++i) std::filesystem::remove(made + in_order[i]);
    std::ofstream(made + (left < 3 ? "/receipt.key.new" : "/cofferd.toml.new")) << "to";
    const std::string authority = left > 1 ? text_of(made + "/tls/ca.pem") : "";
    const std::string receipt_key = left > 2 ? text_of(made + "/receipt.key") : "";
    const Finished again = bare({"init", "--dir", made});
    ASSERT_EQ(again.exit_code, 0) << again.err;
    if (left > 1) {
      EXPECT_EQ(text_of(made + "/tls/ca.pem"), authority);
    }
    if (left > 2) {
      EXPECT_EQ(text_of(made + "/receipt.key"), receipt_key);
    }
    EXPECT_EQ(bare({"check", "--dir", made}).exit_code, 0);
    EXPECT_EQ(bare({"invite", "laptop", "--dir", made}).exit_code, 0);
  }
  std::filesystem::remove(made + "/cofferd.toml");
  std::filesystem::create_directories(made + "/vaults/one");
  expect_sentence(bare({"init", "--dir", made}), 1, "not empty");
}

TEST_F(Cofferd, KeepsItsFilesToItself) {
  serve();
  object::VaultId vault;
  enrol("laptop", &vault);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir())) {
    const auto open_to_others = entry.status().permissions() & std::filesystem::perms(077);
    EXPECT_EQ(open_to_others, std::filesystem::perms::none) << entry.path();
  }
}

TEST_F(Cofferd, PrintsATokenAndNothingElse) {
  const auto before_serving = tls::decode_token(cofferd({"invite", "a", "--expires", "2h"}).out);
  ASSERT_TRUE(before_serving);
  EXPECT_EQ(before_serving->host, "127.0.0.1");
  EXPECT_EQ(before_serving->port, 7465);
  EXPECT_LT(before_serving->expires, os::real_clock().now() + std::chrono::hours(2) + std::chrono::seconds(1));

  serve("localhost:0");
  const Finished invited = cofferd({"invite", "b"});
  EXPECT_EQ(std::ranges::count(invited.out, '\n'), 1);
  EXPECT_EQ(invited.err, "");
  const auto token = tls::decode_token(invited.out);
  EXPECT_EQ(token->host, "localhost") << "where the running server listens";
  EXPECT_EQ(token->port, port());

  const Finished elsewhere = cofferd({"invite", "c", "--address", "backup.example:99"});
  EXPECT_EQ(tls::decode_token(elsewhere.out)->host, "backup.example");
  EXPECT_EQ(tls::decode_token(elsewhere.out)->port, 99);
  EXPECT_NE(elsewhere.err.find("backup.example"), std::string::npos) << "its certificate does not say so";

  server_->signal(SIGKILL);
  server_->wait(std::chrono::seconds(20));
  EXPECT_EQ(tls::decode_token(cofferd({"invite", "d"}).out)->port, 7465) << "what a killed server left is not believed";
}

TEST_F(Cofferd, EndsCleanlyAtSigtermAndSigint) {
  serve();
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(address(), "");
  serve();
  server_->signal(SIGINT);
  EXPECT_EQ(server_->wait(std::chrono::seconds(20)), 0);
}

TEST_F(Cofferd, RefusesAFolderOrAPortThatIsInUse) {
  serve();
  expect_sentence(cofferd({"serve", "--listen", "127.0.0.1:0"}), 1, "a server runs on");
  expect_sentence(cofferd({"check", "--rebuild-index"}), 1, "stop it");
  const std::string other = (folder_ / "other").string();
  ASSERT_EQ(bare({"init", "--dir", other, "--host", "127.0.0.1"}).exit_code, 0);
  expect_sentence(bare({"serve", "--dir", other, "--listen", address()}), 1, "the port is in use");
}

TEST_F(Cofferd, SaysWhatIsWrongWithItsConfiguration) {
  const std::string path = dir() + "/cofferd.toml";
  const std::string good = text_of(path);
  for (const char* bad :
       {"hosts = [", "hosts = []", "hosts = ['a']\nport = 99999", "hosts = ['a']\nprot = 1", "hosts = 'a'"}) {
    std::ofstream(path) << bad << "\n";
    expect_sentence(cofferd({"serve"}), 1, "cofferd.toml");
  }
  std::ofstream(path) << good;
  serve();
}

TEST_F(Cofferd, ListsClientsAndVaultsForPeopleAndForPrograms) {
  EXPECT_EQ(cofferd({"invite", "tablet"}).exit_code, 0);
  EXPECT_NE(cofferd({"clients"}).out.find("invited until 20"), std::string::npos) << cofferd({"clients"}).out;
  EXPECT_NE(cofferd({"revoke", "tablet"}).out.find("has ended"), std::string::npos);
  EXPECT_NE(cofferd({"clients"}).out.find("No clients yet"), std::string::npos);
  serve();
  object::VaultId vault;
  enrol("laptop", &vault);
  enrol("phone", &vault);
  const Finished granted = cofferd({"grant", "phone", "laptop", "--read-only"});
  EXPECT_EQ(granted.exit_code, 0) << granted.err;
  EXPECT_EQ(cofferd({"revoke", "laptop"}).exit_code, 0);
  const std::string clients = cofferd({"clients"}).out;
  EXPECT_NE(clients.find("revoked"), std::string::npos) << clients;
  EXPECT_NE(clients.find("laptop (read only), phone"), std::string::npos) << clients;
  EXPECT_NE(cofferd({"vaults"}).out.find("laptop"), std::string::npos);

  const Finished parsed = testing::shell(
      std::string(COFFER_BIN) + "/cofferd clients --json --dir " + dir() +
      " | python3 -c 'import json,sys; c=json.load(sys.stdin)[\"clients\"]; print(c[0][\"name\"], "
      "len(c[0][\"vaults\"]), "
      "c[1][\"revoked\"] is not None)'; " +
      std::string(COFFER_BIN) + "/cofferd vaults --json --dir " + dir() +
      " | python3 -c 'import json,sys; v=json.load(sys.stdin)[\"vaults\"]; print(len(v), v[0][\"clients\"])'");
  EXPECT_EQ(parsed.out, "phone 2 True\n2 ['phone']\n") << parsed.err;
}

// Claim: what a stolen client did to the slots is undone by one command beside the running server.
TEST_F(Cofferd, BringsBackKeySlotsBesideARunningServer) {
  serve();
  object::VaultId vault;
  const auto client = connect(enrol("laptop", &vault), vault);
  ASSERT_TRUE(client->wait_online(soon()));
  const auto put = [&](std::string_view slot) {
    return rpc::wait<std::uint64_t>(
        [&](auto done) { client->put_key_slot(copy_of(as_bytes(slot)), false, soon(), done); });
  };
  ASSERT_TRUE(put("passphrase"));
  ASSERT_TRUE(put("junk"));
  ASSERT_TRUE(rpc::wait<void>([&](auto done) { client->remove_key_slot(1, soon(), done); }));
  const std::string listed = cofferd({"slots", "laptop"}).out;
  EXPECT_NE(listed.find("removed 20"), std::string::npos) << listed;
  expect_sentence(cofferd({"slots", "laptop", "--restore", "7"}), 1, "there is no removed key slot 7");
  const Finished restored = cofferd({"slots", "laptop", "--restore", "1", "--remove", "2"});
  EXPECT_EQ(restored.exit_code, 0) << restored.err;
  const auto slots = rpc::wait<std::vector<rpc::KeySlot>>([&](auto done) { client->get_key_slots(soon(), done); });
  ASSERT_TRUE(slots);
  ASSERT_EQ(slots->size(), 1u);
  EXPECT_EQ(as_text(slots->front().slot), "passphrase");
}

TEST_F(Cofferd, CutsARevokedClientOffWithinASecondAndSaysWhoInTheLog) {
  serve();
  object::VaultId vault;
  const auto client = connect(enrol("laptop", &vault), vault);
  ASSERT_TRUE(client->wait_online(soon()));
  ASSERT_EQ(cofferd({"revoke", "laptop"}).exit_code, 0);
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(testing::eventually([&] { return client->link() == rpc::Link::refused; }));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
  EXPECT_NE(text_of(log()).find("client \\\"laptop\\\" was revoked"), std::string::npos) << text_of(log());
}

TEST_F(Cofferd, FindsAFlippedByteInAPack) {
  serve();
  object::VaultId vault;
  const std::string base = enrol("laptop", &vault);
  testing::SeededRandom random(1);
  const auto sealed = std::make_shared<const Bytes>(random.bytes(10'000));
  const object::ChunkId id(crypto::sha256(*sealed));
  {
    const auto client = connect(base, vault);
    const auto put = rpc::wait<rpc::PutChunkDone>([&](auto done) { client->put_chunk(id, sealed, 0, soon(), done); });
    ASSERT_TRUE(put) << put.error().what;
  }
  const Finished well = cofferd({"check", "--read-data"});
  EXPECT_EQ(well.exit_code, 0) << "beside the running server: " << well.out << well.err;
  EXPECT_EQ(stop(), 0);

  const std::string packs = dir() + "/vaults/" + vault.hex() + "/packs";
  for (const auto& entry : std::filesystem::directory_iterator(packs)) {
    if (entry.path().extension() != ".pack") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(5'000);
    const char old = static_cast<char>(file.get());
    file.seekp(5'000);
    file.put(static_cast<char>(old ^ 1));
  }
  const Finished found = cofferd({"check", "--read-data"});
  EXPECT_EQ(found.exit_code, 4);
  EXPECT_NE(found.out.find("laptop: chunk " + id.hex()), std::string::npos) << found.out;
  EXPECT_EQ(cofferd({"check", "--read-data", "--json"}).exit_code, 4);
  EXPECT_EQ(cofferd({"check"}).exit_code, 0) << "without --read-data payloads are not read";

  serve();
  const auto client = connect(base, vault);
  const auto got = rpc::wait<Bytes>([&](auto done) { client->get_chunk(id, soon(), done); });
  ASSERT_FALSE(got);
  // The scrub may have set it aside already: then it is not there.
  EXPECT_TRUE(got.error().fault == Fault::corrupt || got.error().code == ENOENT) << "never wrong bytes";
  EXPECT_TRUE(testing::eventually([&] { return text_of(log()).find(id.hex()) != std::string::npos; }));
}

TEST_F(Cofferd, RebuildsTheIndexFromThePacks) {
  serve();
  object::VaultId vault;
  const std::string base = enrol("laptop", &vault);
  testing::SeededRandom random(1);
  const auto sealed = std::make_shared<const Bytes>(random.bytes(10'000));
  const object::ChunkId id(crypto::sha256(*sealed));
  {
    const auto client = connect(base, vault);
    ASSERT_TRUE(rpc::wait<rpc::PutChunkDone>([&](auto done) { client->put_chunk(id, sealed, 0, soon(), done); }));
  }
  EXPECT_EQ(stop(), 0);
  const std::string packs = dir() + "/vaults/" + vault.hex() + "/packs";
  std::ofstream(packs + "/index.db", std::ios::binary) << "nonsense";
  const Finished rebuilt = cofferd({"check", "--rebuild-index"});
  EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.out << rebuilt.err;
  serve();
  const auto client = connect(base, vault);
  const auto got = rpc::wait<Bytes>([&](auto done) { client->get_chunk(id, soon(), done); });
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(*got, *sealed);
}

TEST_F(Cofferd, NeedsNoRepairAfterAKill) {
  serve();
  object::VaultId vault;
  const std::string base = enrol("laptop", &vault);
  testing::SeededRandom random(1);
  const auto sealed = std::make_shared<const Bytes>(random.bytes(10'000));
  const object::ChunkId id(crypto::sha256(*sealed));
  const auto client = connect(base, vault);
  ASSERT_TRUE(rpc::wait<rpc::PutChunkDone>([&](auto done) { client->put_chunk(id, sealed, 0, soon(), done); }));
  const std::string where = address();
  server_->signal(SIGKILL);
  server_->wait(std::chrono::seconds(20));
  std::filesystem::remove(dir() + "/run/listen");
  serve(where);
  const auto got = rpc::wait<Bytes>([&](auto done) { client->get_chunk(id, soon(), done); });
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(*got, *sealed);
}

/// The commands that server/README.md gives for certificates made by hand, block by block, as they stand there.
std::vector<std::string> readme_blocks() {
  const std::string text = text_of(COFFER_INTEROP "/../../server/README.md");
  std::size_t at = text.find("## Certificates made by hand");
  EXPECT_NE(at, std::string::npos);
  const std::size_t end = text.find("\n## ", at + 1);
  std::vector<std::string> blocks;
  for (at = text.find("```sh\n", at); at < end; at = text.find("```sh\n", at)) {
    at += 6;
    blocks.push_back(text.substr(at, text.find("```", at) - at));
  }
  return blocks;
}

TEST_F(Cofferd, TakesCertificatesMadeByHandAsItsReadmeSays) {
  const auto blocks = readme_blocks();
  ASSERT_EQ(blocks.size(), 3u) << "EC, RSA 4096, and a CA of one's own";
  std::string script = "cd " + folder_.path().string() + "; D=" + dir() + "; PATH=" COFFER_BIN ":$PATH\n";
  for (const std::string& block : blocks) script += block;
  const Finished done = testing::shell(script);
  ASSERT_EQ(done.exit_code, 0) << done.out << done.err;
  serve();
  for (const char* name : {"laptop", "desktop", "printer"}) {
    const auto client = connect((folder_ / name).string());
    const auto online = client->wait_online(soon());
    ASSERT_TRUE(online) << name << ": " << online.error().what;
    EXPECT_EQ(client->facts()->client_name, name);
    EXPECT_EQ(client->facts()->vaults.size(), 1u);
  }
}

TEST_F(Cofferd, RegistersNoCertificateOfAForeignOrNoCa) {
  const Finished made = testing::shell("cd " + folder_.path().string() +
                                       "; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
                                       "self.key -out self.pem -subj /CN=self -days 1 2>/dev/null");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::string base = (folder_ / "self").string();
  expect_sentence(cofferd({"clients", "add", "self", "--certificate", base + ".pem"}), 1, "signed neither by");
  serve();
  const auto client = connect(base);
  EXPECT_EQ(client->wait_online(soon()).error().fault, Fault::refused);
  EXPECT_TRUE(testing::eventually([&] { return text_of(log()).find("CN=self") != std::string::npos; }))
      << "who it was, and why: " << text_of(log());
}

}  // namespace
}  // namespace coffer::admin
