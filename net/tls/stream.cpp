#include "net/tls/stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "common/base/check.h"
#include "net/tls/openssl.h"

namespace coffer::tls {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
/// Received with one system call, and sent with one: four records of 16 KiB.
constexpr std::size_t kInBytes = 64u << 10;
constexpr std::size_t kOutBytes = 64u << 10;
/// What may wait in memory behind a flush: a write() adds at most kOutBytes and a record before it waits itself.
constexpr std::size_t kUnsentBytesMax = 1u << 20;
constexpr std::string_view kProtocol = "coffer/1";

Error connection_failed(const boost::system::error_code& code) {
  return Error{Fault::offline, 0, "connection: " + code.message()};
}

/// A peer that ends the connection in these words does not accept our certificate (RFC 8446 section 6.2).
bool is_about_our_certificate(int reason) {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

}  // namespace

Stream::Stream(asio::ip::tcp::socket socket, Context context, Role role, const std::string& peer_host)
    : socket_(std::move(socket)),
      context_(std::move(context)),
      role_(role),
      ssl_(SSL_new(context_.native()), SSL_free),
      in_(kInBytes),
      last_progress_(std::chrono::steady_clock::now()) {
  COFFER_CHECK(ssl_ != nullptr);
  SSL_set_app_data(ssl_.get(), &verdict_);
  BIO* bio = make_bio();
  SSL_set_bio(ssl_.get(), bio, bio);
  if (role == Role::server) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  boost::system::error_code not_an_address;
  asio::ip::make_address(peer_host, not_an_address);
  if (!not_an_address) {
    // A link-local address has its interface behind it, which no certificate names.
    const std::string address = peer_host.substr(0, peer_host.find('%'));
    COFFER_CHECK(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), address.c_str()) == 1);
  } else {
    // What SSL_set_tlsext_host_name() is, without its cast.
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(peer_host.c_str()));
    COFFER_CHECK(SSL_set1_host(ssl_.get(), peer_host.c_str()) == 1);
  }
}

Stream::~Stream() = default;

int Stream::bio_read(BIO* bio, char* into, int bytes) {
  auto& self = *static_cast<Stream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t taken = std::min(self.in_end_ - self.in_begin_, static_cast<std::size_t>(bytes));
  if (taken == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  std::memcpy(into, self.in_.data() + self.in_begin_, taken);
  self.in_begin_ += taken;
  return static_cast<int>(taken);
}

int Stream::bio_write(BIO* bio, const char* from, int bytes) {
  auto& self = *static_cast<Stream*>(BIO_get_data(bio));
  append(self.out_, as_bytes(std::string_view(from, static_cast<std::size_t>(bytes))));
  return bytes;
}

BIO* Stream::make_bio() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "coffer stream");
    COFFER_CHECK(m != nullptr);
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_ctrl(m, [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH ? 1 : 0; });
    return m;
  }();
  BIO* bio = BIO_new(method);
  COFFER_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  return bio;
}

awaitable<Result<std::size_t>> Stream::fill() {
  COFFER_CHECK(in_begin_ == in_end_);
  const auto [code, bytes] = co_await socket_.async_read_some(asio::buffer(in_.data(), in_.size()), kTuple);
  if (code == asio::error::eof) co_return std::size_t{0};
  if (code) co_return connection_failed(code);
  in_begin_ = 0;
  in_end_ = bytes;
  bytes_received_ += bytes;
  last_progress_ = std::chrono::steady_clock::now();
  co_return bytes;
}

Error Stream::failure(int ssl_error) {
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  const std::string text = openssl_errors();
  if (ssl_error != SSL_ERROR_SSL) return Error{Fault::protocol, 0, "TLS: " + text};
  const std::string whose = role_ == Role::client ? "server" : "client";
  if (!verdict_.reason.empty()) {
    return Error{Fault::refused, 0, "the " + whose + "'s certificate does not verify: " + verdict_.reason};
  }
  if (is_about_our_certificate(reason)) {
    return Error{Fault::refused, 0, "the " + whose + " does not accept our certificate: " + text};
  }
  return Error{Fault::protocol, 0, "TLS: " + text};
}

