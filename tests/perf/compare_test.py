#!/usr/bin/python3
"""Claims about tests/perf/compare and tests/perf/stations that need no mount: arguments, test data, tables."""
import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import sys
import tarfile
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent


def command(name):
    loader = importlib.machinery.SourceFileLoader(name, str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


compare, stations = command('compare'), command('stations')
from rivals import data, machine, table, work  # noqa: E402


def row(mount, rep, name, **figures):
    return {'mount': mount, 'rep': rep, 'work': name, 'mib': 1024, **figures}


def cells(rows, title):
    """The table's cells of a row, by their column."""
    lines = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table.text(rows).split('\n') if line.startswith('|')]
    return next((dict(zip(lines[0], each)) for each in lines if each[0] == title), None)


class Arguments(unittest.TestCase):
    def refused(self, *words):
        with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit):
            compare.arguments(words)
        return said.getvalue()

    def test_all_works_three_times_unless_told_otherwise(self):
        chosen = compare.arguments([])
        self.assertEqual((chosen.work, chosen.reps, chosen.mib), (set(work.WORKS), 3, 1024))

    def test_some_works_in_either_case(self):
        self.assertEqual(compare.arguments(['--work', 'w1,W3']).work, {'W1', 'W3'})

    def test_what_is_no_work_is_refused_by_name(self):
        self.assertIn('W99', self.refused('--work', 'W1,W99'))

    def test_no_repetition_is_refused(self):
        self.refused('--reps', '0')

    def test_a_work_brings_those_whose_files_it_reads(self):
        self.assertEqual(work.with_needed({'W5', 'W6', 'W9'}), {'W1', 'W3', 'W5', 'W6', 'W9'})


class Table(unittest.TestCase):
    def test_a_ratio_is_the_median_of_those_of_the_repetitions(self):
        rows = [row('sshfs', rep, 'W1', committed_s=s) for rep, s in enumerate((1.0, 2.0, 4.0))]
        rows += [row('coffer', rep, 'W1', committed_s=s) for rep, s in enumerate((0.5, 1.8, 3.0))]
        found = cells(rows, 'W1 1 GiB random, committed')
        self.assertEqual(found['ratio'], '0.75 (0.50-0.90)')
        self.assertEqual((found['sshfs'], found['Coffer'], found['']), ('2.00', '1.80', 'met'))

    def test_what_is_above_its_bound_is_missed(self):
        rows = [row('sshfs', 0, 'W1', committed_s=1.0), row('coffer', 0, 'W1', committed_s=0.96)]
        self.assertEqual(cells(rows, 'W1 1 GiB random, committed')[''], 'MISSED')

    def test_what_was_not_measured_has_no_row(self):
        rows = [row('sshfs', 0, 'W1', committed_s=1.0), row('coffer', 0, 'W1', committed_s=0.5)]
        self.assertIsNone(cells(rows, 'W5 1 GiB read, cold'))

    def test_fsync_on_the_local_disk_is_compared_with_passthrough_hp(self):
        rows = [row('passthrough_hp', 0, 'W9', returned_s=1.0), row('coffer', 0, 'W9', returned_s=9.0),
                row('coffer fsync=local', 0, 'W9', returned_s=1.4), row('sshfs', 0, 'W9', returned_s=3.0)]
        self.assertEqual(cells(rows, 'W9 SQLite, fsync=local')['ratio'], '1.40')
        self.assertEqual(cells(rows, 'W9 SQLite, fsync=server')['ratio'], '3.00')

    def test_memory_is_that_of_the_worst_work(self):
        rows = [row('coffer', 0, 'W1', client_mib=100.0), row('coffer', 1, 'W3', client_mib=351.0)]
        found = cells(rows, 'peak memory of the client, MiB')
        self.assertEqual((found['Coffer'], found['']), ('351', 'MISSED'))

    def test_bytes_sent_are_a_part_of_the_file(self):
        self.assertEqual(cells([row('coffer', 0, 'W2', sent_mib=256.0)], 'W2 sent, of the file')['Coffer'], '0.25')

    def test_a_busy_machine_is_told(self):
        rows = [row('sshfs', 0, 'W1', committed_s=1.0, others=1.2), row('coffer', 0, 'W1', committed_s=1.0)]
        self.assertIn('Others had 1.2 processors during W1 of sshfs', table.text(rows))


class Data(unittest.TestCase):
    def test_one_pass_over_an_archive_makes_the_large_file_and_the_small_ones(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            content = bytes(range(256)) * 8192  # 2 MiB.
            with tarfile.open(folder / 'linux.tar.xz', 'w:xz') as out:
                for name in ('fs/inode.c', 'sound/core.c', 'net/ipv4/tcp.c'):
                    member = tarfile.TarInfo(f'linux-6/{name}')
                    member.size = len(content)
                    out.addfile(member, io.BytesIO(content))
            files = data.make(folder, 2, folder / 'linux.tar.xz')
            self.assertEqual((files.count, files.bytes), (2, 2 * len(content)))
            self.assertEqual((files.tree / 'net/ipv4/tcp.c').read_bytes(), content)
            self.assertFalse((files.tree / 'sound').exists())
            self.assertEqual(files.source.stat().st_size, 2 * machine.MIB)
            self.assertIn(b'linux-6/fs/inode.c', files.source.read_bytes()[:512])
            self.assertEqual(data.make(folder, 2, None).count, 2)  # It is made once.


class Stations(unittest.TestCase):
    def test_a_sample_belongs_to_the_innermost_station_on_its_stack(self):
        profile = (
            'coffer\n\t 7f01 [unknown]\n\t 5501 coffer::codec::zstd_compress(coffer::ByteView)\n'
            '\t 5502 coffer::seal::Sealer::seal(coffer::ByteView) const\n\t 5503 coffer::commit::SealingPool::work()\n\n'
            'coffer\n\t 7f02 sqlite3VdbeExec\n\t 5504 coffer::db::Statement::step()\n'
            '\t 5505 coffer::meta::(anonymous namespace)::row(coffer::db::Statement&)\n\t 5506 coffer::ops::op_lookup()\n\n'
            'coffer\n\tffff fuse_dev_do_read\n\t 7f03 read\n\n'
            'coffer\n\t 7f04 memmove\n\t 7f05 std::hash(coffer::seal::SealedChunk)\n')
        self.assertEqual([stations.station(each) for each in stations.stacks(profile.splitlines(keepends=True))],
                         ['fs/seal', 'fs/meta', 'kernel: FUSE requests', 'other: memmove'])


class Processes(unittest.TestCase):
    def test_what_a_mount_has_let_go_of_is_counted_with_it(self):
        orphan = '(sleep 60 & echo $! > "$0"); exec sleep 60'  # Its parent has ended, as that of sshfs's ssh has.
        with tempfile.TemporaryDirectory() as folder:
            said = pathlib.Path(folder) / 'pid'
            process = machine.start('sh', '-c', orphan, said, log=pathlib.Path(folder) / 'log')
            try:
                self.assertTrue(machine.eventually(lambda: said.exists() and said.read_text().endswith('\n')))
                self.assertEqual(machine.tree(process.pid), sorted([process.pid, int(said.read_text())]))
            finally:
                machine.end(process)


if __name__ == '__main__':
    unittest.main()
