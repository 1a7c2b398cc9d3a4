#include "fs/vault/status.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "common/base/escape.h"
#include "common/base/text.h"

namespace coffer::vault {

namespace {

std::string count_of(std::uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string clock_time(std::int64_t since_1970_ns) {
  const std::time_t seconds = since_1970_ns / 1'000'000'000;
  std::tm broken_down{};
  ::localtime_r(&seconds, &broken_down);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%F %T", &broken_down);
  return text.data();
}

template <class T>
void get_if_there(const nlohmann::json& json, const char* name, std::optional<T>& into) {
  if (json.contains(name) && !json.at(name).is_null()) into = json.at(name).get<T>();
}

}  // namespace

std::string why_owed(const Status& status) {
  if (status.lease == "lost") return "the right to write was lost";
  if (!status.mounted && status.link == "unmounted") return "it goes on at the next mount";
  if (status.link != "online") {
    return status.link_why.empty() ? "the server cannot be reached" : status.link_why;
  }
  if (status.read_only) return "the vault is open read-only";
  return {};
}

std::string to_json(const Status& status) {
  nlohmann::ordered_json json;
  json["vault"] = status.vault;
  json["server"] = status.server;
  json["mounted"] = status.mounted;
  json["mountpoint"] = status.mountpoint;
  json["folder"] = status.folder;
  json["read_only"] = status.read_only;
  json["all_committed"] = status.all_committed();
  json["link"] = {{"state", status.link}, {"why", status.link_why}};
  json["lease"] = {{"state", status.lease}, {"holder", status.lease_holder}};
  json["tree"] = {
      {"files", status.files}, {"bytes", status.bytes}, {"head_seq", status.head_seq}, {"head_hash", status.head_hash}};
  json["levels"] = {{"memory_bytes", status.buffered_bytes}, {"spooled_bytes", status.owed_bytes}};
  json["open_files"] = status.open_files;
  nlohmann::ordered_json owed{{"files", status.owed_files},
                              {"names", status.owed_names},
                              {"chunks", status.owed_chunks},
                              {"bytes", status.owed_bytes},
                              {"commit_pending", status.commit_pending},
                              {"since_ns", nullptr}};
  if (status.owed_since_ns) owed["since_ns"] = *status.owed_since_ns;
  json["owed"] = std::move(owed);
  json["spool"] = {{"bytes", status.spool_bytes}, {"bytes_max", status.spool_bytes_max}};
  json["upload"] = {{"chunks_sent", status.chunks_sent},
                    {"bytes_sent", status.bytes_sent},
                    {"bytes_in_flight", status.bytes_in_flight},
                    {"chunk_bytes_sent", status.chunk_bytes_sent},
                    {"chunk_bytes_sent_again", status.chunk_bytes_sent_again},
                    {"wire_bytes_sent", status.wire_bytes_sent},
                    {"wire_bytes_received", status.wire_bytes_received},
                    {"last_receipt_ns", nullptr}};
  if (status.last_receipt_ns) json["upload"]["last_receipt_ns"] = *status.last_receipt_ns;
  json["server_health"] = {
      {"wanted_chunks", status.wanted_chunks}, {"healed_chunks", status.healed_chunks}, {"scrubbed_ns", nullptr}};
  if (status.scrubbed_ns) json["server_health"]["scrubbed_ns"] = *status.scrubbed_ns;
  if (status.alarm) {
    json["alarm"] = {{"what", status.alarm->what},         {"server_seq", status.alarm->server_seq},
                     {"seen_seq", status.alarm->seen_seq}, {"last_common", nullptr},
                     {"paths", status.alarm->paths},       {"path_count", status.alarm->path_count}};
    if (status.alarm->last_common) json["alarm"]["last_common"] = *status.alarm->last_common;
  }
  json["problems"] = status.problems;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Status> status_from_json(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    Status status;
    status.vault = json.at("vault").get<std::string>();
    status.server = json.at("server").get<std::string>();
    status.mounted = json.at("mounted").get<bool>();
    status.mountpoint = json.at("mountpoint").get<std::string>();
    status.folder = json.value("folder", "");
    status.read_only = json.at("read_only").get<bool>();
    status.link = json.at("link").at("state").get<std::string>();
    status.link_why = json.at("link").at("why").get<std::string>();
    status.lease = json.at("lease").at("state").get<std::string>();
    status.lease_holder = json.at("lease").at("holder").get<std::string>();
    status.files = json.at("tree").at("files").get<std::uint64_t>();
    status.bytes = json.at("tree").at("bytes").get<std::uint64_t>();
    status.head_seq = json.at("tree").at("head_seq").get<std::uint64_t>();
    status.head_hash = json.at("tree").at("head_hash").get<std::string>();
    status.buffered_bytes = json.at("levels").at("memory_bytes").get<std::uint64_t>();
    status.open_files = json.at("open_files").get<std::uint64_t>();
    const nlohmann::json& owed = json.at("owed");
    status.owed_files = owed.at("files").get<std::uint64_t>();
    status.owed_names = owed.at("names").get<std::uint64_t>();
    status.owed_chunks = owed.at("chunks").get<std::uint64_t>();
    status.owed_bytes = owed.at("bytes").get<std::uint64_t>();
    status.commit_pending = owed.at("commit_pending").get<bool>();
    get_if_there(owed, "since_ns", status.owed_since_ns);
    status.spool_bytes = json.at("spool").at("bytes").get<std::uint64_t>();
    status.spool_bytes_max = json.at("spool").at("bytes_max").get<std::uint64_t>();
    const nlohmann::json& upload = json.at("upload");
    status.chunks_sent = upload.at("chunks_sent").get<std::uint64_t>();
    status.bytes_sent = upload.at("bytes_sent").get<std::uint64_t>();
    status.bytes_in_flight = upload.at("bytes_in_flight").get<std::uint64_t>();
    status.chunk_bytes_sent = upload.at("chunk_bytes_sent").get<std::uint64_t>();
    status.chunk_bytes_sent_again = upload.at("chunk_bytes_sent_again").get<std::uint64_t>();
    status.wire_bytes_sent = upload.at("wire_bytes_sent").get<std::uint64_t>();
    status.wire_bytes_received = upload.at("wire_bytes_received").get<std::uint64_t>();
    get_if_there(upload, "last_receipt_ns", status.last_receipt_ns);
    const nlohmann::json& health = json.at("server_health");
    status.wanted_chunks = health.at("wanted_chunks").get<std::uint64_t>();
    status.healed_chunks = health.at("healed_chunks").get<std::uint64_t>();
    get_if_there(health, "scrubbed_ns", status.scrubbed_ns);
    if (json.contains("alarm")) {
      const nlohmann::json& alarm = json.at("alarm");
      status.alarm = LogAlarm{.what = alarm.at("what").get<std::string>(),
                              .server_seq = alarm.at("server_seq").get<std::uint64_t>(),
                              .seen_seq = alarm.at("seen_seq").get<std::uint64_t>(),
                              .last_common = {},
                              .paths = alarm.at("paths").get<std::vector<std::string>>(),
                              .path_count = alarm.at("path_count").get<std::uint64_t>()};
      get_if_there(alarm, "last_common", status.alarm->last_common);
    }
    status.problems = json.at("problems").get<std::vector<std::string>>();
    return status;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

namespace {

std::string to_sentence(const LogAlarm& alarm) {
  constexpr std::size_t kPathsShown = 20;
  std::string text = alarm.paths.empty() ? "" : "\nNot on the server as they are here:";
  for (std::size_t i = 0; i < alarm.paths.size() && i < kPathsShown; ++i)
    text += "\n  " + base::escaped(alarm.paths[i]);
  const std::uint64_t shown = std::min<std::uint64_t>(alarm.paths.size(), kPathsShown);
  if (alarm.path_count > shown) {
    text += "\n  and " + std::to_string(alarm.path_count - shown) + " more; `coffer recover` names all";
  }
  return text;
}

// Where nothing more can be sent: what is here, and how others' changes are seen.
std::string way_on(const Status& status) {
  std::string text;
  const bool is_fenced = status.mounted && status.lease == "lost" && !status.alarm;
  const std::string at = base::escaped(status.mountpoint);
  if (is_fenced) {
    text +=
        "\nThe mount shows the vault as it was when it lost the right to write, and nothing that others write since.";
    if (status.all_committed()) {
      text += " To follow them: `coffer umount " + at + "`, then `coffer mount " + at + "`.";
    }
  }
  if (!status.all_committed() && (status.lease == "lost" || status.link == "refused")) {
    text +=
        "\nWhat is not on the server is kept here: `coffer owed list` shows it, `coffer owed export DIR` writes it "
        "out; "
        "`coffer owed drop`, once it is unmounted, gives it up and makes way.";
    if (is_fenced) {
      text += " After the export, to follow the others: `coffer umount --now " + at +
              "`, `coffer owed drop`, `coffer mount " + at + "`.";
    }
  }
  return text;
}

}  // namespace

std::string to_sentence(const Status& status) {
  std::string text = "Vault " + status.vault + ": ";
  if (status.alarm) {
    text += "ALARM: the server's log is not the one that this client has seen.";
  } else if (status.all_committed()) {
    text += "everything is committed on " + status.server + " (" + count_of(status.files, "file", "files") + ", " +
            base::format_size(status.bytes) + ", commit " + std::to_string(status.head_seq) + ").";
  } else {
    text += count_of(status.owed_files + status.owed_names, "change", "changes") + " and " +
            base::format_size(status.owed_bytes + status.buffered_bytes) + " are not on the server yet";
    if (status.owed_since_ns) text += ", the oldest since " + clock_time(*status.owed_since_ns);
    const std::string why = why_owed(status);
    text += why.empty() ? "; they are on their way." : "; " + base::escaped(why, "") + ".";
  }
  if (status.open_files > 0) {
    text += "\n" + count_of(status.open_files, "file is", "files are") + " open for writing.";
  }
  if (status.read_only) {
    text += status.lease_holder.empty() ? "\nThe vault is open read-only."
                                        : "\nThe vault is open read-only: " + status.lease_holder + " writes to it.";
  }
  if (status.all_committed() && status.link == "offline") text += "\nThe server cannot be reached at the moment.";
  if (status.link == "refused" && status.problems.empty())
    text += "\nThe server refuses this client: " + status.link_why + ".";
  if (status.scrubbed_ns) {
    text += "\nThe server has read back all that it had on " + clock_time(*status.scrubbed_ns) + " since then.";
  }
  if (status.wanted_chunks > 0) {
    text += "\nThe server has lost " + count_of(status.wanted_chunks, "chunk", "chunks") +
            "; what is still in the spool here is sent again (" + std::to_string(status.healed_chunks) +
            " so far). `coffer verify` names the files.";
  }
  if (status.alarm) text += to_sentence(*status.alarm);
  for (const std::string& problem : status.problems) text += "\nProblem: " + base::escaped(problem, "");
  text += way_on(status);
  return text;
}

}  // namespace coffer::vault
