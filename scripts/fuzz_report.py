#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the fuzzers have run, what they found, and which lines their inputs reach.

fuzz_report.py BUILD     adds the runs of BUILD/runs.csv to docs/benchmarks/data/fuzz.json (and empties that file), takes the
                         coverage from BUILD/coverage.json if it is there, and writes docs/benchmarks/fuzz-coverage.md
fuzz_report.py --check   fails if the page is not what the data say

docs/benchmarks/data/fuzz-findings.csv has a line a finding, and docs/benchmarks/data/fuzz-uncovered.csv why lines of a file
are out of reach; both are written by people.
"""
import csv
import datetime
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs/benchmarks/fuzz-coverage.md'
DATA = ROOT / 'docs/benchmarks/data'
# What reads and searches: groups of the table, each a list of paths.
GROUPS = {
    'Bitstream parsers': ['SwiftCodec/Bitstream/', 'SwiftCodec/Support/ByteReader.swift', 'SwiftCodec/Support/UTF8.swift',
                          'SwiftCodec/Support/FileBytes.swift'],
    'Model parsers': ['SwiftCodec/Model/', 'SwiftCodec/Graph/', 'SwiftCodec/Entropy/EntropyModel.swift',
                      'SwiftCodec/Entropy/EntropyTables.swift', 'SwiftCodec/Motion/MotionTables.swift'],
    'Residual layer': ['SwiftCodec/Residual/', 'CCodecKernels/residual/'],
    'Entropy coder': ['SwiftCodec/Entropy/', 'CCodecKernels/entropy/'],
    'Segment codec and prior': ['SwiftCodec/Latent/'],
    'Motion': ['SwiftCodec/Motion/', 'CCodecKernels/motion/'],
    'Filter': ['SwiftCodec/Filter/', 'CCodecKernels/filter/'],
    'Search': ['SwiftCodec/Search/', 'CCodecKernels/search/'],
    'Picture files': ['PictureFiles/'],
}
# Kernels of processors that the machine is not.
FOREIGN = ('_neon.c', '_wasm128.c')


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def read_csv(name):
    with (DATA / name).open(encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def add_runs(kept, path):
    if not path.exists():
        return
    for line in path.read_text(encoding='utf-8').split():
        target, count, seconds, found = line.split(',')
        entry = kept['targets'].setdefault(target, {'inputs': 0, 'seconds': 0, 'found': 0})
        entry['inputs'] += int(count)
        entry['seconds'] += int(seconds)
        entry['found'] += int(found)
    path.unlink()


def coverage(path):
    files = {}
    for file in json.loads(path.read_text(encoding='utf-8'))['data'][0]['files']:
        name = file['filename'].split('Sources/', 1)[-1]
        lines = file['summary']['lines']
        if lines['count'] and not name.endswith(FOREIGN):
            files[name] = [lines['count'], lines['covered']]
    return dict(sorted(files.items()))


def percent(lines):
    return f'{100 * lines[1] / lines[0]:.1f}'


def render(kept):
    reasons = {row['file']: row['why'] for row in read_csv('fuzz-uncovered.csv')}
    out = ['# Fuzzers: inputs, findings, coverage', '',
           f'Written by `make fuzz-coverage` from [data/fuzz.json](data/fuzz.json) at commit {kept["commit"]}, {kept["date"]}.', '',
           '## Inputs', '',
           'What `make fuzz` has run so far, under AddressSanitizer and UndefinedBehaviorSanitizer, one process of one thread. '
           'Elapsed time, of machines with other work beside.', '',
           '| target | inputs | hours | a second | found |', '|---|--:|--:|--:|--:|']
    total = {'inputs': 0, 'seconds': 0, 'found': 0}
    rows = list(kept['targets'].items())
    for _, entry in rows:
        for key in total:
            total[key] += entry[key]
    for name, entry in rows + [('all', total)]:
        out.append(f'| {name} | {entry["inputs"]:,} | {entry["seconds"] / 3600:.2f} | {entry["inputs"] / max(1, entry["seconds"]):.0f} | '
                   f'{entry["found"]} |')
    out += ['', '## Findings', '', '| target | what | what was done |', '|---|---|---|']
    out += [f'| {row["target"]} | {row["what"]} | {row["done"]} |' for row in read_csv('fuzz-findings.csv')]
    out += ['', '## Lines reached', '',
            'By all inputs of the targets, those that were found included; kernels of other processors are left '
            'out.', '', '| part | lines | reached |', '|---|--:|--:|']
    seen, details, sums = set(), [], [0, 0]
    for group, paths in GROUPS.items():
        lines = [0, 0]
        for name, (count, covered) in kept['coverage'].items():
            if name in seen or not name.startswith(tuple(paths)):
                continue
            seen.add(name)
            lines = [lines[0] + count, lines[1] + covered]
            details.append(f'| {name} | {count} | {percent((count, covered))} % | {reasons.get(name, "")} |')
        sums = [sums[0] + lines[0], sums[1] + lines[1]]
        if lines[0]:
            out.append(f'| {group} | {lines[0]} | {percent(lines)} % |')
    if sums[0]:
        out.append(f'| all of these | {sums[0]} | {percent(sums)} % |')
    out += ['', '| file | lines | reached | what is out of reach |', '|---|--:|--:|---|'] + details
    return '\n'.join(out) + '\n'


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    data = DATA / 'fuzz.json'
    kept = json.loads(data.read_text(encoding='utf-8')) if data.exists() else {'targets': {}, 'coverage': {}}
    if sys.argv[1] == '--check':
        if PAGE.read_text(encoding='utf-8') != render(kept):
            sys.exit('docs/benchmarks/fuzz-coverage.md is not what the data say: scripts/fuzz_report.py BUILD')
        return
    build = Path(sys.argv[1])
    add_runs(kept, build / 'runs.csv')
    if (build / 'coverage.json').exists():
        kept['coverage'] = coverage(build / 'coverage.json')
    kept['commit'] = run('git', 'rev-parse', '--short=10', 'HEAD')
    kept['date'] = datetime.date.today().isoformat()
    data.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
    PAGE.write_text(render(kept), encoding='utf-8')


if __name__ == '__main__':
    main()
