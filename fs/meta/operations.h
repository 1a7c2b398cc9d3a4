// The payload of a commit, decoded (tree_ops.proto).
#pragma once

#include <memory>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace coffer::meta {

namespace ops {
class TreeOps;
}

class Operations {
 public:
  /// `opened_payload` is in plain and may come from anyone: Fault::corrupt if it is no such message. What the message
  /// says is looked at when it is applied.
  static Result<Operations> decode(ByteView opened_payload);
  ~Operations();
  Operations(Operations&&) noexcept;
  Operations& operator=(Operations&&) noexcept;

  const ops::TreeOps& message() const;

 private:
  struct Message;
  explicit Operations(std::unique_ptr<Message> message);
  std::unique_ptr<Message> message_;
};

}  // namespace coffer::meta
