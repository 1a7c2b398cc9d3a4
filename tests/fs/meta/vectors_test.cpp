// The payload's format against tests/vectors/meta, and against its own golden bytes.
#include <fstream>
#include <sstream>

#include "common/base/text.h"
#include "tests/fs/meta/invariants.h"
#include "tests/fs/meta/loading.h"

namespace coffer::meta {
namespace {

std::string shown(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (c > 0x20 && c < 0x7f) {
      text += c;
    } else {
      text += "\\x" + base::to_hex(as_bytes(std::string_view(&c, 1)));
    }
  }
  return text;
}

std::uint64_t number_of(const object::ChunkId& id) {
  std::uint64_t number = 0;
  std::memcpy(&number, id.bytes().data(), sizeof(number));
  return number;
}

void show(TreeWorld& world, const Attributes& row, const std::string& path, std::vector<std::string>& lines) {
  std::ostringstream line;
  line << row.inode.value() << " 0" << std::oct << row.mode << std::dec << " " << row.uid << " " << row.gid << " "
       << row.rdev << " " << row.bytes << " " << row.links << " " << row.atime_ns << " " << row.mtime_ns << " "
       << row.ctime_ns << " " << row.btime_ns << " " << shown(path.empty() ? "/" : path);
  const std::vector<std::string> xattrs = *world->xattrs(row.inode);
  for (const std::string& name : xattrs) {
    line << " x:" << name << "=" << base::to_hex(as_bytes(*world->xattr(row.inode, name)));
  }
  if (S_ISLNK(row.mode)) line << " t:" << base::to_hex(as_bytes(*world->symlink_target(row.inode)));
  for (const Extent& extent : world.extents(row.inode)) {
    line << " e:" << extent.at.value() << "+" << extent.bytes << "@" << number_of(world.id(extent.chunk)) << "+"
         << extent.chunk_offset;
  }
  lines.push_back(line.str());
  if (!S_ISDIR(row.mode)) return;
  std::map<std::string, Attributes> children;
  const std::vector<Entry> entries = *world->entries(row.inode, 0, 1000);
  for (const Entry& entry : entries) children[entry.name] = entry.attributes;
  for (const auto& [name, child] : children) show(world, child, path + "/" + name, lines);
}

std::vector<std::string> shown_tree(TreeWorld& world) {
  std::vector<std::string> lines;
  show(world, world.stat("/"), "", lines);
  return lines;
}

/// Its payload in plain.
Bytes commit_after(const std::vector<Bytes>& log, ByteView payload) {
  object::Commit commit{
      .vault = {}, .seq = log.size() + 1, .previous = {}, .epoch = 1, .added = {}, .released = {}, .payload = {}};
  if (!log.empty()) commit.previous = object::hash_of(log.back());
  commit.payload = copy_of(payload);
  return object::encode(commit);
}

Result<Changed> apply_next(TreeWorld& world, ByteView payload) {
  const Head head = *world->head();
  const object::Commit commit{
      .vault = {}, .seq = head.seq + 1, .previous = head.hash, .epoch = 1, .added = {}, .released = {}, .payload = {}};
  return world->apply(commit, payload, id_of<object::CommitHash>(commit.seq));
}

TEST(TreeOpsVectors, GiveTheTreesThatTheyTellOf) {
  std::ifstream file(COFFER_VECTORS "/meta/cases.txt");
  ASSERT_TRUE(file);
  TreeWorld world;
  const testing::TempDir folder;
  std::vector<Bytes> log;
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    ++cases;
    const std::string kind = line.substr(0, line.find(' '));
    const Bytes payload = *base::from_hex(line.substr(line.find(' ') + 1));
    SCOPED_TRACE(::testing::Message() << "case " << cases);
    const std::vector<std::string> before = shown_tree(world);
    const Result<Changed> applied = apply_next(world, payload);
    if (kind == "wrong") {
      ASSERT_FALSE(applied);
      EXPECT_EQ(applied.error().fault, Fault::corrupt);
      EXPECT_EQ(shown_tree(world), before);
      std::vector<Bytes> wrong_log = log;
      wrong_log.push_back(commit_after(log, payload));
      const Result<void> loaded = load((folder / "loaded.db").string(), wrong_log);
      ASSERT_FALSE(loaded);
      EXPECT_EQ(loaded.error().fault, Fault::corrupt);
      continue;
    }
    ASSERT_TRUE(applied) << applied.error().what;
    log.push_back(commit_after(log, payload));
    std::vector<std::string> expected;
    for (std::string row; std::getline(file, row) && row != "end";) expected.push_back(row);
    EXPECT_EQ(shown_tree(world), expected);
    expect_invariants(world);
  }
  EXPECT_GE(cases, 20);
}

// Claim: what is drafted does not change its form by itself. (Time and numbers come from a clock and counters that
// begin anew in each TreeWorld.)
TEST(TreeOpsVectors, AreWhatIsDrafted) {
  TreeWorld world;
  const InodeId folder = world.folder("d");
  const InodeId file = world.file("d/f");
  const ChunkKey chunk = world.spooled_chunk(1000);
  Content content;
  content.extents = {{FileOffset(0), 100, chunk, 0, id_of<PieceId>(7)},
                     {FileOffset(150), 50, chunk, 900, std::nullopt}};
  content.bytes = 300;
  EXPECT_TRUE(world->record(file, content));
  EXPECT_TRUE(world->set_xattr(file, "user.x", as_bytes("v"), XattrMode::either));
  EXPECT_TRUE(world->create(folder, "l", {.mode = S_IFLNK | 0777, .symlink_target = "t"}));
  world.store(chunk);
  Draft draft;
  world.done(world.draft(&draft));
  std::ifstream golden(COFFER_VECTORS "/meta/draft.hex");
  std::string expected;
  golden >> expected;
  EXPECT_EQ(base::to_hex(draft.payload), expected);
}

}  // namespace
}  // namespace coffer::meta
