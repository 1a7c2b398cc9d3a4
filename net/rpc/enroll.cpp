#include <boost/asio/io_context.hpp>

#include "net/rpc/channel.h"
#include "net/rpc/client.h"
#include "net/rpc/decode.h"
#include "net/rpc/dialer.h"
#include "net/rpc/task_group.h"
#include "net/tls/certificate.h"
#include "net/wire/message.h"

namespace coffer::rpc {

using boost::asio::awaitable;
using wire::Type;

namespace {

Result<Enrolled> decode(const wire::EnrollDone& message, const crypto::Digest& ca_pin) {
  Enrolled enrolled;
  COFFER_TRY(const tls::CertificateFacts ca, tls::read_certificate(message.ca()));
  if (ca.fingerprint != ca_pin) return Error{Fault::refused, 0, "the server's CA is not the one in the token"};
  COFFER_TRY(const bool is_issued, tls::was_issued_by(message.certificate(), message.ca()));
  if (!is_issued) return Error{Fault::protocol, 0, "the server sent a certificate that its CA did not sign"};
  COFFER_TRY(enrolled.client, wire::parse_id<object::ClientId>(message.client()));
  COFFER_TRY(enrolled.vault, rpc::decode(message.vault()));
  enrolled.certificate_pem = message.certificate();
  enrolled.ca_pem = message.ca();
  COFFER_TRY(enrolled.client_name, wire::parse_name(message.client_name()));
  return enrolled;
}

awaitable<Result<Enrolled>> ask(Channel& channel, wire::Enroll message, crypto::Digest ca_pin) {
  OutFrame frame;
  frame.type = Type::enroll;
  frame.request = 1;
  frame.header = message.SerializeAsString();
  channel.send(std::move(frame));
  COFFER_CO_TRY(const wire::Head head, co_await channel.receive_head());
  COFFER_CO_TRY(const Bytes header, co_await channel.receive(head.header_bytes));
  if (head.type == Type::error) {
    COFFER_CO_TRY(const wire::Error error, wire::parse<wire::Error>(header));
    co_return wire::from_wire(error);
  }
  if (head.type != wire::answer_to(Type::enroll)) co_return Error{Fault::protocol, 0, "not the answer to enroll"};
  COFFER_CO_TRY(const wire::EnrollDone done, wire::parse<wire::EnrollDone>(header));
  co_return decode(done, ca_pin);
}

awaitable<Result<Enrolled>> enroll_over(Dialer& dialer, TaskGroup& tasks, tls::Token token, wire::Enroll message,
                                        Deadline deadline) {
  COFFER_CO_TRY(const tls::Context context, tls::Context::for_enrolment(token.ca_pin));
  COFFER_CO_DO(co_await dialer.dial(token.host, token.port, context, deadline));
  Channel channel(dialer.stream());
  tasks.start(channel.write_all());
  Result<Enrolled> enrolled = co_await ask(channel, std::move(message), token.ca_pin);
  channel.finish();
  dialer.abort();
  co_await tasks.join();
  co_return enrolled;
}

}  // namespace

Result<Enrolled> enroll(const tls::Token& token, ByteView csr_der, const std::string& program, Deadline deadline) {
  wire::Enroll message;
  message.set_secret(std::string(as_text(token.secret)));
  message.set_csr(std::string(as_text(csr_der)));
  message.set_program(program);
  Result<Enrolled> enrolled = Error{Fault::offline, 0, "the attempt failed"};
  boost::asio::io_context io(1);
  const auto dialer = std::make_shared<Dialer>(io.get_executor());
  TaskGroup tasks(io.get_executor());
  TaskGroup attempt(io.get_executor());
  const auto run = [&]() -> awaitable<void> {
    enrolled = co_await enroll_over(*dialer, tasks, token, std::move(message), deadline);
    dialer->abort();  // Its timer would keep io.run() until the deadline.
  };
  attempt.start(run());
  io.run();
  return enrolled;
}

}  // namespace coffer::rpc
