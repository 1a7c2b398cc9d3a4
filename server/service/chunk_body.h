// Where the body of a put_chunk goes while it comes in: behind the bytes of it that are here already.
#pragma once

#include "net/rpc/server.h"
#include "server/store/partial_chunks.h"

namespace coffer::service {

/// Without a chunk the body is dropped as it comes: put_chunk says what is wrong with it.
class ChunkBody final : public rpc::Body {
 public:
  ChunkBody(std::shared_ptr<store::IncomingChunk> chunk, std::size_t body_bytes)
      : chunk_(std::move(chunk)), body_bytes_(body_bytes) {}

  MutableByteView room() override {
    if (chunk_) return chunk_->room();
    scrap_.resize(16u << 10);
    return scrap_;
  }
  void add(std::size_t bytes) override {
    if (chunk_) chunk_->add(bytes);
  }
  /// nullptr where none could be begun.
  const std::shared_ptr<store::IncomingChunk>& chunk() const { return chunk_; }
  std::size_t body_bytes() const { return body_bytes_; }

 private:
  const std::shared_ptr<store::IncomingChunk> chunk_;
  const std::size_t body_bytes_;
  Bytes scrap_;
};

}  // namespace coffer::service
