"""The works, and what is measured of each."""
import json
import os
import resource
import signal
import subprocess
import sys
import time

from . import machine

WORKS = ('W1', 'W10', 'W2', 'W5', 'W3', 'W4', 'W6', 'W9', 'W11')
NEEDS = {'W10': 'W1', 'W5': 'W1', 'W4': 'W3', 'W6': 'W3'}
SECONDS_MAX = 600

SQLITE = '''
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('pragma journal_mode=delete')
db.execute('pragma synchronous=full')
db.execute('create table t(id integer primary key, text)')
for i in range(1000):
    db.execute('insert into t(text) values (?)', (f'row {i} ' + 80 * 'x',))
assert db.execute('select count(*) from t').fetchone() == (1000,)
'''

# Prints the seconds of a thousand operations of each kind.
NAMES = '''
import json, os, sys, time
folder, block, seconds = sys.argv[1], bytes(4096), {}
os.mkdir(folder)
os.chdir(folder)
def make(name, content=b''):
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    if content: os.write(fd, content)
    os.close(fd)
def read(name):
    fd = os.open(name, os.O_RDONLY)
    assert len(os.read(fd, 4096)) == 4096
    os.close(fd)
for what, do in {
    'create': lambda i: make(f'a{i}'), 'create with 4 KiB': lambda i: make(f'b{i}', block),
    'stat': lambda i: os.stat(f'a{i}'), 'stat of nothing': lambda i: os.path.exists(f'none{i}'),
    'read of 4 KiB': lambda i: read(f'b{i}'), 'chmod': lambda i: os.chmod(f'a{i}', 0o600),
    'rename': lambda i: os.rename(f'a{i}', f'c{i}'), 'unlink': lambda i: os.unlink(f'c{i}'),
    'mkdir': lambda i: os.mkdir(f'd{i}'), 'rmdir': lambda i: os.rmdir(f'd{i}')}.items():
    begin = time.monotonic()
    for i in range(1000): do(i)
    seconds[what] = time.monotonic() - begin
print(json.dumps(seconds))
'''


def with_needed(works):
    return works | {NEEDS[each] for each in works if each in NEEDS}


def measure(mount, name, command, mib, writes=False, warm=False):
    """Runs the command beside the mount: seconds, CPU seconds, memory, bytes sent."""
    if not warm:
        machine.cold(512 + 2 * mib)
    for pid in mount.pids():
        machine.forget_peak(pid)
    sent, cpu = mount.bytes_sent(), machine.cpu_seconds(mount.pids())
    busy, own = machine.busy_seconds(), used_by_children()
    begin = time.monotonic()
    output = timed(command)
    row = {'work': name, 'returned_s': time.monotonic() - begin, 'mib': mib}
    if writes:
        mount.commit()
        row['committed_s'] = time.monotonic() - begin
    seconds = time.monotonic() - begin
    row['cpu_s'] = machine.cpu_seconds(mount.pids()) - cpu + used_by_children() - own
    # Processors that something else had, the kernel's threads among it.
    row['others'] = max(0.0, (machine.busy_seconds() - busy - row['cpu_s']) / seconds)
    row['client_mib'] = machine.peak_mib(mount.client.pid)
    if mount.server:
        row['server_mib'] = machine.peak_mib(mount.server.pid)
    if sent is not None:
        row['sent_mib'] = (mount.bytes_sent() - sent) / machine.MIB
    return row, output


def used_by_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(command):
    """The command's output. It, and what it has started, ends with us."""
    words = ['bash', '-c', f'set -o pipefail; {command}'] if isinstance(command, str) else command
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS_MAX)
        except BaseException as stopped:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise machine.Failed(f'{words} took longer than {SECONDS_MAX} s') from None
            raise
    if process.returncode != 0:
        raise machine.Failed(f'{words} ended with {process.returncode}')
    return output.decode()


def run(mount, files, works, check):
    """Yields what was measured of each work. `check` compares what is read back with what was written."""
    point, small = mount.point, files.bytes // machine.MIB

    if 'W1' in works:
        yield measure(mount, 'W1', ['cp', files.random, point / 'random'], files.mib, writes=True)[0]
    if 'W10' in works:
        yield measure(mount, 'W10', ['cp', files.random, point / 'again'], files.mib, writes=True)[0]
    if 'W2' in works:
        yield measure(mount, 'W2', ['cp', files.source, point / 'source'], files.mib, writes=True)[0]
    if 'W5' in works:
        mount.empty()
        yield measure(mount, 'W5', ['dd', f'if={point}/random', 'of=/dev/null', 'bs=1M', 'status=none'], files.mib)[0]
        if check:
            machine.run('cmp', files.random, point / 'random')
    machine.run('rm', '-f', *(point / name for name in ('random', 'again', 'source')))
    mount.commit()

    if 'W3' in works:
        unpack = ['tar', 'xf', files.archive, '-C', point, '--no-same-owner']
        yield measure(mount, 'W3', unpack, small, writes=True)[0]
    if 'W4' in works:
        mount.empty()
        look = (f"find {point}/tree -type f -printf '%s %m %T@ %p\\n' | wc -l; "
                f"find {point}/tree -type f -print0 | xargs -0 stat -c '%s %Y %n' | wc -l")
        for name in ('W4 cold', 'W4 warm'):
            row, output = measure(mount, name, look, 0, warm=name == 'W4 warm')
            if output.split() != 2 * [str(files.count)]:
                raise machine.Failed(f'{mount.name} shows {output.split()} files, not {files.count}')
            yield row
    if 'W6' in works:
        mount.empty()
        yield measure(mount, 'W6', f'tar cf - -C {point} tree | cat >/dev/null', small)[0]
        if check:
            machine.run('diff', '-r', files.tree, point / 'tree')

    if 'W9' in works:
        yield measure(mount, 'W9', [sys.executable, '-c', SQLITE, str(point / 'database')], 0)[0]
    if 'W11' in works:
        row, output = measure(mount, 'W11', [sys.executable, '-c', NAMES, str(point / 'names')], 0)
        operations = json.loads(output)
        yield {**row, 'returned_s': sum(operations.values()), 'operations_us': {k: 1000 * v for k, v in operations.items()}}
