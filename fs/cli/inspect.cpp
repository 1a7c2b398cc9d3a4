// coffer inspect chunk: what a sealed chunk says of itself.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <iostream>
#include <memory>

#include "common/base/limits.h"
#include "common/crypto/hash.h"
#include "common/os/disk.h"
#include "common/os/random.h"
#include "fs/cli/command.h"
#include "fs/seal/sealer.h"

namespace coffer::cli {

namespace {

struct InspectOptions {
  std::string file;
  KeyOptions key;
};

const char* codec_name(std::uint8_t codec) {
  switch (codec) {
    case 0: return "stored";
    case 1: return "zstd";
    case 2: return "zlib";
    default: return "unknown";
  }
}

Result<seal::Sealer> sealer_of(const InspectOptions& options, const CommandLine& line) {
  COFFER_TRY(const vault::VaultFolder folder, line.folder());
  COFFER_TRY(const vault::VaultSettings settings, vault::read_settings(folder));
  COFFER_TRY(const keys::VaultKey key,
             vault::open_slots(settings.key_slots, settings.id, options.key.source(settings)));
  return seal::Sealer(key, settings.id, os::real_random(), {});
}

Result<int> inspect(const InspectOptions& options, const CommandLine& line) {
  Result<Bytes> bytes = os::read_file(os::real_disk(), options.file, limits::kChunkSealedBytesMax);
  if (!bytes) return std::move(bytes).error().in(options.file);
  const crypto::Digest digest = crypto::sha256(*bytes);
  std::cout << "id            " << object::ChunkId(digest).hex() << "\n"
            << "sealed_bytes  " << bytes->size() << "\n";
  COFFER_TRY(const seal::Sealer sealer, sealer_of(options, line));
  const Result<seal::SealedHeader> header = sealer.read_header(*bytes);
  if (!header) {
    std::cerr << "coffer: no head of a chunk of this vault: " << header.error().what << "\n";
    return kCorrupt;
  }
  std::cout << "plain_bytes   " << header->plain_bytes << "\nframes        " << header->frames.size() << "\n";
  bool is_good = true;
  for (std::size_t i = 0; i < header->frames.size(); ++i) {  // On past damage: each frame stands by itself.
    const seal::SealedFrame& frame = header->frames[i];
    const bool is_there = frame.sealed_offset + std::uint64_t{frame.sealed_bytes} <= bytes->size();
    const bool opens =
        is_there && sealer.open_frame(*header, i, ByteView(*bytes).subspan(frame.sealed_offset, frame.sealed_bytes));
    std::cout << "frame " << i << "  at " << frame.sealed_offset << ", " << frame.sealed_bytes << " bytes, "
              << codec_name(frame.codec) << " " << frame.packed_bytes << " of " << frame.plain_bytes << " plain, "
              << (opens ? "good" : "DAMAGED") << "\n";
    is_good = is_good && opens;
  }
  return is_good ? kDone : kCorrupt;
}

}  // namespace

void add_inspect(CLI::App& app, CommandLine& line) {
  CLI::App* const inspect_command = app.add_subcommand("inspect", "Decode a file that coffer wrote");
  inspect_command->require_subcommand(1);
  CLI::App* const chunk = inspect_command->add_subcommand("chunk", "A sealed chunk of this vault; 4 if it is damaged");
  const auto options = std::make_shared<InspectOptions>();
  chunk->add_option("file", options->file, "The sealed chunk")->required();
  options->key.add_to(*chunk);
  chunk->callback([options, &line] { line.action = [options, &line] { return inspect(*options, line); }; });
}

}  // namespace coffer::cli
