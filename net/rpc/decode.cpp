#include "net/rpc/decode.h"

#include <algorithm>

#include "common/object/key_slots.h"

namespace coffer::rpc {

namespace {

Error broken(const char* what) { return Error{Fault::protocol, 0, std::string("answer: ") + what}; }

}  // namespace

Result<VaultState> decode(const wire::Vault& message) {
  VaultState vault;
  COFFER_TRY(vault.id, wire::parse_id<object::VaultId>(message.id()));
  COFFER_TRY(vault.name, wire::parse_name(message.name()));
  vault.read_only = message.read_only();
  vault.quota_bytes = message.quota_bytes();
  vault.stored_bytes = message.stored_bytes();
  vault.head_seq = message.head_seq();
  if (!message.head_hash().empty()) {
    COFFER_TRY(vault.head_hash, wire::parse_id<object::CommitHash>(message.head_hash()));
  }
  vault.wanted_chunks = message.wanted_chunks();
  vault.scrubbed_ns = message.scrubbed_ns();
  return vault;
}

Result<VaultState> decode(const wire::PingDone& message) {
  COFFER_TRY(VaultState vault, decode(message.vault()));
  COFFER_TRY(vault.wanted, wire::parse_ids(message.wanted()));
  if (vault.wanted.size() > wire::kWantedInPingMax) return broken("too many wanted chunks");
  return vault;
}

Result<ServerFacts> decode(const wire::HelloDone& message) {
  if (message.version() != wire::kVersion) return broken("a version that was not offered");
  ServerFacts facts;
  COFFER_TRY(facts.client, wire::parse_id<object::ClientId>(message.client()));
  COFFER_TRY(facts.client_name, wire::parse_name(message.client_name()));
  for (const wire::Vault& one : message.vaults()) {
    COFFER_TRY(VaultState vault, decode(one));
    facts.vaults.push_back(std::move(vault));
  }
  const ByteView key = as_bytes(message.receipt_key());
  if (key.size() != facts.receipt_key.size()) return broken("receipt key of a wrong length");
  std::ranges::copy(key, facts.receipt_key.begin());
  facts.chunk_bytes_max = message.chunk_bytes_max();
  facts.carried_bytes_max = std::min<std::uint32_t>(message.carried_bytes_max(), wire::kCarriedBytesMax);
  return facts;
}

Result<std::vector<HaveState>> decode_have(const Answer& answer, std::size_t count) {
  COFFER_TRY(const auto message, wire::parse<wire::HaveDone>(answer.header));
  if (static_cast<std::size_t>(message.received_size()) != count ||
      static_cast<std::size_t>(message.stored_size()) != count) {
    return broken("another number of chunks than asked for");
  }
  std::vector<HaveState> states(count);
  for (std::size_t i = 0; i < count; ++i) {
    states[i] = {.received = message.received(static_cast<int>(i)), .stored = message.stored(static_cast<int>(i))};
  }
  return states;
}

Result<std::vector<VerifyState>> decode_verify(const Answer& answer, std::size_t count) {
  COFFER_TRY(const auto message, wire::parse<wire::VerifyChunksDone>(answer.header));
  if (static_cast<std::size_t>(message.states_size()) != count)
    return broken("another number of chunks than asked for");
  std::vector<VerifyState> states;
  states.reserve(count);
  for (const int state : message.states()) {
    switch (state) {
      case wire::VerifyChunksDone::GOOD: states.push_back(VerifyState::good); break;
      case wire::VerifyChunksDone::MISSING: states.push_back(VerifyState::missing); break;
      case wire::VerifyChunksDone::DAMAGED: states.push_back(VerifyState::damaged); break;
      default: return broken("unknown state of a chunk");
    }
  }
  return states;
}

Result<object::Receipt> decode_receipt(const Answer& answer, const crypto::PublicKey& key, const object::VaultId& vault,
                                       const object::CommitHash& hash) {
  COFFER_TRY(const auto message, wire::parse<wire::AppendCommitDone>(answer.header));
  COFFER_TRY(object::Receipt receipt, object::decode_receipt(as_bytes(message.receipt())));
  if (receipt.vault != vault || receipt.hash != hash) return Error{Fault::corrupt, 0, "receipt for another commit"};
  if (!object::holds(receipt, key)) return Error{Fault::corrupt, 0, "the receipt's signature does not hold"};
  return receipt;
}

Result<CommitPage> decode_commits(const Answer& answer) {
  COFFER_TRY(const auto message, wire::parse<wire::GetCommitsDone>(answer.header));
  CommitPage page;
  page.head_seq = message.head_seq();
  ByteView rest = answer.body;
  for (const std::uint32_t bytes : message.commit_bytes()) {
    if (bytes > rest.size()) return broken("commits longer than the body");
    page.commits.push_back(copy_of(rest.first(bytes)));
    rest = rest.subspan(bytes);
  }
  if (!rest.empty()) return broken("body longer than the commits");
  return page;
}

Result<std::vector<KeySlot>> decode_key_slots(const Answer& answer) {
  COFFER_TRY(const auto message, wire::parse<wire::GetKeySlotsDone>(answer.header));
  if (static_cast<std::size_t>(message.slots_size()) > object::kKeySlotsMax) return broken("too many key slots");
  std::vector<KeySlot> slots;
  for (const wire::KeySlot& one : message.slots()) {
    if (one.slot().size() > object::kKeySlotBytesMax) return broken("a key slot of an impossible length");
    slots.push_back({.number = one.number(), .slot = copy_of(as_bytes(one.slot()))});
  }
  return slots;
}

}  // namespace coffer::rpc
