#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who uses whose declarations, computed from the sources; fails where a use goes up.

rooms.py                     prints the rooms in order and a matrix of uses; exit status 1 on an upward use
rooms.py --markdown PAGE     writes the same as a page, without numbers that change with every commit
rooms.py --check PAGE        the same as without options, and fails if PAGE is not what --markdown would write
rooms.py --self-test         plants upward uses in a copy of the sources and must see each
rooms.py --root FOLDER       the sources of another checkout

A room is a folder of Sources/SwiftCodec; a sub-room, such as Graph/Layers, may be listed by itself. A room may use the
rooms before it in ROOMS, a target the targets before it in TARGETS, a folder of C the folders before it in C_ROOMS.

How uses are found. Comments and text are taken out of the sources (code in interpolations stays). Types, functions and
variables at file level belong to the room of their file, and so do members, also those of an extension of a type of a
lower room. A name is a use of the room that declares it. Where several rooms do, it is no use if the user's own room is one of them, and for
the rest a use of the highest one below the user if it is a type, or not counted. So a use is upward only where no room at or below the user's declares that name: the
check can overlook a use of a member that shares its name with a lower one's, and does not raise false alarms but for names
of the standard library, which STANDARD lists. Names that a file binds itself (parameters, local variables, closures) are
not uses in it. Types are found without such exceptions.
"""
import argparse
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

# Upwards: each sees only those before it.
ROOMS = ['Support', 'Picture', 'Residual', 'Graph/Tensors', 'Graph/Rows', 'Graph/Layers', 'Graph', 'Execution', 'Entropy', 'Motion', 'Filter', 'Model', 'Latent', 'Search', 'Bitstream', 'Codec', 'CInterface']
TARGETS = ['CCodecKernels', 'CSwiftCodec', 'CDefaultModel', 'SwiftCodec', 'SwiftCodecDefaultModel', 'SwiftCodecFitting',
           'SwiftCodecBenchmark', 'PictureFiles', 'codec-bench']
C_ROOMS = ['include', 'platform', 'conv', 'entropy', 'motion', 'search', 'residual', 'filter']
CORE = 'SwiftCodec'
PURPOSE = {
    'Support': 'bytes, checksums, aligned memory, threads, errors of model files',
    'Picture': 'planes of 8-bit samples',
    'Residual': 'samples coded exactly or within a bound, without networks, alone or over a decoded picture',
    'Motion': 'motion compensation of frames and the tables that vectors are coded with',
    'Filter': 'the adaptive filter of decoded pictures',
    'Graph/Tensors': 'resolutions, weights, rate positions and what lies between them',
    'Graph/Rows': 'tensors of a prepared graph and the rows of them that are in memory',
    'Graph/Layers': 'a file for each kind of layer: parsing, shape, proof of range, execution, adjoint',
    'Graph': 'graphs, their parser',
    'Execution': 'a graph prepared for a rate position (program) and its execution in stripes (runner)',
    'Entropy': 'the rule for contexts, entropy models, the coder',
    'Model': 'the reader of model files',
    'Latent': 'latents, their layout in segments, priors, the segment codec',
    'Search': 'rate-distortion optimised quantisation: rate, adjoint, optimisers',
    'Bitstream': 'header, boxes, frames',
    'Codec': 'Encoder, Decoder, what they prepare',
    'CInterface': 'the C API (swiftcodec.h) in Swift',
}

# Members of the standard library, which a higher room may declare, too.
STANDARD = set('''
  abs advanced allocate allSatisfy allocate append appending assign assumingMemoryBound base baseAddress bind bindMemory bitPattern bitWidth byteSwapped
  bytes capacity clamped clamping compactMap contains count deallocate deinitialize description distance dropFirst dropLast
  elementsEqual enumerated filter first firstIndex flatMap forEach formIndex hash hashValue index indices initialize insert
  isEmpty isFinite isMultiple isNaN isZero joined key keys last lastIndex lazy leadingZeroBitCount littleEndian
  load loadUnaligned lowerBound magnitude map max memory min mutableBytes move multipliedFullWidth multipliedReportingOverflow
  nonzeroBitCount none some partition pointee popLast prefix quotientAndRemainder random rawValue rebound reduce release remove removeAll
  removeFirst removeLast replaceSubrange reserveCapacity resume retain reversed rounded self shuffled sign signum size sort sorted split squareRoot start
  starts storeBytes stride subtracting suffix sum swapAt takeRetainedValue takeUnretainedValue toOpaque fromOpaque passRetained
  passUnretained trailingZeroBitCount truncatingIfNeeded union update uppercased upperBound utf8 value values width withContiguousStorageIfAvailable
  withMemoryRebound withUnsafeBufferPointer withUnsafeBytes withUnsafeMutableBufferPointer withUnsafeMutableBytes zip init
  addingReportingOverflow dividedReportingOverflow subtractingReportingOverflow bigEndian exponent significand ulp infinity zero
'''.split())

KEYWORDS = set('''
  struct class enum protocol actor extension func var let case init deinit subscript typealias associatedtype import
  if else guard switch for while repeat do try catch throw throws rethrows return break continue fallthrough defer where in is as
  self Self super nil true false public package internal private fileprivate open static final mutating nonmutating
  override lazy weak unowned inout some any default get set willSet didSet async await nonisolated consuming borrowing operator
  indirect convenience required dynamic optional prefix postfix infix precedencegroup unsafe sending isolated copy consume discard
'''.split())
TYPE_KEYWORDS = {'struct', 'class', 'enum', 'protocol', 'actor'}


def strip_swift(text):
    """The text with comments and string literals as spaces, of the same length; code in interpolations is kept."""
    out = list(text)
    n = len(text)

    def blank(a, b):
        for k in range(a, b):
            if out[k] != '\n':
                out[k] = ' '

    def code(i, until_parenthesis):
        depth = 0
        while i < n:
            c = text[i]
            if text.startswith('//', i):
                end = text.find('\n', i)
                end = n if end < 0 else end
                blank(i, end)
                i = end
            elif text.startswith('/*', i):
                k, level = i + 2, 1
                while k < n and level:
                    if text.startswith('/*', k):
                        level, k = level + 1, k + 2
                    elif text.startswith('*/', k):
                        level, k = level - 1, k + 2
                    else:
                        k += 1
                blank(i, k)
                i = k
            elif c == '"' or (c == '#' and re.match(r'#+"', text[i:i + 8])):
                i = string(i)
            elif until_parenthesis and c == '(':
                depth, i = depth + 1, i + 1
            elif until_parenthesis and c == ')':
                if depth == 0:
                    return i
                depth, i = depth - 1, i + 1
            else:
                i += 1
        return i

    def string(i):
        hashes = 0
        start = i
        while text[i] == '#':
            hashes, i = hashes + 1, i + 1
        quote = '"""' if text.startswith('"""', i) else '"'
        close, escape = quote + '#' * hashes, '\\' + '#' * hashes
        i += len(quote)
        blank(start, i)
        while i < n:
            if text.startswith(close, i):
                blank(i, i + len(close))
                return i + len(close)
            if text.startswith(escape, i):
                k = i + len(escape)
                if k < n and text[k] == '(':
                    blank(i, k + 1)
                    i = code(k + 1, True)
                    blank(i, i + 1)
                    i += 1
                    continue
                blank(i, k + 1)
                i = k + 1
                continue
            if len(quote) == 1 and text[i] == '\n':
                return i  # not a literal after all
            blank(i, i + 1)
            i += 1
        return i

    code(0, False)
    return ''.join(out)


TOKEN = re.compile(r'[0-9]\w*(?:\.[0-9]\w*)?|`?[A-Za-z_][A-Za-z_0-9]*`?|[{}()\[\]<>.,:=@?!&#-]|\n')


class SwiftFile:
    """Declarations and identifiers of one file."""

    def __init__(self, path, room):
        self.path, self.room = path, room
        text = strip_swift(path.read_text(encoding='utf-8'))
        self.tokens = []
        line = 1
        for match in TOKEN.finditer(text):
            token = match.group()
            if token == '\n':
                line += 1
            else:
                after = text[match.end():match.end() + 1]
                # A dot before is a member access, unless it ends a range.
                before = text[max(0, match.start() - 2):match.start()]
                self.tokens.append((token.strip('`'), line, after, '.' if before.endswith('.') and before != '..' else ''))
        self.declared = {}      # visible outside of the file: name -> 'type', 'function' or 'member'
        self.bound = set()      # parameters, local variables and private declarations
        self.extended = set()
        self.labels = set()     # of tuples, which may leave the file
        self._parse()
        for label in self.labels:
            self.declared.setdefault(label, 'member')

    def _parse(self):
        tokens = self.tokens
        scopes = []             # 'type' or 'body', one for each open brace
        pending = None          # what the next brace opens
        private = False
        parens = 0
        self.sites = set()      # positions of names in declarations
        for i, (token, _, after, before) in enumerate(tokens):
            name = tokens[i + 1][0] if i + 1 < len(tokens) else ''
            is_name = bool(re.match(r'[A-Za-z_]', name)) and name not in KEYWORDS
            outside = all(s == 'type' for s in scopes) and parens == 0
            previous = tokens[i - 1][0] if i else ''
            if token in '([':
                parens += 1
                # The labels of a tuple type are members.
                if token == '(' and previous in ('>', ':', '[', '='):
                    k, depth = i + 1, 0
                    while k < len(tokens) and depth >= 0:
                        t = tokens[k]
                        if depth == 0 and t[2] == ':' and tokens[k - 1][0] in '(,' and re.match(r'[a-z_]', t[0]):
                            self.labels.add(t[0])
                        depth += (t[0] in '([') - (t[0] in ')]')
                        k += 1
            elif token in ')]':
                parens -= 1
            elif token == '{':
                scopes.append(pending if pending and parens == 0 else 'body')
                # A closure's parameters stand before `in`.
                k = i + 1
                while k < len(tokens) and k < i + 24 and tokens[k][0] not in '{}=' and tokens[k][0] not in ('in', 'let', 'var', 'return', 'if'):
                    k += 1
                if k < len(tokens) and tokens[k][0] == 'in':
                    for t in tokens[i + 1:k]:
                        self.bound.add(t[0])
                pending = None if parens == 0 else pending
            elif token == '}':
                if scopes:
                    scopes.pop()
                private = False
            elif token in ('private', 'fileprivate') and tokens[i + 1][0] != '(':
                private = True
            elif before == '.' or (after == ':' and token not in ('default', 'case')):
                if after == ':' and before != '.':
                    self.bound.add(token)
            elif token in TYPE_KEYWORDS and is_name:
                self._declare(name, 'type' if not scopes else 'member', outside and not private, i + 1)
                pending, private = 'type', False
            elif token == 'extension' and not scopes:
                self.extended.add(name)
                pending, private = 'type', False
            elif token in ('typealias', 'associatedtype') and is_name:
                self._declare(name, 'type' if not scopes else 'member', outside and not private, i + 1)
                private = False
            elif token == 'func':
                if is_name:
                    self._declare(name, 'function' if not scopes else 'member', outside and not private, i + 1)
                pending, private = 'body', False
            elif token in ('init', 'deinit', 'subscript'):
                pending = pending if pending == 'type' and parens else 'body'
                private = False
            elif token in ('var', 'let', 'case', 'for', 'inout'):
                visible = outside and not private and token in ('var', 'let', 'case')
                if name == '(' or (token == 'case' and not visible):
                    k = i + 1
                    depth = 0
                    while k < len(tokens) and k < i + 40:
                        t = tokens[k][0]
                        depth += (t == '(') - (t == ')')
                        if depth == 0 and t in (')', ':', '='):
                            break
                        if re.match(r'[a-z_]', t) and t not in KEYWORDS and tokens[k - 1][0] in ('let', 'var', '(', ','):
                            self.bound.add(t)
                        k += 1
                elif is_name:
                    kind = 'member' if scopes else 'function'
                    self._declare(name, kind, visible, i + 1)
                    # let a = …, b = … and case a, b
                    k, depth = i + 2, 0
                    while k < len(tokens) and k < i + 60:
                        t, line = tokens[k][0], tokens[k][1]
                        depth += (t in '([{') - (t in ')]}')
                        if depth < 0 or t == '{' or (depth == 0 and t in KEYWORDS) or (
                                depth == 0 and line > tokens[k - 1][1] and tokens[k - 1][0] not in ',='):
                            break
                        if depth == 0 and t == ',' and re.match(r'[a-z_]', tokens[k + 1][0]):
                            self._declare(tokens[k + 1][0], kind, visible, k + 1)
                        k += 1
                private = False if parens == 0 else private

    def _declare(self, name, kind, visible, position):
        self.sites.add(position)
        if visible:
            if self.declared.get(name) not in ('type', 'function'):
                self.declared[name] = kind
        else:
            self.bound.add(name)

    def uses(self):
        """(name, line, whether behind a dot) of every identifier that may name a declaration."""
        for i, (token, line, after, before) in enumerate(self.tokens):
            if not re.match(r'[A-Za-z_]', token) or token in KEYWORDS or i in self.sites or token == '_':
                continue
            if after == ':' and before != '.' and not token[0].isupper():
                continue  # a label
            # Two identifiers before a colon: an argument's label in a declaration.
            if i + 1 < len(self.tokens) and self.tokens[i + 1][2] == ':' and re.match(r'[a-z_]', self.tokens[i + 1][0]) and (
                    i and self.tokens[i - 1][0] in '(,') and after == ' ' and self.tokens[i + 1][0] not in KEYWORDS:
                continue
            yield token, line, before == '.'


def room_of(path, base):
    """The longest listed room that holds the file; None if there is none."""
    parts = path.relative_to(base).parts[:-1]
    for k in range(len(parts), 0, -1):
        if '/'.join(parts[:k]) in ROOMS:
            return '/'.join(parts[:k])
    return None


class Uses:
    """uses[a][b]: how often `a` names a declaration of `b`; `upward`: (file, line, name, a, b).

    `foreign` are names of C, which are no members of Swift."""

    def __init__(self, order, files, foreign=frozenset()):
        rank = {room: i for i, room in enumerate(order)}
        self.order, self.uses, self.upward = order, defaultdict(lambda: defaultdict(int)), []
        where = defaultdict(lambda: defaultdict(set))    # kind of use -> name -> ranks
        types = defaultdict(set)
        for file in files:
            for name, kind in file.declared.items():
                if kind == 'type':
                    types[name].add(rank[file.room])
                where['member' if kind == 'member' else 'bare'][name].add(rank[file.room])
        for file in files:
            here = rank[file.room]
            for name, line, dotted in file.uses():
                if name in types:
                    ranks = set(types[name])
                    if dotted or name in file.bound:
                        ranks |= where['member'][name] if name in where['member'] else set()
                        if dotted and not any(r <= here for r in ranks):
                            ranks = ranks if name in types else set()
                    if name in file.bound and here not in ranks:
                        continue
                elif name in STANDARD:
                    continue
                elif dotted:
                    if name in file.bound or name in foreign:
                        continue
                    ranks = where['member'].get(name, set()) | where['bare'].get(name, set())
                elif name in file.bound:
                    continue
                else:
                    ranks = where['bare'].get(name, set()) | where['member'].get(name, set())
                if not ranks or here in ranks:
                    continue
                below = [r for r in ranks if r < here]
                target = max(below) if below else min(ranks)
                if below and len(ranks) > 1 and name not in types:
                    continue  # one of several that have this name
                self.uses[file.room][order[target]] += 1
                if not below:
                    self.upward.append((file.path, line, name, file.room, order[target]))

    def matrix(self, cell):
        width = max(len(r) for r in self.order)
        heads = [r.split('/')[-1][:6] for r in self.order]
        lines = [' ' * width + '  uses ' + ' '.join(f'{h:>6}' for h in heads)]
        for room in self.order:
            lines.append(f'{room:<{width}}       ' + ' '.join(f'{cell(room, other):>6}' for other in self.order))
        return '\n'.join(lines)


def core_files(root):
    base = root / 'Sources' / CORE
    files, homeless = [], []
    for path in sorted(base.rglob('*.swift')):
        room = room_of(path, base)
        (files.append(SwiftFile(path, room)) if room else homeless.append(path))
    return files, homeless


def c_names(root):
    """Every identifier of the kernels' headers: fields of structs among them."""
    names = set()
    for header in (root / 'Sources/CCodecKernels/include').rglob('*.h'):
        text = re.sub(r'/\*.*?\*/|//[^\n]*', ' ', header.read_text(encoding='utf-8'), flags=re.S)
        names |= set(re.findall(r'[A-Za-z_][A-Za-z_0-9]*', text))
    return names


