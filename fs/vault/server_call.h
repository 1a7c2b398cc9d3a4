// A short conversation with the server, beside any mount. For fs/vault only.
#pragma once

#include <chrono>
#include <vector>

#include "common/base/result.h"
#include "common/os/random.h"
#include "fs/vault/home.h"
#include "net/rpc/client.h"

namespace coffer::vault {

inline constexpr auto kServerCallDeadline = std::chrono::seconds(20);

/// One client that lives as long as the conversation.
class ServerCall {
 public:
  ServerCall(const VaultFolder& folder, const VaultSettings& settings)
      : client_(options(folder, settings), os::real_random()) {
    client_.start();
  }
  ~ServerCall() { client_.stop(); }
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  static rpc::Deadline deadline() { return std::chrono::steady_clock::now() + kServerCallDeadline; }
  Result<void> wait_online() { return client_.wait_online(deadline()); }
  rpc::Client* operator->() { return &client_; }

  Result<std::vector<rpc::KeySlot>> key_slots() {
    return rpc::wait<std::vector<rpc::KeySlot>>([&](auto done) { client_.get_key_slots(deadline(), std::move(done)); });
  }
  Result<std::uint64_t> put_key_slot(const Bytes& slot, bool only_if_first) {
    return rpc::wait<std::uint64_t>(
        [&](auto done) { client_.put_key_slot(slot, only_if_first, deadline(), std::move(done)); });
  }
  Result<void> remove_key_slot(std::uint64_t number) {
    return rpc::wait<void>([&](auto done) { client_.remove_key_slot(number, deadline(), std::move(done)); });
  }

 private:
  static rpc::ClientOptions options(const VaultFolder& folder, const VaultSettings& settings) {
    rpc::ClientOptions all = client_options(folder, settings);
    all.connections = 1;
    return all;
  }

  rpc::Client client_;
};

}  // namespace coffer::vault
