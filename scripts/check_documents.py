#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Links and anchors of all documents lead somewhere, the README stays one page, and figures stand where programs write them.

Measured figures (dB, ms, % and the like) belong to docs/benchmarks and docs/experiments, and between the README's markers.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README_LINES = 150
FIGURE = re.compile(r'[0-9] ?(dB|ms|ns|GMAC/s|MAC/pixel|kMAC/pixel|Msymbol/s|MiB)\b|[0-9]\.[0-9]+ ?%|[0-9] s/megapixel')
# Pages whose business figures are.
MEASURED = ('docs/benchmarks/', 'docs/experiments/')


def anchors(text):
    """GitHub's: lower case, spaces to hyphens, punctuation gone."""
    found = set()
    for title in re.findall(r'^#+ +(.*)$', re.sub(r'^```.*?^```', '', text, flags=re.S | re.M), re.M):
        title = re.sub(r'[`*]|\[([^]]*)\]\([^)]*\)', r'\1', title).strip().lower()
        found.add(re.sub(r'[^\w\- ]', '', title).replace(' ', '-'))
    return found


def main():
    files = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '*.md'], cwd=ROOT, capture_output=True, text=True, check=True)
    faults = []
    for name in sorted(set(files.stdout.split())):
        path = ROOT / name
        if not path.exists():
            continue
        text = path.read_text(encoding='utf-8')
        prose = re.sub(r'^```.*?^```', lambda m: '\n' * m.group().count('\n'), text, flags=re.S | re.M)
        for number, line in enumerate(prose.split('\n'), 1):
            for target in re.findall(r'\]\(([^)\s]+)\)', line):
                if re.match(r'[a-z]+:', target):
                    continue
                file, _, anchor = target.partition('#')
                other = (path.parent / file).resolve() if file else path
                if not other.exists():
                    faults.append(f'{name}:{number}: {target} does not exist')
                elif anchor and other.suffix == '.md' and anchor not in anchors(other.read_text(encoding='utf-8')):
                    faults.append(f'{name}:{number}: {target} has no such heading')
        free = re.sub(r'<!-- benchmarks -->.*?<!-- /benchmarks -->', lambda m: '\n' * m.group().count('\n'), prose, flags=re.S)
        if not name.startswith(MEASURED):
            for number, line in enumerate(free.split('\n'), 1):
                if FIGURE.search(line):
                    faults.append(f'{name}:{number}: a measured figure ({FIGURE.search(line).group()}) that no program writes')
        if name == 'README.md' and text.count('\n') > README_LINES:
            faults.append(f'README.md: {text.count(chr(10))} lines are more than {README_LINES}')
    # Documents that are gone, in comments and elsewhere.
    old = subprocess.run(['git', 'grep', '-nE', r'\b(FORMAT|ARCHITECTURE)\.md', '--', ':!docs/design', ':!scripts/check_documents.py'], cwd=ROOT,
                         capture_output=True, text=True)
    faults += [f'{line.split(":")[0]}:{line.split(":")[1]}: names a document that is now in docs/' for line in old.stdout.splitlines()]
    named = subprocess.run(['git', 'grep', '-noE', r'\bdocs/[a-z0-9/-]+\.md', '--', ':!*.md'], cwd=ROOT, capture_output=True, text=True)
    for line in named.stdout.splitlines():
        file, number, page = line.split(':')[:3]
        if not (ROOT / page).exists():
            faults.append(f'{file}:{number}: {page} does not exist')
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