def target_uses(root):
    """Uses between targets: what the sources import. (The compiler refuses what the manifest does not allow.)"""
    uses, rank = Uses(TARGETS, []), {target: i for i, target in enumerate(TARGETS)}
    for target in TARGETS:
        for path in sorted((root / 'Sources' / target).rglob('*.swift')):
            for number, line in enumerate(strip_swift(path.read_text(encoding='utf-8')).split('\n'), 1):
                match = re.match(r'\s*(?:@\w+\s+)*(?:public|package|internal|private|fileprivate)?\s*import\s+(\w+)', line)
                other = match and match.group(1)
                if other in rank and other != target:
                    uses.uses[target][other] += 1
                    if rank[other] > rank[target]:
                        uses.upward.append((path, number, f'import {other}', target, other))
        for path in sorted(list((root / 'Sources' / target).rglob('*.c'))):
            for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding='utf-8'), re.M):
                for other in TARGETS:
                    if other != target and (root / 'Sources' / other / 'include' / name).exists():
                        uses.uses[target][other] += 1
    return uses


def c_uses(root):
    """(uses, upward) between the folders of CCodecKernels, by their #include lines."""
    base = root / 'Sources/CCodecKernels'
    home = {}
    for header in base.rglob('*.h'):
        home.setdefault(header.name, header.relative_to(base).parts[0] if header.parent != base else '.')
    uses, upward = defaultdict(lambda: defaultdict(int)), []
    for path in sorted(list(base.rglob('*.c')) + list(base.rglob('*.h'))):
        room = path.relative_to(base).parts[0] if path.parent != base else '.'
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            other = home.get(Path(match.group(1)).name) if match else None
            if other is None or other == room:
                continue
            uses[room][other] += 1
            if room not in C_ROOMS or other not in C_ROOMS or C_ROOMS.index(other) > C_ROOMS.index(room):
                upward.append((path, number, match.group(1), room, other))
    return uses, upward


