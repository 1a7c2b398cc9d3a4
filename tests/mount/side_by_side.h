// A mount, and a plain folder of this machine that says what is right: the same script in both must say the same.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "tests/testing/command.h"
#include "tests/testing/stage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vault/local_mount.h"

namespace coffer {

class SideBySide : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::can_mount()) GTEST_SKIP() << "no /dev/fuse here";
    ::mkdir(plain().c_str(), 0755);
    ::chmod(folder_.path().c_str(), 0755);  // Other users come to both.
    mount();
  }
  std::string plain() const { return (folder_ / "plain").string(); }
  std::string mounted() const { return mount_->path(); }
  testing::LocalVault& vault() { return mount_->vault(); }

  void mount(const testing::LocalMountOptions& options = {.fuse = {"allow_other"}, .files = {}, .shown = {}}) {
    mount_.reset();
    mount_ = std::make_unique<testing::LocalMount>((folder_ / "vault").string(), options);
  }

  /// What `script` prints with `folder` as its working directory.
  static std::string output(const std::string& folder, const std::string& script) {
    const testing::Finished finished =
        testing::shell("cd '" + folder + "'; exec 2>&1; set +e; export LC_ALL=C; umask 022\n" + script);
    return finished.out + finished.err;
  }
  void expect_same(const std::string& script) {
    const std::string right = output(plain(), script);
    EXPECT_EQ(output(mounted(), script), right) << script;
    EXPECT_NE(right, "") << "a comparison of nothing: " << script;
  }

 private:
  testing::TempDir folder_;
  std::unique_ptr<testing::LocalMount> mount_;
};

}  // namespace coffer
