// Claim: one flipped bit, in whichever file of a server or of a home, crashes nobody and is never read as content:
// every file that is read back is right, what cannot be read is an error, and check() finds the damage unless it harms
// nothing.
//
// Method: a vault with large, small and empty files is kept as a pristine copy. Each round puts it back, flips one bit
// of one file by the seed, runs the checks, serves, and gets everything with a client that has an empty spool (a
// server's round) or the damaged home (a home's). COFFER_FLIP_ROUNDS sets the rounds of each kind, COFFER_FLIP_SEED the
// first seed.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "tests/testing/command.h"
#include "tests/testing/eventually.h"
#include "tests/testing/seeded_random.h"
#include "tests/testing/temp_dir.h"

namespace coffer::testing {
namespace {

using std::chrono::seconds;
namespace fs = std::filesystem;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Whose change is no damage that anyone could tell: another host, another port, a comment.
bool is_a_persons_text(const std::string& name) {
  return name.ends_with("cofferd.toml") || name.ends_with("vault.json") || name.ends_with("scrub.json") ||
         name.find("/run/") != std::string::npos || name.ends_with("/lock") || name.ends_with("mount.log");
}

class Flips : public ::testing::Test {
 protected:
  void SetUp() override {
    source_ = path("source");
    ASSERT_EQ(shell("mkdir -p " + source_ + "/folder && cd " + source_ +
                    " && head -c 2500000 /dev/urandom > large && yes text | head -c 700000 > text && touch empty && "
                    "for i in $(seq 1 30); do head -c $((i * 97)) /dev/urandom > folder/small$i; done")
                  .exit_code,
              0);
    ASSERT_TRUE(succeeded(cofferd({"init", "--host", "127.0.0.1"})));
    serve();
    for (const char* name : {"writer", "reader"}) {
      std::vector<std::string> invite = {"invite", name};
      if (std::string(name) == "reader") invite.insert(invite.end(), {"--vault", "writer"});
      const Finished token = cofferd(invite);
      ASSERT_TRUE(succeeded(token));
      ASSERT_TRUE(
          succeeded(coffer(name, {"enroll", token.out.substr(0, token.out.find('\n')), "--key-file", path("key")})));
    }
    ASSERT_TRUE(succeeded(coffer("writer", {"put", source_ + "/large", source_ + "/text", source_ + "/empty",
                                            source_ + "/folder", "--to", "/"})));
    ASSERT_TRUE(succeeded(coffer("reader", {"ls", "/"})));  // Its tree is there, and its spool empty.
    stop();
    ASSERT_EQ(shell("cd " + dir() + " && mkdir pristine && cp -a server home-writer home-reader pristine/").exit_code,
              0);
  }

  std::string dir() const { return dir_.path().string(); }
  std::string path(const std::string& name) const { return dir() + "/" + name; }