def check(root, quiet=False):
    """Prints everything; the number of faults."""
    say = (lambda *a: None) if quiet else print
    files, homeless = core_files(root)
    core = Uses(ROOMS, files, c_names(root))
    size = defaultdict(lambda: [0, 0])
    for file in files:
        size[file.room][0] += 1
        size[file.room][1] += len(file.path.read_text(encoding='utf-8').splitlines())
    say(f'Rooms of Sources/{CORE}, upwards:')
    for room in ROOMS:
        say(f'  {room:<12} {size[room][0]:>3} files {size[room][1]:>6} lines  {PURPOSE.get(room, "")}')
    say()
    say(core.matrix(lambda a, b: core.uses[a][b] or ('·' if a != b else '')))
    targets = target_uses(root)
    present = [t for t in TARGETS if (root / 'Sources' / t).is_dir()]
    say('\nTargets:')
    for target in present:
        used = [t for t in present if targets.uses[target][t]]
        say(f'  {target:<24} uses {", ".join(used) if used else "nothing"}')
    kernels, c_upward = c_uses(root)
    say('\nFolders of CCodecKernels:')
    for room in C_ROOMS:
        if (root / 'Sources/CCodecKernels' / room).is_dir():
            say(f'  {room:<24} uses {", ".join(r for r in C_ROOMS if kernels[room][r]) or "nothing"}')
    faults = 0
    for path in homeless:
        say(f'{path.relative_to(root)}: in no room of the list in scripts/rooms.py')
        faults += 1
    for folder in sorted((root / 'Sources').iterdir()):
        if folder.is_dir() and folder.name not in TARGETS:
            say(f'Sources/{folder.name}: in no target of the list in scripts/rooms.py')
            faults += 1
    for path, line, name, room, other in core.upward + targets.upward + c_upward:
        say(f'{path.relative_to(root)}:{line}: {room} uses {name} of {other}, which stands above it')
        faults += 1
    say(f'\n{faults} faults' if faults else '\nNo use goes up.')
    return faults


