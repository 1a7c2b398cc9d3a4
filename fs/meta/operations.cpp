#include "fs/meta/operations.h"

#include <google/protobuf/arena.h>

#include <utility>

#include "common/base/limits.h"
#include "fs/meta/tree_ops.pb.h"

namespace coffer::meta {

/// An arena, because freeing thousands of records one by one takes longer than decoding them.
struct Operations::Message {
  google::protobuf::Arena arena;
  ops::TreeOps* ops = google::protobuf::Arena::CreateMessage<ops::TreeOps>(&arena);
};

Operations::Operations(std::unique_ptr<Message> message) : message_(std::move(message)) {}
Operations::~Operations() = default;
Operations::Operations(Operations&&) noexcept = default;
Operations& Operations::operator=(Operations&&) noexcept = default;

const ops::TreeOps& Operations::message() const { return *message_->ops; }

Result<Operations> Operations::decode(ByteView opened_payload) {
  auto message = std::make_unique<Message>();
  if (opened_payload.size() > limits::kWireBodyBytesMax ||
      !message->ops->ParseFromArray(opened_payload.data(), static_cast<int>(opened_payload.size()))) {
    return Error{Fault::corrupt, 0, "tree operations: cannot be decoded"};
  }
  return Operations(std::move(message));
}

}  // namespace coffer::meta
