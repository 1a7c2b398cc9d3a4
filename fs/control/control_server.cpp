#include "fs/control/control_server.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <list>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "fs/control/error_json.h"
#include "fs/control/line_socket.h"
#include "fs/control/owed_json.h"

namespace coffer::control {

namespace {

using nlohmann::json;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kProgressInterval = 200ms;
constexpr auto kForever = 24h * 365;

json finding_json(const vault::Finding& finding) {
  const char* kind = finding.kind == vault::Finding::Kind::corrupt     ? "corrupt"
                     : finding.kind == vault::Finding::Kind::different ? "different"
                                                                       : "owed";
  return {{"kind", kind}, {"path", finding.path}, {"what", finding.what}};
}

std::string text_of(const json& line) { return line.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

class ControlServer::State {
 public:
  State(int listener, std::string path, vault::Vault& vault, std::function<Result<void>(bool)> unmount,
        PushPages push_pages)
      : listener_(listener),
        path_(std::move(path)),
        vault_(vault),
        unmount_(std::move(unmount)),
        push_pages_(std::move(push_pages)) {
    acceptor_ = std::thread([this] { accept(); });
  }

  ~State() {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
      for (Conversation& one : conversations_) one.give_up();
    }
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (Conversation& one : conversations_) one.thread.join();
    ::close(listener_);
    ::unlink(path_.c_str());
  }

 private:
  struct Conversation {
    explicit Conversation(int fd) : socket(fd) {
      // An answer to someone who does not read it must not hold up the end of the process.
      const ::timeval patience{.tv_sec = 10, .tv_usec = 0};
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    }
    // Who asked for the unmount that ends us still gets the answer.
    void give_up() {
      stop.request_stop();
      socket.end_reading();
    }
    LineSocket socket;
    std::stop_source stop;
    std::thread thread;
    bool is_over = false;
  };

  void accept();
  void reap() REQUIRES(mutex_);
  void talk(Conversation& with);
  Result<json> answer(Conversation& with, const json& request);
  Result<json> sync(Conversation& with, std::chrono::seconds timeout);
  Result<json> verify(Conversation& with, const json& request);
  Result<json> owed(Conversation& with);
  Result<json> export_owed(Conversation& with, const json& request);
  Result<json> stop(bool lazy);
  Result<void> push_pages(const std::stop_token& stop) { return push_pages_ ? push_pages_(stop) : Result<void>(); }

  const int listener_;
  const std::string path_;
  vault::Vault& vault_;
  const std::function<Result<void>(bool)> unmount_;
  const PushPages push_pages_;
  std::thread acceptor_;
  Mutex mutex_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::list<Conversation> conversations_;  // Changed under mutex_ by the acceptor alone, while it runs.
};

void ControlServer::State::accept() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const MutexLock lock(mutex_);
    if (stopping_) {
      if (fd >= 0) ::close(fd);
      return;
    }
    if (fd < 0) continue;
    reap();
    if (conversations_.size() >= kConnectionsMax) {
      ::close(fd);
      continue;
    }
    Conversation& with = conversations_.emplace_back(fd);
    with.thread = std::thread([this, &with] { talk(with); });
  }
}

void ControlServer::State::reap() {
  for (auto at = conversations_.begin(); at != conversations_.end();) {
    if (!at->is_over) {
      ++at;
      continue;
    }
    at->thread.join();
    at = conversations_.erase(at);
  }
}

void ControlServer::State::talk(Conversation& with) {
  if (const Result<std::string> line = with.socket.read_line()) {
    const json request = json::parse(*line, nullptr, false);
    Result<json> reply = Error{Fault::protocol, 0, "not a request"};
    try {
      if (request.is_object()) reply = answer(with, request);
    } catch (const json::exception& failure) {
      reply = Error{Fault::protocol, 0, failure.what()};
    }
    (void)with.socket.write_line(reply ? text_of(*reply) : error_line(reply.error()));
    with.socket.end();
  }
  const MutexLock lock(mutex_);
  with.is_over = true;
}

Result<json> ControlServer::State::answer(Conversation& with, const json& request) {
  const std::string what = request.value("do", "");
  if (what == "status") return json{{"ok", true}, {"status", json::parse(vault::to_json(vault_.status()))}};
  if (what == "sync") return sync(with, std::chrono::seconds(request.value("timeout_s", 0)));
  if (what == "verify") return verify(with, request);
  if (what == "owed") return owed(with);
  if (what == "export_owed") return export_owed(with, request);
  if (what == "clear_spool") {
    COFFER_DO(vault_.clear_spool());
    return json{{"ok", true}};
  }
  if (what == "stop") return stop(request.value("lazy", false));
  return Error{Fault::protocol, 0, "unknown request"};
}

