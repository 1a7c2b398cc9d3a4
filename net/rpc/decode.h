// The headers of answers as the values of answers.h, checked. Fault::protocol for what PROTOCOL.md does not allow.
#pragma once

#include <vector>

#include "common/base/result.h"
#include "common/object/commit.h"
#include "net/rpc/answers.h"
#include "net/rpc/call.h"
#include "net/wire/message.h"

namespace coffer::rpc {

Result<VaultState> decode(const wire::Vault& message);
Result<VaultState> decode(const wire::PingDone& message);
Result<ServerFacts> decode(const wire::HelloDone& message);
Result<std::vector<HaveState>> decode_have(const Answer& answer, std::size_t count);
Result<std::vector<VerifyState>> decode_verify(const Answer& answer, std::size_t count);
/// Fault::corrupt unless the receipt is signed with `key` and is about this commit of this vault.
Result<object::Receipt> decode_receipt(const Answer& answer, const crypto::PublicKey& key, const object::VaultId& vault,
                                       const object::CommitHash& hash);
Result<CommitPage> decode_commits(const Answer& answer);
Result<std::vector<KeySlot>> decode_key_slots(const Answer& answer);

}  // namespace coffer::rpc
