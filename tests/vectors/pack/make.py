#!/usr/bin/env python3
"""Makes three_records.pack from common/pack/PACKS.md, with no code of Coffer."""

import hashlib
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crc32c import crc32c  # noqa: E402


def record(payload, removed=False):
    head = b"CFRr" + struct.pack("<I", len(payload)) + hashlib.sha256(payload).digest() + b"\x01\x00\x00"
    state = b"\xff" if removed else b"\x00"
    return head + state + crc32c(head) + (b"\x00" * len(payload) if removed else payload)


header = b"CFRPACK1" + struct.pack("<Q", 1) + bytes(12)
pack = header + crc32c(header) + record(b"first") + record(b"the second, removed", removed=True) + record(b"")
pathlib.Path(__file__).with_name("three_records.pack").write_bytes(pack)
