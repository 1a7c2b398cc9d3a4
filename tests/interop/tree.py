"""The tree that the commits of a log add up to, as fs/meta/TREE.md describes it."""
import os
import stat

ROOT = 1


class Inode:
    def __init__(self):
        self.record = None
        self.extents = []  # (at, bytes, chunk id, offset in the chunk's plain bytes), ascending, not overlapping


def cut(extents, begin, end):
    """What is left of the extents without [begin, end)."""
    left = []
    for at, size, chunk, offset in extents:
        if at < begin:
            left.append((at, min(size, begin - at), chunk, offset))
        if at + size > end:
            skipped = max(0, end - at)
            left.append((at + skipped, size - skipped, chunk, offset + skipped))
    return [e for e in left if e[1] > 0]


class Tree:
    def __init__(self):
        self.inodes = {}
        self.names = {}  # (parent, name) -> inode

    def apply(self, ops):
        if ops.version != 1:
            raise ValueError(f'tree operations of version {ops.version}')
        for record in ops.inodes:
            inode = self.inodes.setdefault(record.inode, Inode())
            inode.record = record
            for changed in record.content:
                inode.extents = cut(inode.extents, changed.begin, changed.end)
                at = changed.begin
                for extent in changed.extents:
                    at += extent.gap
                    inode.extents.append((at, extent.bytes, ops.chunks[extent.chunk].id, extent.chunk_offset))
                    at += extent.bytes
                if at > changed.end:
                    raise ValueError('extents beyond their range')
            inode.extents = sorted(cut(inode.extents, record.bytes, 1 << 64))
        for name in ops.names:
            if name.inode == 0:
                self.names.pop((name.parent, name.name), None)
            else:
                self.names[name.parent, name.name] = name.inode
        for number in ops.deleted:
            self.inodes.pop(number, None)

    def children(self):
        below = {}
        for (parent, name), inode in self.names.items():
            below.setdefault(parent, []).append((name, inode))
        return below

    def write_out(self, folder, read_chunk):
        """Writes all that has a name below `folder`; returns (files, bytes). read_chunk(id) gives plain bytes."""
        below = self.children()
        written = {}  # inode -> path, for hard links
        files = content_bytes = 0
        cache = {}

        def plain(chunk):
            if chunk not in cache:
                if len(cache) >= 16:
                    cache.pop(next(iter(cache)))
                cache[chunk] = read_chunk(chunk)
            return cache[chunk]

        def content(path, inode):
            nonlocal content_bytes
            with open(path, 'xb') as file:
                for at, size, chunk, offset in inode.extents:
                    part = plain(chunk)[offset:offset + size]
                    if len(part) != size:
                        raise ValueError('an extent beyond its chunk')
                    file.seek(at)
                    file.write(part)
                file.truncate(inode.record.bytes)
            content_bytes += inode.record.bytes

        def attributes(path, record):
            os.chown(path, record.uid, record.gid, follow_symlinks=False)
            if not stat.S_ISLNK(record.mode):
                os.chmod(path, stat.S_IMODE(record.mode))
                for xattr in record.xattrs:
                    os.setxattr(path, xattr.name, xattr.value)
            os.utime(path, ns=(record.atime_ns, record.mtime_ns), follow_symlinks=False)

        def walk(path, number):
            nonlocal files
            os.makedirs(path, exist_ok=True)
            for name, child in sorted(below.get(number, [])):
                inode, at = self.inodes[child], os.path.join(path, name)
                record = inode.record
                if stat.S_ISDIR(record.mode):
                    walk(at, child)
                    continue
                files += 1
                if child in written:
                    os.link(written[child], at, follow_symlinks=False)
                    continue
                written[child] = at
                if stat.S_ISREG(record.mode):
                    content(at, inode)
                elif stat.S_ISLNK(record.mode):
                    os.symlink(record.symlink_target, at)
                else:
                    os.mknod(at, record.mode, record.rdev)
                attributes(at, record)
            if number in self.inodes and self.inodes[number].record is not None:
                attributes(path, self.inodes[number].record)

        walk(os.fsencode(folder), ROOT)
        return files, content_bytes
