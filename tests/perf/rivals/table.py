"""From measurements to the table of ratios and targets."""
import statistics

PASSTHROUGH, SSHFS, COFFER, LOCAL = 'passthrough_hp', 'sshfs', 'coffer', 'coffer fsync=local'

# What the row is called, the work, what of it is compared, with whom, and the most that the ratio may be. Without a
# rival, Coffer's figure itself is what may be at most so much.
TARGETS = (
    ('W1 1 GiB random, committed', 'W1', 'committed_s', SSHFS, 0.95),
    ('W1 CPU seconds', 'W1', 'cpu_s', SSHFS, 1.6),
    ('W10 the same again, committed', 'W10', 'committed_s', SSHFS, 0.6),
    ('W10 sent, of the file', 'W10', 'sent', None, 0.01),
    ('W2 1 GiB source code, committed', 'W2', 'committed_s', SSHFS, 0.85),
    ('W2 sent, of the file', 'W2', 'sent', None, 0.26),
    ('W5 1 GiB read, cold', 'W5', 'returned_s', SSHFS, 0.6),
    ('W3 untar, returned', 'W3', 'returned_s', PASSTHROUGH, 1.0),
    ('W3 untar, committed', 'W3', 'committed_s', PASSTHROUGH, 1.3),
    ('W3 untar, committed', 'W3', 'committed_s', SSHFS, 0.25),
    ('W3 CPU seconds', 'W3', 'cpu_s', PASSTHROUGH, 1.5),
    ('W4 find and stat, cold', 'W4 cold', 'returned_s', PASSTHROUGH, 1.2),
    ('W4 find and stat, warm', 'W4 warm', 'returned_s', PASSTHROUGH, 1.2),
    ('W6 read of the files, cold', 'W6', 'returned_s', PASSTHROUGH, 1.2),
    ('W9 SQLite, fsync=server', 'W9', 'returned_s', SSHFS, 1.0),
    ('W9 SQLite, fsync=local', 'W9', 'returned_s', PASSTHROUGH, 1.5),
    ('W11 operations on names', 'W11', 'returned_s', PASSTHROUGH, 1.2),
    ('peak memory of the client, MiB', None, 'client_mib', None, 350),
    ('peak memory of the server, MiB', None, 'server_mib', None, 250),
)


def value(row, key):
    if key == 'sent':
        return row['sent_mib'] / row['mib'] if row.get('mib') and 'sent_mib' in row else None
    return row.get(key)


def by_rep(rows, mount, work, key):
    return {row['rep']: value(row, key) for row in rows
            if row['mount'] == mount and row['work'] == work and value(row, key) is not None}


def shown(number):
    if number is None:
        return ''
    return f'{number:.0f}' if number >= 100 else f'{number:.1f}' if number >= 10 else f'{number:.3f}' if number < 0.1 else f'{number:.2f}'


def span(numbers):
    middle = shown(statistics.median(numbers))
    return middle if len(numbers) == 1 else f'{middle} ({shown(min(numbers))}-{shown(max(numbers))})'


def line(rows, target):
    """The cells of one row; None where it was not measured."""
    title, work, key, rival, bound = target
    if work is None:
        peaks = [value(row, key) for row in rows if row['mount'] in (COFFER, LOCAL) and value(row, key) is not None]
        ratios = [max(peaks)] if peaks else []
        cells = ['', '', span(ratios) if ratios else '', '']
    else:
        ours = LOCAL if title.endswith('fsync=local') else COFFER
        times = {mount: by_rep(rows, mount, work, key) for mount in (PASSTHROUGH, SSHFS, ours)}
        if rival is None:
            ratios = list(times[ours].values())
        else:
            ratios = [ours_s / times[rival][rep] for rep, ours_s in times[ours].items() if times[rival].get(rep)]
        medians = [statistics.median(each.values()) if each else None for each in times.values()]
        cells = [*(map(shown, medians)), span(ratios) if ratios and rival else '']
    if not ratios:
        return None
    met = statistics.median(ratios) <= bound
    aim = f'{bound:g} of {rival}' if rival else f'{bound:g}'
    return [title, *cells, aim, 'met' if met else 'MISSED']


def text(rows):
    head = ['work', PASSTHROUGH, SSHFS, 'Coffer', 'ratio', 'at most', '']
    lines = [cells for cells in (line(rows, target) for target in TARGETS) if cells]
    widths = [max(len(cells[i]) for cells in [head, *lines]) for i in range(len(head))]
    out = ['| ' + ' | '.join(cell.ljust(width) for cell, width in zip(cells, widths)) + ' |' for cells in [head, *lines]]
    out.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    busy = max(rows, key=lambda row: row.get('others', 0), default=None)
    if busy and busy.get('others', 0) > 0.3:
        out.append(f'Others had {busy["others"]:.1f} processors during {busy["work"]} of {busy["mount"]}: measure again on a quiet machine.')
    return '\n'.join(out)


def progress(row):
    figures = ', '.join(f'{key.rpartition("_")[0]} {shown(row[key])} {unit}' for key, unit in
                        (('returned_s', 's'), ('committed_s', 's'), ('cpu_s', 's'), ('client_mib', 'MiB'), ('sent_mib', 'MiB'))
                        if key in row)
    return f'{row["rep"]}: {row["mount"]} {row["work"]}: {figures}, others {row.get("others", 0):.1f} processors'
