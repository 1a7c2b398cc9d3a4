// The wrapped keys of the vault, which the server keeps and cannot open.
#include "server/service/requests.h"

namespace coffer::service {

Answer get_key_slots(Call call) {
  COFFER_CO_DO(wire::parse<wire::GetKeySlots>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::read));
  auto work = [vault] { return vault->log->key_slots(); };
  COFFER_CO_TRY(const auto slots, co_await on_disk(call.disk(), std::move(work)));
  wire::GetKeySlotsDone done;
  for (const oplog::KeySlot& slot : slots) {
    wire::KeySlot& to = *done.add_slots();
    to.set_number(slot.number);
    to.set_slot(as_string(slot.slot));
  }
  co_return reply_to(call, done);
}

Answer put_key_slot(Call call) {
  COFFER_CO_TRY(const wire::PutKeySlot request, wire::parse<wire::PutKeySlot>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  auto work = [vault, slot = request.slot(), only_if_first = request.only_if_first()] {
    return vault->log->put_key_slot(as_bytes(slot), only_if_first);
  };
  COFFER_CO_TRY(const std::uint64_t number, co_await on_disk(call.disk(), std::move(work)));
  wire::PutKeySlotDone done;
  done.set_number(number);
  co_return reply_to(call, done);
}

Answer remove_key_slot(Call call) {
  COFFER_CO_TRY(const wire::RemoveKeySlot request, wire::parse<wire::RemoveKeySlot>(call.request.header));
  COFFER_CO_TRY(const auto vault, vault_for(call, Use::write));
  auto work = [vault, number = request.number()] { return vault->log->remove_key_slot(number); };
  COFFER_CO_DO(co_await on_disk(call.disk(), std::move(work)));
  co_return reply_to(call, wire::RemoveKeySlotDone());
}

}  // namespace coffer::service
