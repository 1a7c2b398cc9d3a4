"""The connection to the server, as net/wire/PROTOCOL.md describes it."""
import base64
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
HELLO, GET_CHUNK, GET_COMMITS, GET_KEY_SLOTS, ENROLL, ERROR = 1, 4, 7, 11, 15, 0xff


def load_messages():
    """Python classes of the two .proto files, which are the specification of these messages."""
    folder = tempfile.mkdtemp(prefix='coffer-proto-')
    protos = ['net/wire/protocol.proto', 'fs/meta/tree_ops.proto']
    subprocess.run(['protoc', f'-I{SOURCE}', f'--python_out={folder}', *protos], check=True)
    sys.path.insert(0, folder)
    from fs.meta import tree_ops_pb2  # pylint: disable=import-outside-toplevel
    from net.wire import protocol_pb2  # pylint: disable=import-outside-toplevel
    return protocol_pb2, tree_ops_pb2


class ServerError(Exception):
    pass


class Token:
    """What `cofferd invite` prints: net/tls/token.h draws it."""

    def __init__(self, text):
        word, _, rest = text.strip().partition('.')
        raw = base64.b32decode(rest.upper() + '=' * (-len(rest) % 8))
        if word != 'coffer1' or hashlib.sha256(b'coffer1.' + raw[:-8]).digest()[:8] != raw[-8:]:
            raise ValueError('no token, or one that was copied wrongly')
        n = raw[0]
        self.host = raw[1:1 + n].decode('ascii')
        self.port, self.expires, self.ca_pin, self.secret = struct.unpack_from('<HQ32s32s', raw, 1 + n)


def make_key_and_csr():
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, csr.public_bytes(serialization.Encoding.DER)


def mutual(ca, certificate, key):
    """TLS 1.3, this CA and no other, our certificate, and the server's name checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(ca)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def unverified():
    """For a first look at the chain that a server sends; nothing is told to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    def __init__(self, pb, host, port, context):
        self.pb = pb
        self.next_request = 1
        context.set_alpn_protocols(['coffer/1'])
        self.tls = context.wrap_socket(socket.create_connection((host, port), timeout=60), server_hostname=host)

    def close(self):
        self.tls.close()

    def _exactly(self, count):
        parts = []
        while count > 0:
            part = self.tls.recv(min(count, 1 << 20))
            if not part:
                raise ServerError('the connection ended early')
            parts.append(part)
            count -= len(part)
        return b''.join(parts)

    def ask(self, kind, message, answer, body=b''):
        """Sends one request and returns (answer message, body)."""
        header = message.SerializeToString()
        request, self.next_request = self.next_request, self.next_request + 1
        self.tls.sendall(struct.pack('<IBBHQI', 16 + len(header) + len(body), kind, 0, 0, request, len(header)) + header + body)
        while True:
            length, got, _, _, number, header_bytes = struct.unpack('<IBBHQI', self._exactly(20))
            rest = self._exactly(length - 16)
            header, body = rest[:header_bytes], rest[header_bytes:]
            if got == ERROR:
                error = self.pb.Error.FromString(header)
                raise ServerError(f'{self.pb.Error.Reason.Name(error.reason)}: {error.what}')
            if number == request and got == kind | 0x80:
                return answer.FromString(header), body
