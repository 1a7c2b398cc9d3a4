#!/usr/bin/python3
"""Checks on the tree itself: what stands at the top, sizes, headers, and the g++ 12 rule on co_await.

Prints one line for each finding and exits 1 if there is one. A line `tidy: long because ...` in a file, or just above a
function, settles a size.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = {'CMakeLists.txt', 'CMakePresets.json', 'README.md', 'common', 'fs', 'net', 'packaging', 'server', 'tests'}
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60


def tracked():
    out = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT, capture_output=True, check=True)
    return [pathlib.PurePosixPath(p) for p in out.stdout.decode().split('\0') if p and (ROOT / p).exists()]


def function_sizes(lines):
    """Yields (first line, name, length) of each definition that begins in column 0, or after two spaces in a class."""
    start = name = indent = None
    for number, line in enumerate(lines, 1):
        opening = re.match(r'^( {0,2})[A-Za-z_].*\b([A-Za-z_~][\w:~]*)\(.*\{\s*(//.*)?$', line)
        if start is None and opening and not re.match(r'\s*(namespace|class|struct|enum|extern|TEST)', line):
            start, name, indent = number, opening.group(2), opening.group(1)
        elif start is not None and line.rstrip() in (indent + '}', indent + '};'):
            yield start, name, number - start + 1
            start = None


def findings():
    files = tracked()
    for top in sorted({p.parts[0] for p in files}):
        if not top.startswith('.') and top not in TOP:
            yield f'{top}: nothing else joins the root'
    for path in files:
        if path.suffix not in ('.h', '.cpp'):
            continue
        lines = (ROOT / path).read_text().split('\n')
        text = '\n'.join(lines)
        settled = 'tidy: long because' in text
        if len(lines) > FILE_LINES_MAX and not settled:
            yield f'{path}: {len(lines)} lines; say "tidy: long because ..." or split it'
        if path.suffix == '.h' and '#pragma once' not in text:
            yield f'{path}: no #pragma once'
        for number, line in enumerate(lines, 1):
            if re.search(r'#include "\.\.?/', line):
                yield f'{path}:{number}: include by the path from the root'
            if 'co_await' in line and not line.lstrip().startswith('//'):
                awaited = line.split('co_await', 1)[1]
                if re.search(r'\[[^\]]*[&=\w][^\]]*\]\s*[({]', awaited) or re.search(r'[(,]\s*(\w+::)*[A-Z]\w*\{', awaited):
                    yield f'{path}:{number}: g++ 12 destroys this temporary twice: name it, then move it'
        for start, name, length in function_sizes(lines):
            above = '\n'.join(lines[max(0, start - 4):start])
            if length > FUNCTION_LINES_MAX and 'tidy: long because' not in above and path.parts[0] != 'tests':
                yield f'{path}:{start}: {name} has {length} lines; split it or say why above it'


found = list(findings())
print('\n'.join(found) if found else 'the tree is tidy')
sys.exit(1 if found else 0)
