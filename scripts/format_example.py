#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The worked example of the formats: every byte of a small bitstream, and the head of its model file.

format_example.py --write PAGE      writes the page from the golden file and the model
format_example.py --check PAGE      fails if the page is not that

Reads by docs/format alone and shares nothing with the library. The symbols of the payload are decoded, too, for a latent of
one sample a channel in a model without a hyperprior: that the coder's states come out as they must proves the reading.
"""
import argparse
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / 'Fixtures/golden/noise-1x1-tiny-1.sci'
MODEL = ROOT / 'Fixtures/models/tiny.scm'
KINDS = ['static', 'threshold', 'weighted']
FORMATS = ['rgb', 'grey', 'yuv420']
NAMES = ['RGB picture', 'luma', 'chroma', 'motion-compensated luma', 'motion-compensated chroma', 'latent', 'decoded latent', 'hyper-latent', 'features',
         'earlier slices', 'parameters', 'decoded latent of the reference', 'state', 'context']
ROLES = ['analysis', 'synthesis', 'hyper-analysis', 'hyper-synthesis', 'context']
OPS = ['', 'convolution', 'transposed convolution', 'depthwise convolution', 'gain', 'add', 'concatenation', 'pixel shuffle', 'pixel unshuffle',
       'modulated convolution', 'modulated transposed convolution', 'modulated depthwise convolution']


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def model_id(data):
    h = len(data)
    padded = data + bytes(-len(data) % 8)
    for (word,) in struct.iter_unpack('<Q', padded):
        h = (h ^ word) * 0x9E3779B97F4A7C15 % 2**64
        h ^= h >> 32
    return h


class Reader:
    """Reads fields, and keeps a line for each: (offset, bytes, field, what it says)."""

    def __init__(self, data, at=0):
        self.data, self.at, self.lines = data, at, []

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError(f'ends at {len(self.data)}, wanted {n} bytes at {self.at}')
        self.at += n
        return self.data[self.at - n:self.at]

    def note(self, start, field, says):
        self.lines.append((start, self.data[start:self.at], field, says))

    def number(self, code, field, says=None):
        start = self.at
        (value,) = struct.unpack('<' + code, self.take(struct.calcsize(code)))
        self.note(start, field, str(value) if says is None else says(value))
        return value

    def varint(self, field, says=str):
        start, value, shift = self.at, 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        self.note(start, field, says(value))
        return value

    def text(self, n, field):
        start = self.at
        value = self.take(n).decode('utf-8')
        self.note(start, field, f'“{value}”')
        return value


def table(lines, base=0):
    out = ['| offset | bytes | field | value |', '|---|---|---|---|']
    for at, data, field, says in lines:
        shown = data.hex(' ') if len(data) <= 16 else data[:8].hex(' ') + f' … ({len(data)} bytes)'
        out.append(f'| {at} | `{shown}` | {field} | {says} |')
    return out


# ---- The model file ---------------------------------------------------------------------------------------------------

def sections(data):
    """(tag, offset, payload)"""
    if data[:8] != b'SCMODEL\x02':
        raise ValueError('not a model file of format 2')
    at, found = 8, []
    while at < len(data):
        tag, size = data[at:at + 4].decode(), struct.unpack_from('<I', data, at + 4)[0]
        payload = data[at + 8:at + 8 + size]
        if crc32c(data[at:at + 8 + size]) != struct.unpack_from('<I', data, at + 8 + size)[0]:
            raise ValueError(f'section {tag}: wrong CRC')
        found.append((tag, at, payload))
        at += 12 + size
    return found


def section_head(r, says):
    start = r.at
    tag = r.take(4).decode()
    r.note(start, 'tag', f'`{tag}`')
    size = r.number('I', 'size', lambda v: f'{v} bytes')
    return tag, size


def model_page(data):
    out = ['## The head of its model file', '', f'`Fixtures/models/{MODEL.name}`, {len(data)} bytes, id {model_id(data):016x}. All sections:', '',
           '| offset | tag | payload |', '|---|---|---|']
    found = sections(data)
    out += [f'| {at} | `{tag}` | {len(payload)} bytes |' for tag, at, payload in found]
    r = Reader(data)
    start = r.at
    r.take(8)
    r.note(start, 'magic', '“SCMODEL”, version 2')
    section_head(r, '')
    r.text(r.number('B', 'n', lambda v: f'the name has {v} bytes'), 'name')
    r.text(r.number('H', 'm', lambda v: f'the description has {v} bytes'), 'description')
    r.number('I', 'CRC-32C', lambda v: 'of tag, size and payload')
    section_head(r, '')
    points = r.number('B', 'K', lambda v: f'{v} rate points')
    classes = r.number('B', 'C', lambda v: f'{v} width classes')
    for k in range(points):
        r.number('f', f'lambda of rate point {k}', lambda v: f'{v:.4g}')
        for c in range(classes):
            r.number('H', f'width of class {c}', lambda v: f'{v} channels')
    r.number('I', 'CRC-32C', lambda v: 'of tag, size and payload')
    section_head(r, '')
    r.number('I', 'count', lambda v: f'{v} arrays')
    r.number('B', 'type of array 0', lambda v: ['i16', 'i32', 'i8', 'u8'][v])
    rank = r.number('B', 'rank', str)
    r.number('H', 'zero', str)
    for i in range(rank):
        r.number('I', f'dimension {i}', str)
    out += ['', 'The first two sections and the beginning of the third:', ''] + table(r.lines)
    tag, at, payload = next(s for s in found if s[0] == 'GRPH')
    r = Reader(data, at)
    section_head(r, '')
    r.number('B', 'role', lambda v: ROLES[v] if v < 16 else f'slice {v - 16}')
    r.number('B', 'format', lambda v: FORMATS[v])
    for _ in range(r.number('B', 'inputs', str)):
        r.number('B', 'name', lambda v: NAMES[v])
        r.number('B', 'index', str)
        r.number('H', 'channels', str)
        r.number('B', 'width class', lambda v: 'all channels at every rate point' if v == 255 else str(v))
        r.number('B', 'bits', lambda v: f'{v}: elements in [{-2**v}, {2**v - 1}]')
        r.number('b', 'q', lambda v: f'{v}: value = integer · 2^{-v}')
        r.number('H', 'divisor', lambda v: f'the padded picture divided by {v}')
    r.number('H', 'layers', str)
    op = r.number('B', 'op of layer 0', lambda v: OPS[v])
    r.text(r.number('B', 'n', lambda v: f'the name has {v} bytes'), 'name')
    for _ in range(r.number('B', 'inputs', str)):
        r.number('H', 'tensor', lambda v: f'tensor {v}')
    r.number('B', 'activation', lambda v: ['none', 'ReLU', 'leaky ReLU'][v])
    r.number('B', 'slope', str)
    r.number('b', 'q of the output', str)
    r.number('B', 'bits of the output', str)
    if op in (7, 8):
        r.number('B', 'factor', str)
    elif op in (1, 2, 3, 9, 10, 11):
        for code, field in (('H', 'channels'), ('B', 'width class'), ('B', 'kh'), ('B', 'kw'), ('B', 'stride'), ('B', 'border')):
            r.number(code, field, str)
        for field in ('weights', 'exponents', 'bias'):
            r.number('I', field, lambda v: f'array {v}')
    out += ['', 'The first graph, up to its first layer:', ''] + table(r.lines)
    return out


# ---- Entropy decoding of one sample a channel -------------------------------------------------------------------------

class Channel:
    pass


def entropy_model(data, kind, rate_point):
    """(magnitude, table, the rate point's tables) of a section ENTR without a hyperprior."""
    points = next(p for t, _, p in sections(data) if t == 'RATE')[0]
    for tag, _, payload in sections(data):
        if tag != 'ENTR' or payload[0] != kind:
            continue
        r = Reader(payload, 1)
        number = lambda code: r.number(code, '')
        magnitude = number('B')
        magnitudes = list(r.take(64)) if magnitude == 2 else []
        for k in range(points):
            p = Channel()
            m = number('H')
            p.modes = [(number('h'), number('H')) for _ in range(m)]
            p.order = [number('H') for _ in range(m)]
            p.cdfs = []
            for _ in range(number('H')):
                minimum, n = number('h'), number('H')
                p.cdfs.append((minimum, [number('H') for _ in range(n)]))
            p.channels = []
            for _ in range(m):
                c = Channel()
                c.low, c.high = (number('h'), number('h')) if magnitude == 1 else (0, 0)
                levels = number('B')
                c.mean, c.phases = None, 0
                if magnitude == 2 and number('B'):
                    c.phases = number('B')
                    shift = number('B')
                    weights = [number('h') for _ in range(6)]
                    c.mean = (shift, weights, [(number('H'), [number('h') for _ in range(9)]) for _ in range(number('B'))])
                c.cdf = [number('H') for _ in range(levels << c.phases)]
                c.bounds, c.sources, c.shift = [], [], 0
                if levels > 1:
                    r.take(6)
                    c.sources = [(number('H'), list(r.take(9))) for _ in range(number('B'))]
                    c.shift = number('B')
                    c.bounds = [number('H') for _ in range(levels - 1)]
                p.channels.append(c)
            if k == rate_point:
                return magnitude, magnitudes, p
    raise ValueError(f'no entropy model of kind {kind}')


class Decoder:
    def __init__(self, payload):
        self.states = list(struct.unpack_from('<4I', payload))
        self.words = [w for (w,) in struct.iter_unpack('<H', payload[16:])]
        self.used = 0

    def symbol(self, lane, frequencies):
        """(slot, symbol)"""
        x = self.states[lane]
        slot, c = x % 2**15, 0
        for symbol, f in enumerate(frequencies):
            if slot < c + f:
                break
            c += f
        x = f * (x >> 15) + slot - c
        if x < 2**16:
            x = x * 2**16 + self.words[self.used]
            self.used += 1
        self.states[lane] = x
        return slot, symbol

    def uniform(self, lane, bits):
        return self.symbol(lane, [2**15 >> bits] * 2**bits)[1]


def symbols(payload, magnitude, magnitudes, p):
    """Rows of the table of symbols, and the channels' values."""
    decoder, rows, active, values, residuals = Decoder(payload), [], {}, {}, {}
    slot, symbol = decoder.symbol(1, [2**14, 2**14])
    if symbol:
        raise ValueError('a filtered picture is no example')
    rows.append((1, 'the picture is filtered', slot, '0: no'))
    for i, channel in enumerate(p.order):
        probability = p.modes[channel][1]
        slot, symbol = decoder.symbol(i % 4, [32768 - probability, probability])
        active[channel] = symbol == 1
        rows.append((i % 4, f'channel {channel} is active', slot, f'{symbol}: {"yes" if symbol else f"no, all its samples are {p.modes[channel][0]}"}'))
    last = None
    for channel in p.order:
        if not active[channel]:
            values[channel] = p.modes[channel][0]
            continue
        c = p.channels[channel]
        mean, phase = 0, 0
        if c.mean:
            shift, _, sources = c.mean
            total = 2**(shift - 1) + sum(sum(w) * values[s] for s, w in sources if active[s])
            mean, phase = total >> shift, (total >> (shift - c.phases)) % 2**c.phases
        total = 0
        for source, weights in c.sources:
            source = last if source == 65535 else source
            if source is not None and active[source]:
                if magnitude == 1:
                    size = int(not p.channels[source].low <= values[source] < p.channels[source].high)
                else:
                    size = magnitudes[min(abs(residuals[source]), 63)]
                total += sum(weights) * size
        level = sum(bound <= min(1023, total >> c.shift) for bound in c.bounds)
        minimum, frequencies = p.cdfs[c.cdf[(level << c.phases) + phase]]
        slot, symbol = decoder.symbol(0, frequencies)
        if symbol < len(frequencies) - 1:
            residual, how = minimum + symbol, f'{symbol}'
        else:
            bits = decoder.uniform(0, 5)
            e = 1 if bits else 0
            left = max(bits - 1, 0)
            while left > 0:
                group = min(left, 15)
                e = e << group | decoder.uniform(0, group)
                left -= group
            residual = (e >> 1) + minimum + len(frequencies) - 1 if e % 2 == 0 else minimum - 1 - (e >> 1)
            how = f'{symbol}, the escape; then e = {e} of {bits} bits'
        value = (mean + residual + 2**15) % 2**16 - 2**15
        residuals[channel], values[channel], last = residual, value, channel
        context = f'level {level}' + (f', phase {phase}, mean {mean}' if c.mean else '')
        rows.append((0, f'channel {channel}, {context}', slot, f'{how}: residual {residual}, value {value}'))
    if decoder.states != [2**16] * 4 or decoder.used != len(decoder.words):
        raise ValueError(f'states {decoder.states}, {decoder.used} of {len(decoder.words)} words used: not read as it was written')
    return rows, [values[i] for i in range(len(p.order))]


# ---- The page ---------------------------------------------------------------------------------------------------------

def page():
    data, model = FILE.read_bytes(), MODEL.read_bytes()
    r = Reader(data)
    start = r.at
    if r.take(3) != b'SCI':
        raise ValueError('not a bitstream')
    r.note(start, 'magic', '“SCI”')
    flags = r.number('B', 'flags', lambda v: f'{v:08b} in binary: version {v & 7}, entropy kind {v >> 3 & 3} ({KINDS[v >> 3 & 3]}), pixel format '
                     f'{v >> 5 & 3} ({FORMATS[v >> 5 & 3]}), {"boxes" if v >> 7 else "no boxes"}')
    if flags & 7 != 2 or flags >> 7:
        raise ValueError('the example is a file of format 2 without boxes')
    named = r.number('I', 'model', lambda v: f'{v:08x}, the upper half of the model id')
    position = r.varint('position', lambda v: f'{v} = 32 · {v >> 5} + {v & 31}: rate point {v >> 5}' + (f' and {v & 31}/32' if v & 31 else ''))
    r.varint('width', lambda v: f'{v}')
    r.varint('height', lambda v: f'{v}')
    if named != model_id(model) >> 32:
        raise ValueError('the file names another model')
    payload = data[r.at:-4]
    for lane in range(4):
        r.number('I', f'state of lane {lane}', lambda v: f'{v}')
    while r.at < len(data) - 4:
        r.number('H', f'word {(r.at - len(data) + 4 + len(payload) - 16) // 2}', lambda v: f'{v}')
    checksum = r.number('I', 'CRC-32C', lambda v: f'{v:08x}, of the {len(data) - 4} bytes before')
    if checksum != crc32c(data[:-4]):
        raise ValueError('wrong CRC')
    rows, values = symbols(payload, *entropy_model(model, flags >> 3 & 3, position >> 5))
    out = ['# Example: a small file, byte by byte', '',
           'Written by `make docs` (`scripts/format_example.py`), which reads the golden file by [bitstream.md](bitstream.md) and [model.md](model.md) alone;',
           '`make lint` fails if this page is not what it reads.', '', '## The bitstream', '',
           f'`Fixtures/golden/{FILE.name}`, {len(data)} bytes: a picture of one pixel.', ''] + table(r.lines)
    out += ['', '## The symbols of its payload', '',
            'The picture is padded to the coarsest resolution of the model\'s graphs, so that the latent has one sample a channel. First comes a flag, whether the picture is filtered, then the activation flags of',
            f'all {len(values)} channels in coding order, on lanes 0 to 3 in turn, then the samples of active channels, all on lane 0, since each is row 0.', '',
            '| lane | what | slot | symbol |', '|---|---|---|---|']
    out += [f'| {lane} | {what} | {slot} | {how} |' for lane, what, slot, how in rows]
    out += ['', f'Then all four states are 65536 and all words are used, as they must. The latent: {", ".join(map(str, values))}.', '']
    return '\n'.join(out + model_page(model)) + '\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--write', type=Path, metavar='PAGE')
    parser.add_argument('--check', type=Path, metavar='PAGE')
    arguments = parser.parse_args()
    try:
        text = page()
    except (ValueError, IndexError, struct.error) as error:
        print(f'format_example.py: {error}')
        return 1
    if arguments.write:
        arguments.write.write_text(text, encoding='utf-8')
    elif arguments.check and (not arguments.check.exists() or arguments.check.read_text(encoding='utf-8') != text):
        print(f'{arguments.check} is not what the golden file says: make docs')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
