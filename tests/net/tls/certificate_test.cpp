#include "net/tls/certificate.h"

#include <gmock/gmock.h>

#include "net/tls/context.h"
#include "tests/testing/temp_dir.h"

namespace coffer::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Validity kValidity{os::WallTime(std::chrono::seconds(1'700'000'000)),
                         os::WallTime(std::chrono::seconds(4'000'000'000))};
const object::ClientId kClient = object::ClientId::from(Bytes(16, std::byte{0xab})).value();

NewCertificate client_certificate() {
  return {.common_name = "laptop",
          .purpose = Purpose::client,
          .hosts = {},
          .uris = {client_uri(kClient)},
          .validity = kValidity};
}

TEST(Certificate, OfAClientCarriesItsIdAndLifetime) {
  const Authority ca = make_ca("Test CA", kValidity);
  const KeyAndCsr own = make_key_pair_and_csr("ignored");
  const auto pem = issue_certificate(ca, own.csr_der, client_certificate());
  ASSERT_TRUE(pem) << pem.error().what;
  const auto facts = read_certificate(*pem);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->subject, "CN=laptop");
  EXPECT_EQ(facts->common_name, "laptop");
  EXPECT_THAT(facts->uris, ElementsAre("urn:coffer:client:abababababababababababababababab"));
  EXPECT_EQ(facts->client, kClient);
  EXPECT_EQ(facts->not_before, kValidity.not_before);
  EXPECT_EQ(facts->not_after, kValidity.not_after);
  EXPECT_EQ(facts->serial.size(), 32u);
  EXPECT_TRUE(*fits(*pem, own.key_pem.bytes()));
  EXPECT_FALSE(*fits(*pem, make_key().bytes()));
  EXPECT_TRUE(*was_issued_by(*pem, ca.certificate_pem));
  EXPECT_FALSE(*was_issued_by(*pem, make_ca("Test CA", kValidity).certificate_pem)) << "the same name is not enough";
}

TEST(Certificate, OfAServerCarriesNamesAndAddresses) {
  const Authority ca = make_ca("Test CA", kValidity);
  const NewCertificate wanted{.common_name = "server",
                              .purpose = Purpose::server,
                              .hosts = {"backup.example.org", "192.0.2.1", "::1"},
                              .uris = {},
                              .validity = kValidity};
  const auto facts = read_certificate(issue_certificate(ca, make_key_pair_and_csr("x").csr_der, wanted).value());
  ASSERT_TRUE(facts);
  EXPECT_THAT(facts->hosts, ElementsAre("backup.example.org", "192.0.2.1", "::1"));
  EXPECT_FALSE(facts->client);
}

TEST(Certificate, HasASerialNumberOfItsOwn) {
  const Authority ca = make_ca("Test CA", kValidity);
  const Bytes csr = make_key_pair_and_csr("x").csr_der;
  const auto first = read_certificate(*issue_certificate(ca, csr, client_certificate()));
  const auto second = read_certificate(*issue_certificate(ca, csr, client_certificate()));
  EXPECT_NE(first->serial, second->serial);
  EXPECT_NE(first->fingerprint, second->fingerprint);
}

TEST(Certificate, MayBeForAnRsaKey) {
  const Authority ca = make_ca("Test CA", kValidity);
  const crypto::Secret key = make_key(KeyKind::rsa_4096);
  const auto csr = make_csr(key.bytes(), "laptop");
  ASSERT_TRUE(csr);
  const auto pem = issue_certificate(ca, *csr, client_certificate());
  ASSERT_TRUE(pem) << pem.error().what;
  EXPECT_TRUE(*fits(*pem, key.bytes()));
}

// Claim: a key file in whose private half a bit was flipped does not fit, although its public half is still the right
// one.
TEST(Certificate, DoesNotFitAKeyWhosePrivateHalfIsDamaged) {
  const Authority ca = make_ca("Test CA", kValidity);
  const KeyAndCsr own = make_key_pair_and_csr("x");
  const auto pem = issue_certificate(ca, own.csr_der, client_certificate());
  // 36 bytes of PKCS #8 stand before the 32 of an EC key's secret number: base64 characters 48 to 90 of the body.
  const std::size_t body = as_text(own.key_pem.bytes()).find('\n') + 1;
  for (std::size_t at = body + 49; at < body + 63; ++at) {
    Bytes damaged = copy_of(own.key_pem.bytes());
    damaged[at] = damaged[at] == std::byte{'A'} ? std::byte{'B'} : std::byte{'A'};
    const Result<bool> fits_still = fits(*pem, damaged);
    EXPECT_FALSE(fits_still && *fits_still) << at - body;
  }
}

TEST(Certificate, IsOneLineInALogWhateverItsSubject) {
  const Authority ca = make_ca("Test CA", kValidity);
  NewCertificate wanted = client_certificate();
  wanted.common_name = "evil\nclient\x01 with a name that goes on and on, far beyond what a certificate may hold";
  const auto facts = read_certificate(*issue_certificate(ca, make_key_pair_and_csr("x").csr_der, wanted));
  ASSERT_TRUE(facts);
  EXPECT_THAT(facts->subject, HasSubstr("evil?client?"));
  EXPECT_EQ(facts->common_name.size(), 64u);
}

TEST(SigningRequest, IsRefusedWhenAnyOfItIsAnother) {
  const Authority ca = make_ca("Test CA", kValidity);
  const Bytes right = make_key_pair_and_csr("x").csr_der;
  for (std::size_t at = 0; at < right.size(); ++at) {
    Bytes wrong = right;
    wrong[at] ^= std::byte{1};
    EXPECT_FALSE(issue_certificate(ca, wrong, client_certificate())) << at;
  }
  EXPECT_FALSE(issue_certificate(ca, {}, client_certificate()));
}

TEST(SigningRequest, IsRefusedByAnAuthorityWhoseKeyIsNotItsOwn) {
  Authority ca = make_ca("Test CA", kValidity);
  ca.key_pem = make_key();
  const auto pem = issue_certificate(ca, make_key_pair_and_csr("x").csr_der, client_certificate());
  ASSERT_FALSE(pem);
  EXPECT_EQ(pem.error().fault, Fault::corrupt);
}

TEST(CertificateText, ThatIsNoneIsCorrupt) {
  for (const std::string_view text : {"", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}) {
    const auto facts = read_certificate(text);
    ASSERT_FALSE(facts);
    EXPECT_EQ(facts.error().fault, Fault::corrupt);
  }
  EXPECT_FALSE(read_certificate_der(Bytes(100, std::byte{0x30})));
  EXPECT_FALSE(make_csr(as_bytes("no key"), "x"));
}

TEST(ClientUri, NamesNobodyUnlessItIsWhole) {
  const Authority ca = make_ca("Test CA", kValidity);
  const Bytes csr = make_key_pair_and_csr("x").csr_der;
  const std::string right = client_uri(kClient);
  for (const std::string& uri : {right.substr(0, right.size() - 1), right + "a",
                                 "urn:coffer:client:" + std::string(32, 'x'), std::string("https://example.org/")}) {
    NewCertificate wanted = client_certificate();
    wanted.uris = {uri};
    EXPECT_FALSE(read_certificate(*issue_certificate(ca, csr, wanted))->client) << uri;
  }
}

TEST(Context, SaysWhichFileIsWrong) {
  const testing::TempDir folder;
  const ClientIdentity identity{.ca_file = (folder / "ca.pem").string(),
                                .certificate_file = (folder / "client.pem").string(),
                                .key_file = (folder / "client.key").string()};
  const auto context = Context::for_client(identity);
  ASSERT_FALSE(context);
  EXPECT_EQ(context.error().fault, Fault::local_io);
  EXPECT_THAT(context.error().what, HasSubstr("client.pem"));
}

}  // namespace
}  // namespace coffer::tls
