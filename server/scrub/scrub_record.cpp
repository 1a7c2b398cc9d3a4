#include "server/scrub/scrub_record.h"

#include <nlohmann/json.hpp>

namespace coffer::scrub {
namespace {

constexpr std::size_t kBytesMax = 4096;

std::string path_of(const std::string& vault_folder) { return vault_folder + "/scrub.json"; }

}  // namespace

ScrubRecord read_scrub_record(os::Disk& disk, const std::string& vault_folder) {
  const Result<Bytes> bytes = os::read_file(disk, path_of(vault_folder), kBytesMax);
  if (!bytes) return {};
  const nlohmann::json json = nlohmann::json::parse(as_text(*bytes), nullptr, false);
  if (!json.is_object()) return {};
  try {
    ScrubRecord record;
    record.scrubbed_ns = json.at("scrubbed_ns").get<std::int64_t>();
    record.began_ns = json.at("began_ns").get<std::int64_t>();
    record.is_under_way = json.at("under_way").get<bool>();
    record.place = {.pack = json.at("pack").get<std::uint64_t>(), .offset = json.at("offset").get<std::uint64_t>()};
    record.chunks = json.at("chunks").get<std::uint64_t>();
    record.bytes = json.at("bytes").get<std::uint64_t>();
    record.damaged = json.at("damaged").get<std::uint64_t>();
    record.wanted_chunks = json.at("wanted_chunks").get<std::uint64_t>();
    return record;
  } catch (const nlohmann::json::exception&) {
    return {};
  }
}

Result<void> write_scrub_record(os::Disk& disk, const std::string& vault_folder, const ScrubRecord& record) {
  const nlohmann::ordered_json json{{"scrubbed_ns", record.scrubbed_ns},
                                    {"began_ns", record.began_ns},
                                    {"under_way", record.is_under_way},
                                    {"pack", record.place.pack},
                                    {"offset", record.place.offset},
                                    {"chunks", record.chunks},
                                    {"bytes", record.bytes},
                                    {"damaged", record.damaged},
                                    {"wanted_chunks", record.wanted_chunks}};
  return os::replace_file(disk, path_of(vault_folder), as_bytes(json.dump(2) + "\n"));
}

}  // namespace coffer::scrub