  Finished cofferd(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), bin_folder() + "/cofferd");
    arguments.insert(arguments.end(), {"--dir", path("server")});
    return run(arguments, seconds(60));
  }
  Finished coffer(const std::string& client, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), bin_folder() + "/coffer");
    arguments.insert(arguments.end(), {"--home", path("home-" + client)});
    return run(arguments, seconds(90));
  }

  /// False where the server ends instead of serving; it must say why.
  bool serve() {
    const std::string said = path("server/run/listen");
    fs::remove(said);
    server_ = std::make_unique<Process>(
        std::vector<std::string>{bin_folder() + "/cofferd", "serve", "--dir", path("server"), "--listen", address_},
        path("cofferd.log"));
    eventually([&] { return !text_of(said).empty() || !server_->runs(); }, seconds(30));
    if (!server_->runs()) {
      const int code = server_->wait(seconds(10));
      EXPECT_LT(code, 128) << "a signal ended the server\n" << text_of(path("cofferd.log"));
      return false;
    }
    address_ = text_of(said).substr(0, text_of(said).find('\n'));
    return true;
  }
  void stop() {
    if (server_ == nullptr) return;
    if (server_->runs()) server_->signal(SIGTERM);
    EXPECT_LT(server_->wait(seconds(30)), 128) << text_of(path("cofferd.log"));
    server_.reset();
  }

  void restore() {
    ASSERT_EQ(shell("cd " + dir() +
                    " && rm -rf server home-writer home-reader out && cp -a pristine/. . && rm -f "
                    "cofferd.log")
                  .exit_code,
              0);
  }

  /// Flips one bit of one regular file below `folder`; its name, relative.
  std::string flip_somewhere(const std::string& folder, SeededRandom& random) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(path(folder))) {
      if (entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    const std::string file = files[random.below(files.size())];
    const std::uint64_t offset = random.below(fs::file_size(file));
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(offset));
    stream.put(static_cast<char>(byte ^ (1 << random.below(8))));
    return file.substr(dir().size()) + " at " + std::to_string(offset);
  }

  /// Every file that came out is right. True if all did.
  bool compare_out() const {
    bool all = true;
    for (const auto& entry : fs::recursive_directory_iterator(source_)) {
      if (!entry.is_regular_file()) continue;
      const fs::path out = path("out") / fs::relative(entry.path(), source_);
      if (!fs::exists(out)) {
        all = false;
      } else {
        EXPECT_EQ(text_of(out) == text_of(entry.path()), true) << "wrong bytes in " << out;
      }
    }
    return all;
  }

  /// `check` is what the check of the damaged side said.
  void judge(const std::string& where, const Finished& check, const Finished& got) {
    EXPECT_LT(check.exit_code, 128) << check.err;
    EXPECT_LT(got.exit_code, 128) << got.err;
    const bool all = compare_out();
    if (got.exit_code == 0) {
      EXPECT_TRUE(all) << "files are missing, and nobody said so";
    } else {
      EXPECT_FALSE(got.err.empty()) << "a failure without a sentence";
    }
    const std::string file = where.substr(0, where.find(" at "));
    if (check.exit_code == 0 && !is_a_persons_text(file)) {
      EXPECT_EQ(got.exit_code, 0) << "damage that harms, and check found nothing: " << got.err;
    }
    std::fprintf(stderr, "%s: check %d, get %d\n", where.c_str(), check.exit_code, got.exit_code);
  }

  void flip_rounds(const std::string& folder, std::uint64_t rounds) {
    const std::uint64_t first = number_from("COFFER_FLIP_SEED", 1);
    for (std::uint64_t seed = first; seed < first + rounds && !HasFailure(); ++seed) {
      ASSERT_NO_FATAL_FAILURE(restore());
      SeededRandom random(seed);
      const std::string where = flip_somewhere(folder, random);
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ": " << where);
      const bool is_home = folder != "server";
      const Finished server_check = is_home ? Finished{} : cofferd({"check", "--read-data"});
      if (!serve()) {
        EXPECT_FALSE(is_home);
        EXPECT_TRUE(server_check.exit_code != 0 || is_a_persons_text(where.substr(0, where.find(" at "))))
            << "it does not start, and check found nothing";
        server_.reset();
        continue;
      }
      const Finished home_check = is_home ? coffer("writer", {"check", "--read-data"}) : Finished{};
      const Finished got = coffer(is_home ? "writer" : "reader", {"get", "/", "-o", path("out")});
      judge(where, is_home ? home_check : server_check, got);
      stop();
    }
  }

  TempDir dir_;
  std::string source_;
  std::string address_ = "127.0.0.1:0";
  std::unique_ptr<Process> server_;
};

TEST_F(Flips, OfAServerAreFoundAndNeverReadAsContent) { flip_rounds("server", number_from("COFFER_FLIP_ROUNDS", 6)); }

TEST_F(Flips, OfAHomeAreFoundAndNeverReadAsContent) {
  flip_rounds("home-writer", number_from("COFFER_FLIP_ROUNDS", 6));
}

}  // namespace
}  // namespace coffer::testing
