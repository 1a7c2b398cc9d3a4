#include "common/object/commit.h"

namespace coffer::object {
namespace {

constexpr std::string_view kMagic = "CFRRCP01";

Bytes signed_bytes(const Receipt& receipt) {
  Bytes bytes;
  Writer writer(bytes);
  writer.put_bytes(as_bytes(kMagic));
  writer.put_bytes(receipt.vault.bytes());
  writer.put(receipt.seq);
  writer.put_bytes(receipt.hash.bytes());
  writer.put(receipt.server_time_ns);
  writer.put(receipt.chunk_count);
  return bytes;
}

}  // namespace

void sign(Receipt& receipt, const crypto::SigningKey& key) { receipt.signature = key.sign(signed_bytes(receipt)); }

bool holds(const Receipt& receipt, const crypto::PublicKey& key) {
  return crypto::verify(key, signed_bytes(receipt), receipt.signature);
}

Bytes encode(const Receipt& receipt) {
  Bytes bytes = signed_bytes(receipt);
  append(bytes, receipt.signature);
  return bytes;
}

Result<Receipt> decode_receipt(ByteView bytes) {
  Reader reader(bytes);
  Receipt receipt;
  COFFER_TRY(const ByteView magic, reader.get_bytes(kMagic.size()));
  if (as_text(magic) != kMagic) return Error{Fault::corrupt, 0, "not a receipt"};
  COFFER_TRY(const ByteView vault, reader.get_bytes(VaultId::kSize));
  COFFER_TRY(receipt.vault, VaultId::from(vault));
  COFFER_TRY(receipt.seq, reader.get<std::uint64_t>());
  COFFER_TRY(const ByteView hash, reader.get_bytes(CommitHash::kSize));
  COFFER_TRY(receipt.hash, CommitHash::from(hash));
  COFFER_TRY(receipt.server_time_ns, reader.get<std::uint64_t>());
  COFFER_TRY(receipt.chunk_count, reader.get<std::uint64_t>());
  COFFER_TRY(const ByteView signature, reader.get_bytes(receipt.signature.size()));
  std::memcpy(receipt.signature.data(), signature.data(), signature.size());
  if (!reader.rest().empty()) return Error{Fault::corrupt, 0, "bytes behind a receipt"};
  return receipt;
}

}  // namespace coffer::object
