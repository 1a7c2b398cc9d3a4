#!/usr/bin/env python3
"""Makes cases.txt from fs/meta/TREE.md and tree_ops.proto, with no code of Coffer and none of protobuf."""

import pathlib
import stat
import struct


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def fixed(field, value):
    return varint(field << 3 | 1) + struct.pack("<q", value) if value else b""


def block(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def text(field, content):
    return block(field, content) if content else b""


def chunk(n, plain_bytes):
    return block(3, block(1, chunk_id(n)) + number(2, plain_bytes + 100) + number(3, plain_bytes))


def chunk_id(n):
    return struct.pack("<Q", n) + bytes(24)


def extent(gap, size, index, offset, piece=b""):
    return block(3, number(1, gap) + number(2, size) + number(3, index) + number(4, offset) + text(5, piece))


def content(begin, end, *extents):
    return block(13, number(1, begin) + number(2, end) + b"".join(extents))


def inode(ino, mode, size=0, rest=b"", times=(0, 0, 0, 0), owner=(0, 0), rdev=0, target=b"", xattrs=()):
    fields = [number(1, ino), number(2, mode), number(3, owner[0]), number(4, owner[1]), number(5, rdev), number(6, size)]
    fields += [fixed(7 + n, time) for n, time in enumerate(times)]
    fields += [text(11, target)] + [block(12, block(1, n) + text(2, v)) for n, v in xattrs]
    return block(4, b"".join(fields) + rest)


def name(parent, name, ino):
    return block(5, number(1, parent) + text(2, name) + number(3, ino))


def deleted(*inos):
    return block(6, b"".join(varint(n) for n in inos)) if inos else b""


def ops(*parts, version=1, inode_next=50):
    return number(1, version) + number(2, inode_next) + b"".join(parts)


FILE, FOLDER, LINK, CHAR = stat.S_IFREG | 0o640, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600
cases = []


def step(payload, *lines):
    """A payload, and each line of the tree after it."""
    cases.append(["apply " + payload.hex(), *lines, "end"])


def wrong(payload):
    cases.append(["wrong " + payload.hex()])


# A tree of every kind of inode; then what was there is cut, punched, moved and deleted.
step(ops(chunk(1, 5000), chunk(2, 300),
         inode(2, FOLDER, times=(1, 2, 3, 4), owner=(1000, 100)),
         inode(3, FILE, 6000, content(0, 4096, extent(0, 4096, 0, 904, b"p" * 32)) + content(5000, 5500, extent(100, 300, 1, 0)),
               times=(-1, -2_000_000_001, 3, 4), xattrs=[(b"user.a", b"\x00\xff"), (b"user.b", b"")]),
         inode(4, LINK, 9, target=b"../\xff there"),
         inode(5, CHAR, rdev=0x501),
         name(1, b"d", 2), name(2, b"f", 3), name(1, b"hard", 3), name(2, b"l\n", 4), name(1, b"c", 5)),
     "1 040755 0 0 0 0 3 0 0 0 0 /",
     "5 020600 0 0 1281 0 1 0 0 0 0 /c",
     "2 040755 1000 100 0 0 2 1 2 3 4 /d",
     "3 0100640 0 0 0 6000 2 -1 -2000000001 3 4 /d/f x:user.a=00ff x:user.b= e:0+4096@1+904 e:5100+300@2+0",
     "4 0120777 0 0 0 9 1 0 0 0 0 /d/l\\x0a t:2e2e2fff207468657265",
     "3 0100640 0 0 0 6000 2 -1 -2000000001 3 4 /hard x:user.a=00ff x:user.b= e:0+4096@1+904 e:5100+300@2+0")
step(ops(chunk(1, 5000), inode(3, FILE, 5200, content(100, 200, extent(50, 50, 0, 0)) + content(4000, 4050)),
         name(1, b"c", 0), name(1, b"d", 0), name(1, b"hard", 2), deleted(5)),
     "1 040755 0 0 0 0 3 0 0 0 0 /",
     "2 040755 1000 100 0 0 2 1 2 3 4 /hard",
     "3 0100640 0 0 0 5200 1 0 0 0 0 /hard/f e:0+100@1+904 e:150+50@1+0 e:200+3800@1+1104 e:4050+46@1+4954 e:5100+100@2+0",
     "4 0120777 0 0 0 9 1 0 0 0 0 /hard/l\\x0a t:2e2e2fff207468657265")

wrong(b"\x0a")
wrong(ops(inode(50, FILE)))
wrong(ops(inode(0, FILE)))
wrong(ops(inode(3, FOLDER)))
wrong(ops(inode(6, FILE, 10, content(0, 11))))
wrong(ops(chunk(1, 5000), inode(6, FILE, 10, content(0, 10, extent(0, 0, 0, 0)))))
wrong(ops(chunk(1, 5000), inode(6, FILE, 10, content(0, 10, extent(1, 10, 0, 0)))))
wrong(ops(chunk(1, 5000), inode(6, FILE, 10, content(0, 10, extent(0, 10, 1, 0)))))
wrong(ops(chunk(1, 5000), inode(6, FILE, 10, content(0, 10, extent(0, 10, 0, 4991)))))
wrong(ops(chunk(1, 5001)))
wrong(ops(block(3, block(1, b"short") + number(3, 5))))
wrong(ops(name(1, b"a/b", 3)))
wrong(ops(name(1, b"..", 3)))
wrong(ops(name(1, b"", 3)))
wrong(ops(name(1, b"n" * 256, 3)))
wrong(ops(name(3, b"in a file", 4)))
wrong(ops(name(1, b"of nothing", 40)))
wrong(ops(name(40, b"in nothing", 3)))
wrong(ops(name(1, b"second name of a folder", 2)))
wrong(ops(name(2, b"root", 1)))
wrong(ops(deleted(1)))
wrong(ops(deleted(2)))
wrong(ops(deleted(3)))

head = """# Made by make.py. The payloads of one log, in order.
#   apply HEX: the payload of the next commit. The lines up to `end` are the tree afterwards, each path once, ascending:
#     inode mode(octal) uid gid rdev bytes links atime mtime ctime btime path x:name=hex t:target(hex) e:at+bytes@chunk+offset
#     (bytes of a path outside 21..7e are \\xHH; a chunk is the first eight bytes of its id as a little-endian number)
#   wrong HEX: Fault::corrupt after them, and nothing changes
"""
pathlib.Path(__file__).with_name("cases.txt").write_text(head + "".join("\n".join(case) + "\n" for case in cases))
