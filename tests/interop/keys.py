"""Key files, recovery keys and key slots, as fs/keys/KEYS.md describes them."""
import base64
import hashlib
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PASSPHRASE, RECOVERY, KEY_FILE = 1, 2, 3


class BadKey(Exception):
    pass


def hkdf(key, salt, info, length=32):
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(key)


def _checked(text, purpose):
    both = base64.b32decode(text.upper())
    secret, checksum = both[:32], both[32:]
    if len(both) != 35 or hashlib.sha256(purpose + secret).digest()[:3] != checksum:
        raise BadKey('checksum does not hold: mistyped or damaged')
    return secret


def read_key_file(path):
    with open(path, encoding='ascii') as file:
        word, text = file.read().split()
    if word != 'coffer-key-file-1':
        raise BadKey('no key file')
    return _checked(text, b'coffer 1 key file')


def parse_recovery_key(text):
    return _checked(text.replace('-', '').replace(' ', ''), b'coffer 1 recovery key')


def open_slot(slot, kind_wanted, secret, vault):
    """The vault key, or None where the slot is of another kind."""
    magic, version, kind, n, r, p, salt = struct.unpack('<6sBBQII32s', slot[:56])
    if magic != b'CFRKEY' or version != 1:
        raise BadKey('no key slot of version 1')
    if kind != kind_wanted:
        return None
    if kind == PASSPHRASE:
        secret = hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=2**31 - 1, dklen=32)
    wrapping = hkdf(secret, salt, b'coffer 1 slot')
    try:
        return AESGCM(wrapping).decrypt(bytes(12), slot[56:104], slot[:56] + vault)
    except InvalidTag:
        raise BadKey('wrong secret, or a damaged slot') from None


def derive(vault_key, label, vault):
    return hkdf(vault_key, vault, b'coffer 1 ' + label)
