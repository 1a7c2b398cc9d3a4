"""Sealed chunks and the sealed payloads of commits, as fs/seal/FORMAT.md describes them."""
import hashlib
import struct
import zlib

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import derive, hkdf

FRAME = 128 * 1024
FRAMES_MAX = 32
TABLE = 8 + 4 * FRAMES_MAX
TAG = 16


def _nonce(counter, last):
    return bytes(7) + struct.pack('<IB', counter, last)


def _unpack(codec, packed, plain_bytes):
    if codec == 0:
        plain = packed
    elif codec == 1:
        plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=plain_bytes)
    elif codec == 2:
        plain = zlib.decompress(packed)
    else:
        raise ValueError(f'codec {codec}')
    if len(plain) != plain_bytes:
        raise ValueError('frame unpacks to another length')
    return plain


class Opener:
    def __init__(self, vault_key, vault):
        self.vault = vault
        self.chunk_key = derive(vault_key, b'chunks', vault)
        self.commit_key = derive(vault_key, b'commits', vault)

    def chunk(self, sealed):
        head, salt = sealed[:8], sealed[8:40]
        if head != b'CFRCHK\x01\x00':
            raise ValueError('no sealed chunk of version 1')
        aead = AESGCM(hkdf(self.chunk_key, salt, b'coffer 1 chunk'))
        associated = head + self.vault
        at = 40 + TABLE + TAG
        table = aead.decrypt(_nonce(0, 0), sealed[40:at], associated)
        plain_bytes, sealed_bytes = struct.unpack_from('<II', table)
        if sealed_bytes != len(sealed):
            raise ValueError('sealed chunk of another length')
        count = (plain_bytes + FRAME - 1) // FRAME
        plain = []
        for i in range(count):
            entry, = struct.unpack_from('<I', table, 8 + 4 * i)
            packed_bytes, codec = entry & 0xffffff, entry >> 24
            last = i + 1 == count
            end = len(sealed) if last else at + packed_bytes + TAG
            body = aead.decrypt(_nonce(i + 1, last), sealed[at:end], associated)
            if any(body[packed_bytes:]):
                raise ValueError('padding that is not zero')
            plain.append(_unpack(codec, body[:packed_bytes], min(FRAME, plain_bytes - i * FRAME)))
            at = end
        return b''.join(plain)

    def payload(self, sealed, commit):
        """`commit` is (seq, previous, epoch, added, released), the last two as the bytes of all ids."""
        seq, previous, epoch, added, released = commit
        head, salt = sealed[:8], sealed[8:40]
        if head != b'CFRPAY\x02\x00':
            raise ValueError('no payload of version 2')
        aead = AESGCM(hkdf(self.commit_key, salt, b'coffer 1 payload'))
        associated = (head + self.vault + struct.pack('<Q', seq) + previous + struct.pack('<Q', epoch)
                      + hashlib.sha256(added).digest() + hashlib.sha256(released).digest())
        body = aead.decrypt(_nonce(0, 1), sealed[40:], associated)
        plain_bytes, packed_bytes, codec = struct.unpack_from('<IIB3x', body)
        if any(body[12 + packed_bytes:]):
            raise ValueError('padding that is not zero')
        return _unpack(codec, body[12:12 + packed_bytes], plain_bytes)
