#include "fs/seal/compression.h"

#include <cerrno>
#include <charconv>
#include <optional>

namespace coffer::seal {
namespace {

constexpr int kZstdLevelDefault = 3;
constexpr int kZlibLevelDefault = 6;

Error bad(std::string what) { return {Fault::refused, EINVAL, std::move(what)}; }

Error unknown(std::string_view text) {
  return bad("compression \"" + std::string(text) + "\" is unknown: use auto, none, zstd, zstd:3, zlib or zlib:6");
}

/// The level behind "zstd:" or "zlib:", or `otherwise` where there is none.
Result<int> parse_level(std::string_view codec, std::optional<std::string_view> text, int min, int max, int otherwise) {
  if (!text) return otherwise;
  int level = 0;
  const char* const end = text->data() + text->size();
  const auto [read, code] = std::from_chars(text->data(), end, level);
  if (code == std::errc() && read == end && level >= min && level <= max && level != 0) return level;
  const std::string name(codec);
  return bad("compression level \"" + std::string(*text) + "\" is not one of " + name + "'s: they go from " +
             std::to_string(min) + " to " + std::to_string(max) + (min < 0 ? " without 0" : "") + ", as in " + name +
             ":" + std::to_string(otherwise));
}

}  // namespace

Result<Compression> parse_compression(std::string_view text) {
  using Codec = Compression::Codec;
  const std::size_t colon = text.find(':');
  const std::string_view codec = text.substr(0, colon);
  std::optional<std::string_view> level_text;
  if (colon != std::string_view::npos) level_text = text.substr(colon + 1);

  if (codec == "zstd") {
    COFFER_TRY(const int level, parse_level(codec, level_text, kZstdLevelMin, kZstdLevelMax, kZstdLevelDefault));
    return Compression{Codec::zstd, level};
  }
  if (codec == "zlib") {
    COFFER_TRY(const int level, parse_level(codec, level_text, kZlibLevelMin, kZlibLevelMax, kZlibLevelDefault));
    return Compression{Codec::zlib, level};
  }
  if (codec != "none" && codec != "auto") return unknown(text);
  if (level_text) return bad("compression " + std::string(codec) + " has no levels");
  return Compression{codec == "none" ? Codec::none : Codec::automatic, 0};
}

std::string to_text(const Compression& compression) {
  switch (compression.codec) {
    case Compression::Codec::none: return "none";
    case Compression::Codec::zstd: return "zstd:" + std::to_string(compression.level);
    case Compression::Codec::zlib: return "zlib:" + std::to_string(compression.level);
    case Compression::Codec::automatic: return "auto";
  }
  return "none";
}

}  // namespace coffer::seal