awaitable<Result<void>> Stream::handshake() {
  for (;;) {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    const int error = SSL_get_error(ssl_.get(), done);
    if (done != 1 && error != SSL_ERROR_WANT_READ) {
      Error why = failure(error);
      static_cast<void>(co_await flush());  // The alert that tells the peer.
      co_return why;
    }
    COFFER_CO_DO(co_await flush());
    if (done == 1) break;
    COFFER_CO_TRY(const std::size_t bytes, co_await fill());
    if (bytes == 0) co_return Error{Fault::offline, 0, "the peer ended the connection during the handshake"};
  }
  const unsigned char* protocol = nullptr;
  unsigned int protocol_bytes = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &protocol_bytes);
  if (as_text(std::as_bytes(std::span(protocol, protocol_bytes))) != kProtocol) {
    co_return Error{Fault::protocol, 0, "the peer does not speak coffer/1 (ALPN)"};
  }
  co_return Result<void>();
}

awaitable<Result<std::size_t>> Stream::read_some(MutableByteView into) {
  for (;;) {
    ERR_clear_error();
    std::size_t total = 0;
    std::size_t bytes = 0;
    while (total < into.size() && SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &bytes) == 1) {
      total += bytes;
    }
    if (total > 0) co_return total;
    const int error = SSL_get_error(ssl_.get(), 0);
    if (error == SSL_ERROR_ZERO_RETURN) co_return std::size_t{0};
    if (error != SSL_ERROR_WANT_READ) {
      Error why = failure(error);
      static_cast<void>(co_await flush());
      co_return why;
    }
    // Answers to key updates. A peer that asks for ever more of them, and reads none, is not worth the memory.
    if (is_flushing_ && out_.size() > kUnsentBytesMax) co_return Error{Fault::protocol, 0, "TLS: too many key updates"};
    if (!out_.empty()) COFFER_CO_DO(co_await flush());
    COFFER_CO_TRY(const std::size_t received, co_await fill());
    if (received == 0) co_return std::size_t{0};
  }
}

awaitable<Result<void>> Stream::read(MutableByteView into) {
  while (!into.empty()) {
    COFFER_CO_TRY(const std::size_t bytes, co_await read_some(into));
    if (bytes == 0) co_return Error{Fault::offline, 0, "the peer ended the connection"};
    into = into.subspan(bytes);
  }
  co_return Result<void>();
}

awaitable<Result<void>> Stream::write(ByteView bytes) {
  while (!bytes.empty()) {
    ERR_clear_error();
    std::size_t taken = 0;
    if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &taken) != 1) {
      co_return failure(SSL_get_error(ssl_.get(), 0));
    }
    bytes = bytes.subspan(taken);
    if (out_.size() >= kOutBytes) COFFER_CO_DO(co_await flush());
  }
  co_return Result<void>();
}

awaitable<Result<void>> Stream::flush() {
  if (is_flushing_) co_return Result<void>();  // Whoever flushes takes these bytes along.
  is_flushing_ = true;
  boost::system::error_code failed;
  while (!out_.empty() && !failed) {
    sending_.swap(out_);
    out_.clear();
    for (std::size_t at = 0; at < sending_.size() && !failed;) {
      const auto [code, bytes] =
          co_await socket_.async_write_some(asio::buffer(sending_.data() + at, sending_.size() - at), kTuple);
      failed = code;
      at += bytes;
      bytes_sent_ += bytes;
      last_progress_ = std::chrono::steady_clock::now();
    }
  }
  is_flushing_ = false;
  if (failed) co_return connection_failed(failed);
  co_return Result<void>();
}

awaitable<void> Stream::end() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  static_cast<void>(co_await flush());
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void Stream::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

std::optional<Bytes> Stream::peer_certificate() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return std::nullopt;
  Bytes der(static_cast<std::size_t>(i2d_X509(certificate, nullptr)));
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  i2d_X509(certificate, &at);
  return der;
}

}  // namespace coffer::tls
