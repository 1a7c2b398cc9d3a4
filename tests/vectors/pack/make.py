#!/usr/bin/env python3
"""Makes three_records.pack from common/pack/PACKS.md, with no code of Coffer."""

import hashlib
import pathlib
import struct


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def record(payload, removed=False):
    head = b"CFRr" + struct.pack("<I", len(payload)) + hashlib.sha256(payload).digest() + b"\x01\x00\x00"
    state = b"\xff" if removed else b"\x00"
    return head + state + crc32c(head) + (b"\x00" * len(payload) if removed else payload)


header = b"CFRPACK1" + struct.pack("<Q", 1) + bytes(12)
pack = header + crc32c(header) + record(b"first") + record(b"the second, removed", removed=True) + record(b"")
pathlib.Path(__file__).with_name("three_records.pack").write_bytes(pack)
