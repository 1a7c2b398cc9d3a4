"""The test data: random bytes, source code in one file, and source code in many."""
import io
import json
import os
import pathlib
import subprocess
import tarfile

from .machine import MIB, Failed

FOLDERS = ('fs', 'include', 'kernel', 'net')  # Of Linux: some 10,000 files with 12 KiB each.


class Files:
    def __init__(self, folder, mib, count, bytes):
        self.folder, self.mib, self.count, self.bytes = folder, mib, count, bytes
        self.random, self.source = folder / 'random', folder / 'source'
        self.archive, self.tree = folder / 'tree.tar', folder / 'tree'


class Copying(io.RawIOBase):
    """Reads on, and copies the first bytes that it reads into a file."""

    def __init__(self, source, copy, bytes):
        super().__init__()
        self.source, self.copy, self.left = source, copy, bytes

    def readable(self):
        return True

    def read(self, size=-1):
        got = self.source.read(size)
        self.copy.write(got[:self.left])
        self.left -= min(self.left, len(got))
        return got


def make(folder, mib, archive):
    note = folder / 'made.json'
    if note.exists():
        made = json.loads(note.read_text())
        if made['mib'] == mib:
            return Files(folder, **made)
    if archive is None:
        found = sorted(pathlib.Path('/usr/src').glob('linux-source-*.tar.xz'))
        if not found:
            raise Failed('there are no sources of Linux in /usr/src; run packaging/install-packages perf, or give --source-tar')
        archive = found[-1]
    files = Files(folder, mib, 0, 0)
    with open(files.random, 'wb') as out:
        for _ in range(mib):
            out.write(os.urandom(MIB))
    unpack(files, archive)
    note.write_text(json.dumps({'mib': mib, 'count': files.count, 'bytes': files.bytes}))
    return files


def unpack(files, archive):
    """One pass over the archive: its first bytes are the one file, its members in FOLDERS the many."""
    with subprocess.Popen(['xz', '-T0', '-dc', archive], stdout=subprocess.PIPE) as xz, \
            open(files.source, 'wb') as source, tarfile.open(files.archive, 'w', format=tarfile.GNU_FORMAT) as out:
        copying = Copying(xz.stdout, source, files.mib * MIB)
        with tarfile.open(fileobj=copying, mode='r|') as members:
            for member in members:
                name = member.name.partition('/')[2]
                if name.split('/')[0] not in FOLDERS or not (member.isfile() or member.isdir()):
                    continue
                new = tarfile.TarInfo(f'tree/{name}')
                new.type, new.size, new.mtime = member.type, member.size, int(member.mtime)
                new.mode = 0o755 if member.isdir() else 0o644
                out.addfile(new, members.extractfile(member) if member.isfile() else None)
                files.count += member.isfile()
                files.bytes += member.size
        while copying.read(MIB):
            pass
    if xz.returncode != 0 or os.path.getsize(files.source) < files.mib * MIB:
        raise Failed(f'{archive} is no xz of at least {files.mib} MiB')
    subprocess.run(['tar', 'xf', files.archive, '-C', files.folder], check=True)
