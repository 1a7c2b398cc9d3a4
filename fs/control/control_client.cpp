#include "fs/control/control_client.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "fs/control/error_json.h"
#include "fs/control/line_socket.h"
#include "fs/control/owed_json.h"

namespace coffer::control {

namespace {

using nlohmann::json;

Result<vault::Status> status_of(const json& object) {
  std::optional<vault::Status> status = vault::status_from_json(object.dump());
  if (!status) return Error{Fault::protocol, 0, "the mount answers in another version: mount it again"};
  return *std::move(status);
}

// Sends one request; what comes before the last line goes to `on_line`, which says whether to go on.
Result<json> ask(const std::string& path, const json& request, const std::function<bool(const json&)>& on_line) {
  COFFER_TRY(LineSocket socket, connect_to(path));
  COFFER_DO(socket.write_line(request.dump(-1, ' ', false, json::error_handler_t::replace)));
  for (;;) {
    COFFER_TRY(const std::string line, socket.read_line());
    json reply = json::parse(line, nullptr, false);
    if (!reply.is_object()) return Error{Fault::protocol, 0, "the mount answers in another version: mount it again"};
    if (!reply.contains("ok")) {
      if (!on_line || on_line(reply)) continue;
      return Error{Fault::stopped, EINTR, "given up"};
    }
    if (reply.value("ok", false)) return reply;
    return error_from(reply.value("fault", ""), reply.value("code", 0), reply.value("what", ""));
  }
}

vault::Finding finding_of(const json& object) {
  const std::string kind = object.value("kind", "");
  return {kind == "corrupt"     ? vault::Finding::Kind::corrupt
          : kind == "different" ? vault::Finding::Kind::different
                                : vault::Finding::Kind::owed,
          object.value("path", ""), object.value("what", "")};
}

}  // namespace

bool ControlClient::somebody_listens() const { return connect_to(path_).has_value(); }

Result<vault::Status> ControlClient::status() const {
  COFFER_TRY(const json reply, ask(path_, {{"do", "status"}}, {}));
  if (!reply.contains("status")) return Error{Fault::protocol, 0, "a reply without status"};
  return status_of(reply["status"]);
}

Result<void> ControlClient::sync(std::chrono::seconds timeout,
                                 const std::function<bool(const vault::Status&)>& progress) const {
  const auto on_line = [&](const json& line) {
    if (!progress || !line.contains("progress")) return true;
    const Result<vault::Status> status = status_of(line["progress"]);
    return !status || progress(*status);
  };
  COFFER_TRY([[maybe_unused]] const json reply, ask(path_, {{"do", "sync"}, {"timeout_s", timeout.count()}}, on_line));
  return {};
}

Result<vault::VerifyReport> ControlClient::verify(
    const vault::VerifyRequest& request,
    const std::function<void(std::uint64_t done, std::uint64_t of)>& progress) const {
  vault::VerifyReport report;
  const auto on_line = [&](const json& line) {
    if (line.contains("finding")) report.findings.push_back(finding_of(line["finding"]));
    if (progress && line.contains("done")) progress(line.value("done", 0ULL), line.value("of", 0ULL));
    return true;
  };
  const json wanted{
      {"do", "verify"}, {"paths", request.paths}, {"read_data", request.read_data}, {"against", request.against}};
  COFFER_TRY(const json reply, ask(path_, wanted, on_line));
  report.files = reply.value("files", 0ULL);
  report.bytes = reply.value("bytes", 0ULL);
  report.chunks = reply.value("chunks", 0ULL);
  report.chunk_bytes = reply.value("chunk_bytes", 0ULL);
  report.compared_files = reply.value("compared_files", 0ULL);
  return report;
}

Result<std::vector<vault::OwedEntry>> ControlClient::owed() const {
  std::vector<vault::OwedEntry> entries;
  const auto on_line = [&](const json& line) {
    if (line.contains("entry")) entries.push_back(owed_entry_of(line["entry"]));
    return true;
  };
  COFFER_TRY([[maybe_unused]] const json reply, ask(path_, {{"do", "owed"}}, on_line));
  return entries;
}

Result<vault::ExportReport> ControlClient::export_owed(const std::string& to,
                                                       const vault::ExportProgress& progress) const {
  vault::ExportReport report;
  const auto on_line = [&](const json& line) {
    if (line.contains("removed")) report.removed.push_back(line.value("removed", ""));
    if (line.contains("not_exported")) {
      const json& one = line["not_exported"];
      report.not_exported.push_back({one.value("path", ""), one.value("what", ""), one.value("is_only_here", true)});
    }
    if (progress && line.contains("done")) progress(line.value("done", 0ULL), line.value("of", 0ULL));
    return true;
  };
  COFFER_TRY(const json reply, ask(path_, {{"do", "export_owed"}, {"to", to}}, on_line));
  report.files = reply.value("files", 0ULL);
  report.folders = reply.value("folders", 0ULL);
  report.bytes = reply.value("bytes", 0ULL);
  return report;
}

Result<void> ControlClient::clear_spool() const {
  COFFER_TRY([[maybe_unused]] const json reply, ask(path_, {{"do", "clear_spool"}}, {}));
  return {};
}

Result<void> ControlClient::unmount(bool lazy) const {
  COFFER_TRY([[maybe_unused]] const json reply, ask(path_, {{"do", "stop"}, {"lazy", lazy}}, {}));
  return {};
}

}  // namespace coffer::control
