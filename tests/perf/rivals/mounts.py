"""What is compared: each mounts an empty folder, whose content goes to a store on this machine.

A mount is made in a folder of its own, with an ExitStack that takes it down again. `pids()` are the processes whose CPU
time counts; `commit()` returns when all that was written is safe; `empty()` mounts anew, with nothing cached.
"""
import json
import os
import subprocess

from . import machine
from .work import WORKS

ALL = frozenset(WORKS)


class Mount:
    works = ALL
    server = None

    def __init__(self, folder, stack, **tools):
        self.folder, self.tools = folder, tools
        self.store, self.point, self.log = folder / 'store', folder / 'mount', folder / 'log'
        self.store.mkdir()
        self.point.mkdir()
        self.client = None
        self.begin(stack)
        stack.callback(self.take_down)
        self.mount()

    def begin(self, stack):
        """Starts the server."""

    def mount_with(self, *command):
        self.client = machine.start(*command, log=self.log)
        machine.wait_until(lambda: os.path.ismount(self.point), 'mounted', self.client, 60)

    def take_down(self):
        if os.path.ismount(self.point):
            machine.unmount(self.point)
            try:
                self.client.wait(120)  # It may have something to write yet.
            except subprocess.TimeoutExpired:
                pass
        if self.client:
            machine.end(self.client)

    def commit(self):
        machine.run('sync', '-f', self.store)

    def empty(self):
        self.take_down()
        self.mount()

    def pids(self):
        return [each.pid for each in (self.client, self.server) if each]

    def bytes_sent(self):
        return None


class Passthrough(Mount):
    """libfuse's example passthrough_hp with its caches on: each request goes to the local file system."""
    name = 'passthrough_hp'

    def mount(self):
        self.mount_with(self.tools['passthrough'], '--foreground', self.store, self.point)


class Sshfs(Mount):
    """With its caches on and for long, as a mount that only one client uses may have them, and the fastest cipher."""
    name = 'sshfs'

    def begin(self, stack):
        keys = self.folder / 'ssh'
        keys.mkdir()
        for key in ('host', 'user'):
            machine.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', keys / key)
        os.makedirs('/run/sshd', mode=0o755, exist_ok=True)  # sshd does not start without it.
        port = machine.free_port()
        settings = {'ListenAddress': f'127.0.0.1:{port}', 'HostKey': keys / 'host', 'AuthorizedKeysFile': keys / 'user.pub',
                    'PidFile': 'none', 'StrictModes': 'no', 'UsePAM': 'no', 'PermitRootLogin': 'yes',
                    'PasswordAuthentication': 'no', 'UseDNS': 'no', 'Compression': 'no', 'Subsystem': 'sftp internal-sftp'}
        self.write(keys / 'sshd_config', settings)
        self.server = machine.start(machine.find('sshd'), '-D', '-e', '-f', keys / 'sshd_config', log=self.folder / 'sshd.log')
        stack.callback(machine.end, self.server)
        machine.wait_until(lambda: machine.answers(port), 'listening', self.server)
        self.settings = keys / 'ssh_config'
        self.write(self.settings, {'Port': port, 'IdentityFile': keys / 'user', 'IdentitiesOnly': 'yes', 'BatchMode': 'yes',
                                   'StrictHostKeyChecking': 'no', 'UserKnownHostsFile': '/dev/null', 'LogLevel': 'ERROR',
                                   'Compression': 'no', 'Ciphers': 'aes128-gcm@openssh.com'})

    @staticmethod
    def write(path, settings):
        path.write_text(''.join(f'{key} {value}\n' for key, value in settings.items()))

    def mount(self):
        caches = ('dir_cache=yes,dcache_timeout=3600,dcache_max_size=200000,'
                  'kernel_cache,entry_timeout=3600,attr_timeout=3600')
        self.mount_with('sshfs', '-f', '-F', self.settings, '-o', caches, f'127.0.0.1:{self.store}', self.point)


class Coffer(Mount):
    name = 'coffer'
    options = ()

    def command(self, program, *words):
        return machine.run(self.tools['bin'] / program, *words)

    def begin(self, stack):
        self.store.rmdir()
        self.home = self.folder / 'home'
        port = machine.free_port()
        self.command('cofferd', 'init', '--dir', self.store, '--host', '127.0.0.1')
        self.server = machine.start(self.tools['bin'] / 'cofferd', 'serve', '--dir', self.store, '--listen', f'127.0.0.1:{port}',
                                    log=self.folder / 'cofferd.log')
        stack.callback(machine.end, self.server)
        machine.wait_until(lambda: machine.answers(port), 'listening', self.server)
        token = self.command('cofferd', 'invite', 'compare', '--dir', self.store, '--address', f'127.0.0.1:{port}').split()[-1]
        self.command('coffer', 'enroll', token, '--home', self.home, '--key-file', self.folder / 'key')

    def mount(self):
        self.mount_with(self.tools['bin'] / 'coffer', 'mount', self.point, '--home', self.home, '--foreground', *self.options)

    def commit(self):
        self.command('coffer', 'sync', self.point, '--home', self.home)

    def empty(self):
        self.commit()
        self.take_down()
        self.command('coffer', 'spool', 'clear', '--tree', '--home', self.home)
        self.mount()

    def bytes_sent(self):
        """With everything around them: requests, commits, TLS."""
        status = subprocess.run([self.tools['bin'] / 'coffer', 'status', self.point, '--home', self.home, '--json'],
                                stdout=subprocess.PIPE, check=False)  # It exits with 3 while something is owed.
        return json.loads(status.stdout)['upload']['wire_bytes_sent']


class CofferLocal(Coffer):
    """fsync(2) answers when the local disk has it."""
    name = 'coffer fsync=local'
    options = ('-o', 'fsync=local')
    works = frozenset({'W9'})


def build_passthrough(folder):
    """passthrough_hp is an example in libfuse's sources, and in no package: it is fetched and built here."""
    built = folder / 'passthrough_hp'
    if built.exists():
        return built
    for part in ('sources', 'lists/partial', 'cache'):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / 'sources/src.sources').write_text(
        'Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm\nComponents: main\n'
        'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n')
    (folder / 'none').touch()
    apt = ['apt-get', '-q', '-o', f'Dir::Etc::sourcelist={folder}/none', '-o', f'Dir::Etc::sourceparts={folder}/sources',
           '-o', f'Dir::State::lists={folder}/lists', '-o', f'Dir::Cache={folder}/cache', '-o', 'APT::Sandbox::User=root']
    machine.run(*apt, 'update')
    machine.run(*apt, 'source', 'fuse3', cwd=folder)
    source = next(folder.glob('fuse3-*/example/passthrough_hp.cc'))
    flags = machine.run('pkg-config', '--cflags', '--libs', 'fuse3').split()
    # Without extended attributes, which Debian's build of it has: then the kernel stops asking for them.
    machine.run('g++', '-O2', '-std=c++17', '-DHAVE_UTIMENSAT', '-DHAVE_POSIX_FALLOCATE', source, '-o', built, *flags)
    return built
