// TLS 1.3 over a TCP socket, as coroutines.
//
// OpenSSL never touches the socket: it reads from and writes to buffers that this class fills and sends with Asio. So
// several records share one system call, which asio::ssl::stream's 17 KB engine buffer does not allow.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "net/tls/context.h"
#include "net/tls/verdict.h"

struct ssl_st;
struct bio_st;

namespace coffer::tls {

enum class Role { server, client };

/// Used from one executor: one coroutine may read while another writes. The object must outlive its coroutines.
///
/// Errors: Fault::offline for a connection that failed or ended; Fault::refused where one side does not accept the
/// other's certificate; Fault::protocol for anything else that TLS does not allow.
class Stream {
 public:
  /// `peer_host`: what the server's certificate must be for; not used by a server.
  Stream(boost::asio::ip::tcp::socket socket, Context context, Role role, const std::string& peer_host = {});
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// TLS 1.3 lets a client finish before the server has looked at its certificate: a client learns that it was refused
  /// from its first read.
  boost::asio::awaitable<Result<void>> handshake();
  /// At least one byte; 0 where the peer has ended the connection.
  boost::asio::awaitable<Result<std::size_t>> read_some(MutableByteView into);
  /// Exactly into.size() bytes; Fault::offline where the connection ends before.
  boost::asio::awaitable<Result<void>> read(MutableByteView into);
  /// Encrypts, and sends once enough has come together; flush() sends the rest.
  boost::asio::awaitable<Result<void>> write(ByteView bytes);
  boost::asio::awaitable<Result<void>> flush();
  /// Says that nothing more will be sent. The peer's end is still to be read.
  boost::asio::awaitable<void> end();
  /// Ends all reads and writes with an Error. Twice is harmless.
  void close();
  bool is_open() const { return socket_.is_open(); }

  /// DER; after the handshake.
  std::optional<Bytes> peer_certificate() const;
  const Verdict& verdict() const { return verdict_; }
  std::uint64_t bytes_received() const { return bytes_received_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  /// When bytes last came, or were last taken by the socket.
  std::chrono::steady_clock::time_point last_progress() const { return last_progress_; }
  boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  static int bio_read(bio_st* bio, char* into, int bytes);
  static int bio_write(bio_st* bio, const char* from, int bytes);
  bio_st* make_bio();
  boost::asio::awaitable<Result<std::size_t>> fill();
  Error failure(int ssl_error);

  boost::asio::ip::tcp::socket socket_;
  Context context_;
  Role role_;
  Verdict verdict_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  Bytes in_;  ///< Received, not yet decrypted: in_begin_ … in_end_.
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  Bytes out_;      ///< Encrypted, not yet being sent.
  Bytes sending_;  ///< Of the flush() that is running.
  bool is_flushing_ = false;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t bytes_sent_ = 0;
  std::chrono::steady_clock::time_point last_progress_;
};

}  // namespace coffer::tls
