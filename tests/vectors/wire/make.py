#!/usr/bin/env python3
"""Makes cases.txt from net/wire/PROTOCOL.md, with no code of Coffer."""

import base64
import hashlib
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crc32c import crc32c  # noqa: E402


def frame(kind, request, header=b"", body=b"", zero=0, zeros=0, length=None, header_bytes=None):
    length = 16 + len(header) + len(body) if length is None else length
    header_bytes = len(header) if header_bytes is None else header_bytes
    return struct.pack("<IBBHQI", length, kind, zero, zeros, request, header_bytes) + header + body


def field(number, value):
    """A protobuf field, of bytes or of an unsigned number below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def token(host, port, expires, pin, secret, prefix="coffer1.", spoil=b""):
    fields = struct.pack("<B", len(host)) + host + struct.pack("<HQ", port, expires) + pin + secret + spoil
    fields += hashlib.sha256(b"coffer1." + fields).digest()[:8]
    return prefix + base64.b32encode(fields).decode().rstrip("=")


hello = field(1, 1) + field(2, 1) + field(3, bytes(range(16))) + field(4, b"golden 1")
put = field(1, bytes(range(32))) + field(2, 5)
put_rest = put + field(3, 3) + field(4, crc32c(b"seale"))
corrupt = field(1, 4) + field(2, 74) + field(4, 3)
refused = field(1, 2) + field(2, 13) + field(3, b"revoked")
NUMBER = 0x0123456789ABCDEF
PIN, SECRET = bytes(range(32)), bytes(range(100, 132))

CASES = [
    "# frame hex type request header body      a right one",
    "# wrong hex                               Fault::protocol",
    "# token text host port expires pin secret",
    "# other text                              not a token",
    f"frame {frame(1, 1, hello).hex()} hello 1 {hello.hex()} -",
    f"frame {frame(3, NUMBER, put, b'sealed'[:5]).hex()} put_chunk {NUMBER} {put.hex()} {b'seale'.hex()}",
    f"frame {frame(0x83, NUMBER).hex()} put_chunk_answer {NUMBER} - -",
    f"frame {frame(6, 2, b'', b'commit').hex()} append_commit 2 - {b'commit'.hex()}",
    f"frame {frame(0x84, 3, field(1, 4), b'abcd').hex()} get_chunk_answer 3 {field(1, 4).hex()} {b'abcd'.hex()}",
    f"frame {frame(14, 2**64 - 1).hex()} ping {2**64 - 1} - -",
    f"frame {frame(0xFF, 0, refused).hex()} error 0 {refused.hex()} -",
    f"frame {frame(3, NUMBER, put_rest, b'le').hex()} put_chunk {NUMBER} {put_rest.hex()} {b'le'.hex()}",
    f"frame {frame(0xFF, NUMBER, corrupt).hex()} error {NUMBER} {corrupt.hex()} -",
    f"frame {frame(99, 4, b'abc', b'def').hex()} unknown 4 {b'abc'.hex()} {b'def'.hex()}",
    f"wrong {frame(14, 1, zero=1).hex()}",
    f"wrong {frame(14, 1, zeros=256).hex()}",
    f"wrong {frame(14, 1, length=15).hex()}",
    f"wrong {frame(14, 1, length=0).hex()}",
    f"wrong {frame(2, 1, b'abc', header_bytes=4).hex()}",
    f"wrong {frame(2, 1, b'abc', header_bytes=0xFFFFFFFF).hex()}",
    f"wrong {frame(2, 1, b'abc', length=18).hex()}",
    f"wrong {frame(2, 1, b'abc').hex()}00",
    f"wrong {frame(14, 1, b'', b'x').hex()}",
    f"wrong {frame(0xFF, 1, refused, b'x').hex()}",
    f"wrong {frame(2, 1, length=16 + (1 << 20) + 1, header_bytes=(1 << 20) + 1).hex()}",
    f"wrong {frame(3, 1, length=16 + (8 << 20) + 1).hex()}",
    f"wrong {frame(3, 1, length=0xFFFFFFFF).hex()}",
    f"token {token(b'backup.example.org', 7465, 1800000000, PIN, SECRET)} backup.example.org 7465 1800000000 {PIN.hex()} {SECRET.hex()}",
    f"token {token(b'::1', 1, 0, SECRET, PIN)} ::1 1 0 {SECRET.hex()} {PIN.hex()}",
    f"other {token(b'', 7465, 1800000000, PIN, SECRET)}",
    f"other {token(b'host', 0, 1800000000, PIN, SECRET)}",
    f"other {token(b'ho st', 1, 1800000000, PIN, SECRET)}",
    f"other {token(b'host', 1, 2**63, PIN, SECRET)}",
    f"other {token(b'host', 1, 1800000000, PIN, SECRET, spoil=b'x')}",
    f"other {token(b'host', 1, 1800000000, PIN, SECRET, prefix='coffer2.')}",
    f"other {token(b'host', 1, 1800000000, PIN, SECRET, prefix='')}",
    f"other {token(b'host', 1, 1800000000, PIN, SECRET)[:-8]}",
    "other coffer1.",
    "other coffer1.AAAA",
]

folder = pathlib.Path(__file__).parent
(folder / "cases.txt").write_text("\n".join(CASES) + "\n")
corpus = folder.parent.parent / "fuzz" / "corpus" / "wire_frame"
for index, case in enumerate(case for case in CASES if case.startswith("frame")):
    (corpus / f"frame-{index}").write_bytes(bytes.fromhex(case.split()[1]))
for name, message in {"hello": hello, "put": put, "error": refused}.items():
    (corpus / f"message-{name}").write_bytes(message)