def markdown(root):
    files, _ = core_files(root)
    core, targets = Uses(ROOMS, files, c_names(root)), target_uses(root)
    kernels, c_upward = c_uses(root)
    up = {(room, other) for _, _, _, room, other in core.upward}
    lines = ['# Uses between rooms as they are now', '',
             'Written by `make docs` (`scripts/rooms.py --markdown`) from the sources; `make lint` fails if it is not current, or if a',
             'use goes up. Why there are rooms: [0002](0002-rooms.md).', '',
             '## Rooms of Sources/SwiftCodec, upwards', '', '| room | holds | uses |', '|---|---|---|']
    for room in ROOMS:
        used = [('**' + r + '** (up)' if (room, r) in up else r) for r in ROOMS if core.uses[room][r]]
        lines.append(f'| {room} | {PURPOSE.get(room, "")} | {", ".join(used) or "–"} |')
    lines += ['', 'A row uses the columns marked; all marks stand below the diagonal.', '',
              '| | ' + ' | '.join(ROOMS) + ' |', '|---' * (len(ROOMS) + 1) + '|']
    for room in ROOMS:
        cells = ['\\' if r == room else ('●' if core.uses[room][r] else ' ') for r in ROOMS]
        lines.append(f'| {room} | ' + ' | '.join(cells) + ' |')
    # What follows from another arrow is left out of the diagram.
    direct = {a: {b for b in ROOMS if core.uses[a][b]} for a in ROOMS}

    def reached(a, seen):
        for b in direct[a] - seen:
            seen.add(b)
            reached(b, seen)
        return seen
    lines += ['', '```mermaid', 'flowchart BT']
    for a in ROOMS:
        for b in ROOMS:
            if b in direct[a] and not any(b in reached(c, set()) for c in direct[a] - {b}):
                lines.append(f'  {a.replace("/", "_")} --> {b.replace("/", "_")}')
    lines += ['```', '', 'Arrows that follow from others are left out.', '', '## Targets', '', '| target | uses |', '|---|---|']
    for target in TARGETS:
        if (root / 'Sources' / target).is_dir():
            lines.append(f'| {target} | {", ".join(t for t in TARGETS if targets.uses[target][t]) or "–"} |')
    lines += ['', '## Folders of Sources/CCodecKernels', '', '| folder | includes headers of |', '|---|---|']
    for room in C_ROOMS:
        if (root / 'Sources/CCodecKernels' / room).is_dir():
            lines.append(f'| {room} | {", ".join(r for r in C_ROOMS if kernels[room][r]) or "–"} |')
    return '\n'.join(lines) + '\n'


