"""What the machine says of processes and of itself, and how commands are run on it."""
import mmap
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import time

TICKS = os.sysconf('SC_CLK_TCK')
MIB = 1 << 20
POLL = 0.02  # Seconds.


class Failed(Exception):
    """A sentence that says what to do."""


def require(folder):
    if os.geteuid() != 0:
        raise Failed('run it as root: it empties the kernel\'s caches and starts an sshd')
    if not os.path.exists('/dev/fuse'):
        raise Failed('there is no /dev/fuse here')
    for program in ('coffer', 'cofferd'):
        if not (folder / program).exists():
            raise Failed(f'{folder / program} is not built; build it, or say where it is with --bin')
    for program in ('sshfs', 'sshd', 'ssh-keygen', 'fusermount3'):
        if not find(program):
            raise Failed(f'{program} is not installed; run packaging/install-packages perf')


def find(program):
    return shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def run(*command, **more):
    """A command that is not measured; its output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    output = done.stdout.decode(errors='replace')
    if done.returncode != 0:
        raise Failed(f'{" ".join(map(str, command))} ended with {done.returncode}:\n{output[-2000:]}')
    return output


def start(*command, log):
    """A process of its own session, so that a Ctrl-C reaches it through our own clean-up only."""
    with open(log, 'ab') as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def end(process, seconds=30):
    """Ends a process that start() has begun, and what it has begun in its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            if process.poll() is None:
                os.killpg(process.pid, number)
                process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            pass
        return


def eventually(claim, seconds=30):
    """Whether it holds within the time. It is about other processes, of which nothing tells when it comes to hold."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def wait_until(claim, what, process, seconds=30):
    def holds():
        if claim():
            return True
        if process.poll() is not None:
            raise Failed(f'{process.args[0]} ended with {process.returncode} before {what}')
        return False

    if not eventually(holds, seconds):
        raise Failed(f'{process.args[0]}: not {what} after {seconds} s')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=1).close()
        return True
    except OSError:
        return False


def unmount(folder):
    """Waits for who still has a file open for a moment, such as a kernel that writes back."""
    def gone():
        done = subprocess.run([find('umount'), folder], stderr=subprocess.DEVNULL, check=False).returncode == 0
        return done or not os.path.ismount(folder)

    if os.path.ismount(folder) and not eventually(gone):
        subprocess.run([find('umount'), '-l', folder], check=False)


def tree(pid):
    """The process, all that descend from it, and what its session holds: sshfs does not stay the parent of its ssh."""
    found, next_ones = set(), [pid, *session(pid)]
    while next_ones:
        each = next_ones.pop()
        if each in found:
            continue
        found.add(each)
        for children in pathlib.Path(f'/proc/{each}/task').glob('*/children'):
            try:
                next_ones += map(int, children.read_text().split())
            except OSError:
                pass
    return sorted(found)


def session(leader):
    """The processes in the session that start() began with this one."""
    found = []
    for stat in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(stat.parent.name))
    return found


def cpu_seconds(pids):
    """User and system, with that of children which have ended."""
    ticks = 0
    for pid in (each for root in pids for each in tree(root)):
        try:
            fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc(5)
    return ticks / TICKS


def peak_mib(pid):
    """The peak of its resident memory since forget_peak()."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def forget_peak(pid):
    pathlib.Path(f'/proc/{pid}/clear_refs').write_text('5')  # proc(5): the peak becomes what is resident now.


def busy_seconds():
    """CPU seconds of everything on this machine, and of other machines on its processors."""
    user, nice, system, idle, wait, *rest = map(int, pathlib.Path('/proc/stat').read_text().split('\n')[0].split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS


def cold(mib):
    """Empties the kernel's caches, and asks for the memory that they will take again.

    A hypervisor takes back what a guest has free, and gives it again more slowly than anything here is measured.
    """
    os.sync()
    pathlib.Path('/proc/sys/vm/drop_caches').write_text('3')
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, mib * MIB, flags=flags).close()


def sentence(files):
    cpu = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), 'unknown')
    return (f'{time.strftime("%Y-%m-%d")}, {os.cpu_count()} processors ({cpu}), Linux {platform.release()}; '
            f'files of {files.mib} MiB, {files.count:,} small files of {files.bytes / MIB:.0f} MiB')
