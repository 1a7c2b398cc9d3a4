// tests/vectors/keys/cases.txt: derived keys, slots, recovery keys and key files that every implementation must read
// alike. All were computed from KEYS.md with Python, not with the code under test.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "common/base/text.h"
#include "fs/keys/key_slot.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/vectors.h"

namespace coffer::keys {
namespace {

using Fields = std::vector<std::string>;

std::vector<Fields> cases(std::string_view kind) {
  std::vector<Fields> all = testing::read_cases(std::string(COFFER_VECTORS) + "/keys/cases.txt");
  std::erase_if(all, [&](const Fields& fields) { return fields.at(0) != kind; });
  EXPECT_GE(all.size(), 4u);
  return all;
}

Bytes hex(const std::string& text) { return base::from_hex(text).value(); }
object::VaultId vault(const std::string& text) { return object::VaultId::from(hex(text)).value(); }

/// "good" and the bytes, or the name of the fault.
template <class T>
std::string outcome(const Result<T>& result) {
  return result ? base::to_hex(result->bytes()) : std::string(fault_name(result.error().fault));
}

TEST(KeyVectors, DeriveTheKeysOfTheirList) {
  for (const Fields& f : cases("derive")) {
    const VaultKey key = VaultKey::from_bytes(hex(f.at(1))).value();
    const crypto::Secret derived = key.derive(f.at(3), vault(f.at(2)));
    EXPECT_EQ(base::to_hex(derived.bytes()), f.at(4)) << f.at(3);
  }
}

TEST(KeyVectors, OpenTheSlotsOfTheirListAndNoOthers) {
  for (const Fields& f : cases("slot")) {
    EXPECT_EQ(outcome(unwrap(hex(f.at(1)), testing::make_plain(f.at(2)), vault(f.at(3)))), f.at(4)) << f.at(1);
  }
}

TEST(KeyVectors, ReadTheRecoveryKeysOfTheirListAndNoOthers) {
  for (const Fields& f : cases("recovery")) EXPECT_EQ(outcome(RecoveryKey::parse(f.at(1))), f.at(2)) << f.at(1);
}

TEST(KeyVectors, ReadTheKeyFilesOfTheirListAndNoOthers) {
  const testing::TempDir folder;
  for (const Fields& f : cases("file")) {
    std::ofstream(folder / "key", std::ios::binary) << as_text(testing::make_plain(f.at(1)));
    EXPECT_EQ(outcome(KeyFile::read(os::real_disk(), folder / "key")), f.at(2)) << f.at(1);
  }
}

}  // namespace
}  // namespace coffer::keys
