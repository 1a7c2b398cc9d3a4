// Gives commits of the log, and waits for the next one where there is none yet.
#include <algorithm>
#include <cerrno>

#include "server/service/requests.h"

namespace coffer::service {
namespace {

/// Of what one request may wait; a client asks again.
constexpr std::chrono::milliseconds kWaitMax = std::chrono::seconds(60);

rpc::Reply page_reply(const Call& call, const oplog::Page& page) {
  wire::GetCommitsDone done;
  done.set_head_seq(page.head.seq);
  done.set_head_receipt(as_string(page.head.receipt));
  Bytes body;
  for (const Bytes& commit : page.commits) {
    done.add_commit_bytes(static_cast<std::uint32_t>(commit.size()));
    append(body, commit);
  }
  return reply_to(call, done, std::move(body));
}

}  // namespace

Answer get_commits(Call call) {
  COFFER_CO_TRY(const wire::GetCommits get, wire::parse<wire::GetCommits>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::read));
  if (get.from_seq() == 0) co_return Error{Fault::refused, EINVAL, "commits are numbered from 1 on"};
  // What a poll may bring is bounded by what it has of the connection's window; a commit that is larger is told by
  // head_seq, and asked for without waiting.
  const bool polls = get.wait_ms() > 0;
  const auto first = polls ? oplog::OpLog::First::if_it_fits : oplog::OpLog::First::in_any_case;
  const std::uint64_t bytes_max =
      std::min<std::uint64_t>(get.bytes_max(), polls ? wire::kPolledBytesMax : limits::kWireBodyBytesMax);
  const auto wait = std::min(std::chrono::milliseconds(get.wait_ms()), kWaitMax);
  const auto deadline = call.service.parts().clock.steady() + wait;
  const auto executor = call.session->executor();
  for (;;) {
    const auto waiter = vault->appended.enter(executor);
    auto work = [vault, first, from = get.from_seq(), bytes_max] { return vault->log->read(from, bytes_max, first); };
    COFFER_CO_TRY(const oplog::Page page, co_await on_disk(call.disk(), std::move(work)));
    const bool over =
        call.service.is_stopping() || call.connection->is_closed() || call.service.parts().clock.steady() >= deadline;
    if (!page.commits.empty() || page.head.seq >= get.from_seq() || over) co_return page_reply(call, page);
    co_await waiter->wait(deadline);
  }
}

}  // namespace coffer::service