// Bytes that cannot be kept end with the mount: whoever asks for its end hears of them, before it if that can be.
Result<json> ControlServer::State::stop(bool lazy) {
  const auto keep = [&]() -> Result<void> {
    if (vault_.is_read_only()) return {};
    Result<void> flushed = vault_.file_system().flush_all();
    if (vault_.status().buffered_bytes == 0) return {};  // What cannot be sealed now is kept in the staging file.
    return flushed;
  };
  Result<void> kept = keep();
  if (!kept) return std::move(kept).error().in("not unmounted, as what was written cannot be kept on the local disk");
  COFFER_DO(unmount_(lazy));
  kept = keep();
  if (!kept) return std::move(kept).error().in("unmounted, but what was written last is not kept on the local disk");
  return json{{"ok", true}};
}

// The barrier, on a thread of its own, while this one says how far it is.
Result<json> ControlServer::State::sync(Conversation& with, std::chrono::seconds timeout) {
  const auto deadline = steady_clock::now() + (timeout.count() > 0 ? timeout : std::chrono::seconds(kForever));
  Mutex mutex;
  Condition ended;
  bool is_over = false;
  Result<void> result;
  std::thread barrier([&] {
    Result<void> synced = push_pages(with.stop.get_token());
    if (synced) synced = vault_.sync(deadline, with.stop.get_token());
    const MutexLock lock(mutex);
    result = std::move(synced);
    is_over = true;
    ended.notify_all();
  });
  for (bool waits = true; waits;) {
    {
      const MutexLock lock(mutex);
      if (!is_over) ended.wait_until(mutex, steady_clock::now() + kProgressInterval);
      waits = !is_over;
    }
    if (!waits) break;
    const json progress{{"progress", json::parse(vault::to_json(vault_.status()))}};
    if (!with.socket.write_line(text_of(progress))) with.stop.request_stop();  // Nobody asks any more.
  }
  barrier.join();
  if (!result) return std::move(result).error();
  return json{{"ok", true}};
}

Result<json> ControlServer::State::verify(Conversation& with, const json& request) {
  vault::VerifyRequest wanted;
  wanted.paths = request.value("paths", std::vector<std::string>());
  wanted.read_data = request.value("read_data", false);
  wanted.against = request.value("against", "");
  auto last = steady_clock::now();
  const auto progress = [&](std::uint64_t done, std::uint64_t of) {
    if (steady_clock::now() < last + kProgressInterval) return;
    last = steady_clock::now();
    if (!with.socket.write_line(text_of({{"done", done}, {"of", of}}))) with.stop.request_stop();
  };
  COFFER_TRY(const vault::VerifyReport report, vault_.verify(wanted, progress, with.stop.get_token()));
  for (const vault::Finding& finding : report.findings) {
    COFFER_DO(with.socket.write_line(text_of({{"finding", finding_json(finding)}})));
  }
  return json{{"ok", true},
              {"files", report.files},
              {"bytes", report.bytes},
              {"chunks", report.chunks},
              {"chunk_bytes", report.chunk_bytes},
              {"compared_files", report.compared_files}};
}

Result<json> ControlServer::State::owed(Conversation& with) {
  COFFER_TRY(const std::vector<vault::OwedEntry> entries, vault_.owed());
  for (const vault::OwedEntry& entry : entries) {
    COFFER_DO(with.socket.write_line(text_of({{"entry", to_json(entry)}})));
  }
  return json{{"ok", true}};
}

Result<json> ControlServer::State::export_owed(Conversation& with, const json& request) {
  const std::string to = request.value("to", "");
  if (!to.starts_with("/")) return Error{Fault::protocol, 0, "export_owed wants an absolute path"};
  auto last = steady_clock::now();
  const auto progress = [&](std::uint64_t done, std::uint64_t of) {
    if (steady_clock::now() < last + kProgressInterval) return;
    last = steady_clock::now();
    if (!with.socket.write_line(text_of({{"done", done}, {"of", of}}))) with.stop.request_stop();
  };
  COFFER_TRY(const vault::ExportReport report, vault_.export_owed(to, progress, with.stop.get_token()));
  for (const std::string& path : report.removed) COFFER_DO(with.socket.write_line(text_of({{"removed", path}})));
  for (const vault::NotExported& one : report.not_exported) {
    COFFER_DO(with.socket.write_line(
        text_of({{"not_exported", {{"path", one.path}, {"what", one.what}, {"is_only_here", one.is_only_here}}}})));
  }
  return json{{"ok", true}, {"files", report.files}, {"folders", report.folders}, {"bytes", report.bytes}};
}

Result<std::unique_ptr<ControlServer>> ControlServer::listen(const std::string& path, vault::Vault& vault,
                                                             std::function<Result<void>(bool)> unmount,
                                                             PushPages push_pages) {
  COFFER_TRY(const int fd, listen_at(path));
  return std::unique_ptr<ControlServer>(
      new ControlServer(std::make_shared<State>(fd, path, vault, std::move(unmount), std::move(push_pages))));
}

ControlServer::ControlServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
ControlServer::~ControlServer() = default;

}  // namespace coffer::control
