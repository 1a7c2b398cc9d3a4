#include "net/tls/token.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "common/base/check.h"
#include "common/base/text.h"

namespace coffer::tls {

namespace {

constexpr std::string_view kPrefix = "coffer1.";
constexpr std::size_t kChecksumBytes = 8;
constexpr std::size_t kHostBytesMax = 253;            // The longest DNS name in text form, RFC 1035 section 2.3.4.
constexpr std::uint64_t kExpiresMax = 9'000'000'000;  // In the year 2255; nanoseconds in 64 bits end in 2262.

crypto::Digest checksum_of(ByteView fields) {
  crypto::Sha256 hash;
  hash.update(as_bytes(kPrefix));
  hash.update(fields);
  return hash.finish();
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool has_prefix(std::string_view text) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return text.size() >= kPrefix.size() && std::ranges::equal(text.substr(0, kPrefix.size()), kPrefix, {}, lower);
}

Result<Token> parse(ByteView fields) {
  Reader reader(fields);
  Token token;
  COFFER_TRY(const std::uint8_t host_bytes, reader.get<std::uint8_t>());
  COFFER_TRY(const ByteView host, reader.get_bytes(host_bytes));
  COFFER_TRY(token.port, reader.get<std::uint16_t>());
  COFFER_TRY(const std::uint64_t expires, reader.get<std::uint64_t>());
  COFFER_TRY(const ByteView pin, reader.get_bytes(token.ca_pin.size()));
  COFFER_TRY(const ByteView secret, reader.get_bytes(token.secret.size()));
  const bool printable = std::ranges::all_of(as_text(host), [](char c) { return c > ' ' && c < 0x7f; });
  if (host.empty() || host.size() > kHostBytesMax || !printable || token.port == 0 || expires > kExpiresMax ||
      !reader.rest().empty()) {
    return Error{Fault::corrupt, 0, "field out of range"};
  }
  token.host = as_text(host);
  token.expires = os::WallTime(std::chrono::seconds(expires));
  std::ranges::copy(pin, token.ca_pin.begin());
  std::ranges::copy(secret, token.secret.begin());
  return token;
}

}  // namespace

std::string encode(const Token& token) {
  COFFER_CHECK(!token.host.empty() && token.host.size() <= kHostBytesMax);
  Bytes fields;
  Writer writer(fields);
  writer.put(static_cast<std::uint8_t>(token.host.size()));
  writer.put_bytes(as_bytes(token.host));
  writer.put(token.port);
  writer.put(
      static_cast<std::uint64_t>(std::chrono::floor<std::chrono::seconds>(token.expires).time_since_epoch().count()));
  writer.put_bytes(token.ca_pin);
  writer.put_bytes(token.secret);
  writer.put_bytes(ByteView(checksum_of(fields)).first(kChecksumBytes));
  return std::string(kPrefix) + base::to_base32(fields);
}

Result<Token> decode_token(std::string_view text) {
  const Error refusal{Fault::refused, 0, "this is not a whole token: copy it again, from \"coffer1.\" to its end"};
  text = trimmed(text);
  if (!has_prefix(text)) return refusal;
  const std::string_view encoded = text.substr(kPrefix.size());
  // base32 elsewhere is forgiving about separators; a token is one word.
  if (encoded.find_first_of("- ") != std::string_view::npos) return refusal;
  const Result<Bytes> bytes = base::from_base32(encoded);
  if (!bytes || bytes->size() <= kChecksumBytes) return refusal;
  const ByteView fields = ByteView(*bytes).first(bytes->size() - kChecksumBytes);
  const crypto::Digest checksum = checksum_of(fields);
  if (!std::ranges::equal(ByteView(*bytes).last(kChecksumBytes), ByteView(checksum).first(kChecksumBytes))) {
    return refusal;
  }
  Result<Token> token = parse(fields);
  if (!token) return refusal;
  return token;
}

}  // namespace coffer::tls