def self_test(root):
    """Each planted use must be seen, at its place, and nothing else be new."""
    first, last = ROOMS[1], 'Codec'
    plants = [
        ('a type', f'struct PlantedHigh {{}}\n', 'func plantedLow() -> PlantedHigh? { nil }\n', 'PlantedHigh'),
        ('a function', 'func plantedHigh() -> Int { 0 }\n', 'let plantedLow = [0].map { _ in plantedHigh() }\n', 'plantedHigh'),
        ('a member of an extension', 'extension Int { var plantedHigh: Int { self } }\n', 'func plantedLow() -> Int { 7.plantedHigh }\n',
         'plantedHigh'),
        ('a nested type', 'extension Int { enum PlantedHigh { case none } }\n', 'func plantedLow() -> Int.PlantedHigh? { nil }\n',
         'PlantedHigh'),
        ('a use in an interpolation', 'func plantedHigh() -> Int { 0 }\n', 'func plantedLow() -> String { "a \\(plantedHigh()) b" }\n',
         'plantedHigh'),
        ('a case', 'enum PlantedKind { case plantedHigh }\n', 'func plantedLow(_ x: Int) { switch x { case .plantedHigh: break } }\n',
         'plantedHigh'),
    ]
    harmless = ('struct PlantedHigh {}\nfunc plantedHigh() {}\n',
                '// PlantedHigh\n/* plantedHigh() /* PlantedHigh */ */\nlet plantedLow = "PlantedHigh plantedHigh()"\n'
                'let plantedToo = #"\\(plantedHigh())"#\nfunc plantedWith(plantedHigh: Int) -> Int { plantedHigh }\n')
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(root / 'Sources', copy / 'Sources', ignore=shutil.ignore_patterns('*.scm'))

        def upward(high, low):
            (copy / f'Sources/{CORE}/{last}/Planted.swift').write_text(high)
            (copy / f'Sources/{CORE}/{first}/Planted.swift').write_text(low)
            found = {(str(p.relative_to(copy)), line, name) for p, line, name, _, _ in Uses(ROOMS, core_files(copy)[0], c_names(copy)).upward}
            return found

        clean = upward('', '')
        for what, high, low, name in plants:
            expected = {(f'Sources/{CORE}/{first}/Planted.swift', 1, name)}
            if upward(high, low) - clean != expected:
                print(f'rooms.py --self-test: {what} that is used upwards is not what is found: {upward(high, low) - clean}')
                return 1
        if upward(*harmless) != clean:
            print(f'rooms.py --self-test: found in comments and text: {upward(*harmless) - clean}')
            return 1
        c = copy / 'Sources/CCodecKernels'
        (c / 'search').mkdir(exist_ok=True)
        (c / 'search/planted.h').write_text('\n')
        before = len(c_uses(copy)[1])
        (c / 'conv/planted.c').write_text('#include "planted.h"\n')
        if len(c_uses(copy)[1]) != before + 1:
            print('rooms.py --self-test: an upward #include is not found')
            return 1
    print(f'rooms.py --self-test: {len(plants) + 1} planted upward uses found, comments and text passed over')
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument('--markdown', type=Path, metavar='PAGE')
    parser.add_argument('--check', type=Path, metavar='PAGE')
    parser.add_argument('--self-test', action='store_true')
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test(arguments.root)
    if arguments.markdown:
        arguments.markdown.write_text(markdown(arguments.root), encoding='utf-8')
        return 0
    faults = check(arguments.root)
    if arguments.check:
        if not arguments.check.exists() or arguments.check.read_text(encoding='utf-8') != markdown(arguments.root):
            print(f'{arguments.check} is not current: make docs')
            faults += 1
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
