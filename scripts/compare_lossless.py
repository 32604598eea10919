#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Any picture at any quality, measured: lossless, bounded errors, and the scale of qualities on pictures unlike photographs.

compare_lossless.py TOOL NAME=FOLDER… [--csv FILE] [--page FILE.md] [--parts lossless,near,layer,scale,speed] [--limit N] [--note TEXT]

  lossless  ours by effort, PNG, WebP and JPEG XL on kodak, screens, pngsuite: bits a pixel, and seconds both ways; every picture
            must come back bit for bit
  near      --max-error, near-lossless WebP and JPEG-LS on kodak, screens: bits a pixel and the largest error
  layer     PSNR and bits of unusual, pngsuite at qualities 50, 90 and 100, and by the networks alone
  scale     all sets but screens at qualities 0, 5, … 100: where a higher one has a lower PSNR
  speed     the residual layer on one thread, of a picture of kodak and of screens, by `TOOL bench --layer`

Sets are folders of pictures: kodak; screens, as Training/render_screens.py draws them; pngsuite; unusual, which this script draws
itself if no folder is named; any other is part of scale alone. What is coded is each picture's 8-bit samples, without metadata.
Seconds are the processor's: of whole processes, and of calls for PNG and JPEG-LS, which are libraries (oxipng or else Pillow,
imagecodecs). --csv keeps a line a file: what stands there is not run again, but for ours when the sources or the model are
others. Needs NumPy and Pillow; cwebp, cjxl, oxipng and imagecodecs as wanted.
"""
import argparse
import collections
import csv
import hashlib
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import of_model, origin, run
from compare import ENDINGS, cpu

try:
    import oxipng
except ImportError:
    oxipng = None
try:
    import imagecodecs
except ImportError:
    imagecodecs = None

FIELDS = ['part', 'set', 'codec', 'setting', 'picture', 'width', 'height', 'bytes', 'psnr', 'largest', 'encode_s', 'decode_s', 'version']
PARTS = ['lossless', 'near', 'layer', 'scale', 'speed']
EFFORTS, ERRORS, QUALITIES = [0, 3, 7], [1, 2, 4], [50, 90, 100]
SCALE = range(0, 101, 5)
LABELS = {'png': f'PNG, {"oxipng level 2" if oxipng else "Pillow, optimised"}', 'webp': 'WebP', 'webp9': 'WebP -z 9', 'jxl3': 'JPEG XL, effort 3',
          'jxl7': 'JPEG XL, effort 7', **{f'ours{n}': f'SwiftCodec, effort {n}' for n in EFFORTS}}


def unusual():
    """Pictures that are not photographs, of 256×256."""
    n = 256
    y, x = np.mgrid[:n, :n]
    rng = np.random.default_rng(1)
    found = {f'checker{k}': ((x // k + y // k) & 1) * 255 for k in (1, 2, 4)}
    found |= {'columns': (x & 1) * 255, 'rows': (y & 1) * 255, 'noise_black_white': rng.integers(0, 2, (n, n)) * 255, 'noise_rgb': rng.integers(0, 256, (n, n, 3)),
              'dither': np.asarray(Image.fromarray(((x + y) // 2).astype(np.uint8)).convert('1').convert('L')),
              'red_blue': np.stack([((x + y) & 1) * 255, 0 * x, ((x + y + 1) & 1) * 255], -1)}
    for name, paper, ink in (('text_black', 'white', 'black'), ('text_red', (0, 0, 255), (255, 0, 0)), ('text_green', (255, 0, 255), (0, 255, 0))):
        page = Image.new('RGB', (n, n), paper)
        for i in range(16):
            ImageDraw.Draw(page).text((4, 16 * i), f'The quick brown fox jumps over 0123456789 {i}', fill=ink)
        found[name] = np.asarray(page)
    return {name: Image.fromarray(np.asarray(p).astype(np.uint8)) for name, p in found.items()}


def plain(image):
    """8-bit grey or RGB, with alpha if there is any, and nothing else."""
    if image.mode.startswith('I'):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode == 'P' or 'transparency' in image.info:
        image = image.convert('RGBA' if 'transparency' in image.info else 'RGB')
    return Image.fromarray(np.asarray(image.convert({'1': 'L', 'CMYK': 'RGB', 'RGBX': 'RGB'}.get(image.mode, image.mode))))


def timed(function):
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


class Bench:
    """A tool, a folder to work in, and the rows that there are."""

    def __init__(self, o, work):
        self.o, self.work, self.stems = o, work, {}
        self.model, points = of_model(o.tool)
        self.last = 32 * (len(points) - 1)
        layer, encoder = (run('git', 'rev-parse', *(f'HEAD:Sources/{d}' for d in names)) for names in (
            ('CCodecKernels/residual', 'SwiftCodec/Residual'), ('SwiftCodec/Codec', 'SwiftCodec/Execution', 'SwiftCodec/Latent')))
        # Of files that no network has a part in, the layer's sources; of others, the encoder's and the model as well.
        self.versions = {part: hashlib.sha256(text.encode()).hexdigest()[:10] for part in PARTS
                         for text in [layer + (encoder + self.model) * (part in ('layer', 'scale'))]}
        rows = list(csv.DictReader(o.csv.open())) if o.csv and o.csv.exists() else []
        self.rows = [r for r in rows if not r['codec'].startswith('ours') or r['version'] == self.versions[r['part']]]
        self.known = {tuple(r[f] for f in FIELDS[:5]) for r in self.rows}
        self.file = None
        if o.csv:
            if len(rows) != len(self.rows) or not rows:
                with o.csv.open('w', newline='') as out:
                    writer = csv.DictWriter(out, FIELDS, lineterminator='\n')
                    writer.writeheader()
                    writer.writerows(self.rows)
            self.file = o.csv.open('a', newline='')

    def add(self, *values):
        row = dict(zip(FIELDS, (str(v) for v in values)))
        row['version'] = self.versions[row['part']] if row['codec'].startswith('ours') else ''
        self.rows.append(row)
        if self.file:
            csv.DictWriter(self.file, FIELDS, lineterminator='\n').writerow(row)
            self.file.flush()

    def has(self, *values):
        return tuple(str(v) for v in values) in self.known

    def of(self, **wanted):
        return [r for r in self.rows if all(r[k] == str(v) for k, v in wanted.items()) and r['picture'] in self.stems.get(r['set'], ())]

    # Each of these gives a file, seconds both ways, and what is decoded.

    def ours(self, options, source, ending):
        coded, decoded = self.work / 'o.sci', self.work / f'o{ending}'
        times = (cpu([self.o.tool, 'encode', '--quiet', '-j1', *options, source, coded]), cpu([self.o.tool, 'decode', '--quiet', '-j1', coded, decoded]))
        return os.path.getsize(coded), *times, Image.open(decoded)

    def webp(self, options, source, ending):
        coded, decoded = self.work / 'o.webp', self.work / f'o{ending}'
        times = (cpu(['cwebp', '-quiet', *options, source, '-o', coded]),
                 cpu(['dwebp', '-quiet', *(['-ppm'] if ending == '.ppm' else []), coded, '-o', decoded]))
        return os.path.getsize(coded), *times, Image.open(decoded)

    def jxl(self, options, source, ending):
        coded, decoded = self.work / 'o.jxl', self.work / 'o.png'
        times = (cpu(['cjxl', source, coded, '-d', '0', '--num_threads', '0', *options]), cpu(['djxl', coded, decoded, '--num_threads', '0']))
        return os.path.getsize(coded), *times, Image.open(decoded)

    def png(self, options, source, ending):
        def encode():
            if oxipng:
                return oxipng.optimize_from_memory(source.read_bytes(), level=2)
            out = io.BytesIO()
            Image.open(source).save(out, 'PNG', optimize=True)
            return out.getvalue()
        data, encoding = timed(encode)
        image, decoding = timed(lambda: plain(Image.open(io.BytesIO(data))))
        return len(data), encoding, decoding, image

    def jpegls(self, options, source, ending):
        samples = np.asarray(Image.open(source))
        data, encoding = timed(lambda: imagecodecs.jpegls_encode(samples, level=options[0]))
        back, decoding = timed(lambda: imagecodecs.jpegls_decode(data))
        return len(data), encoding, decoding, Image.fromarray(back)

    def measure(self, part, name, codec, setting, stem, source, call, options, bound):
        """A row of a file; of more than `bound` no sample may be off."""
        if self.has(part, name, codec, setting, stem):
            return
        original = Image.open(source)
        size, encoding, decoding, back = call(options, source, '.png' if 'A' in original.mode else '.ppm')
        a, b = (np.asarray(p.convert('RGBA'), int) for p in (original, back))
        largest = int(np.abs(a - b).max()) if a.shape == b.shape else 999
        if bound is not None and largest > bound:
            sys.exit(f'{codec} {setting}, {name}/{stem}: a sample is off by {largest}')
        self.add(part, name, codec, setting, stem, *original.size, size, f'{psnr(a, b):.4f}', largest, f'{encoding:.4f}', f'{decoding:.4f}')

    def lossless(self, sets):
        # What takes long comes last.
        ours = {n: (f'ours{n}', self.ours, ['--lossless', '--effort', n]) for n in EFFORTS}
        for codec, call, options in [
                ours[3], ('webp', self.webp, ['-lossless', '-exact']), ('jxl7', self.jxl, ['-e', 7]), ours[0], ('jxl3', self.jxl, ['-e', 3]), ('png', self.png, []),
                ours[7], ('webp9', self.webp, ['-z', 9, '-exact'])]:
            for name in 'kodak', 'screens', 'pngsuite':
                for stem, source in sets.get(name, []):
                    self.measure('lossless', name, codec, '', stem, source, call, options, 0)

    def near(self, sets):
        calls = [('ours', e, self.ours, ['--max-error', e], e) for e in ERRORS] + [('webp', n, self.webp, ['-near_lossless', n], None) for n in (60, 40, 20)]
        if imagecodecs:
            calls += [('jpegls', e, self.jpegls, [e], e) for e in ERRORS]
        for name in 'kodak', 'screens':
            for stem, source in sets.get(name, []):
                for codec, setting, call, options, bound in calls:
                    self.measure('near', name, codec, setting, stem, source, call, options, bound)

    def layer(self, sets):
        """Positions are those of the qualities, so that with and without are the same networks."""
        for name in 'unusual', 'pngsuite':
            for stem, source in sets.get(name, []):
                for q in QUALITIES:
                    self.measure('layer', name, 'ours', q, stem, source, self.ours, ['-q', q], None)
                    self.measure('layer', name, 'ours, networks', q, stem, source, self.ours, ['-k', round(q / 100 * self.last) / 32], None)

    def scale(self, sets):
        for name, pictures in sets.items():
            for stem, source in pictures if name != 'screens' else []:
                if self.has('scale', name, 'ours', SCALE[0], stem):
                    continue
                folder, out = self.work / 'one', self.work / 'scale.csv'
                folder.mkdir(exist_ok=True)
                link = folder / 'picture.png'
                link.unlink(missing_ok=True)
                link.symlink_to(source)
                cpu([self.o.tool, 'eval', folder, '--json', '/dev/null', '--csv', out, '--quiet', '-q', ','.join(map(str, SCALE))])
                found = list(csv.DictReader(out.open()))
                if len(found) != len(SCALE):
                    sys.exit(f'{name}/{stem}: {len(found)} qualities')
                for q, r in zip(SCALE, found):
                    self.add('scale', name, 'ours', q, stem, r['width'], r['height'], r['bytes'], min(float(r['psnr_rgb'] or 'inf'), 999), '', r['encode_seconds'],
                             r['decode_seconds'])

    def speed(self, sets):
        for name in 'kodak', 'screens':
            for stem, source in sets.get(name, [])[4:5]:
                if self.has('speed', name, 'ours', 0, stem):
                    continue
                for r in json.loads(run(self.o.tool, 'bench', '--layer', '--json', '--repeats', 7, source)):
                    width, height = Image.open(source).size
                    samples = width * height * len(Image.open(source).getbands()) / 1e6
                    self.add('speed', name, 'ours', r['effort'], stem, width, height, round(r['bpp'] * width * height / 8), '', '',
                             f'{samples / r["encode_msamples_per_second"]:.5f}', f'{samples / r["decode_msamples_per_second"]:.5f}')


def psnr(a, b):
    """Of the colours; a large number if they are equal."""
    if a.shape != b.shape:
        return 0
    error = np.mean((a[..., :3] - b[..., :3]) ** 2)
    return 10 * math.log10(65025 / error) if error else 999


def bits(rows):
    """The mean of the pictures' bits a pixel."""
    return np.mean([8 * int(r['bytes']) / (int(r['width']) * int(r['height'])) for r in rows])


def seconds(rows, key):
    return sum(float(r[key]) for r in rows) / (sum(int(r['width']) * int(r['height']) for r in rows) / 1e6)


def db(value):
    return 'exact' if value >= 999 else f'{value:.1f}'


def mean_psnr(rows):
    """Of the pictures that are not exact."""
    values = [float(r['psnr']) for r in rows if float(r['psnr']) < 999]
    return np.mean(values) if values else 999


def lossless_lines(bench, sets):
    lines = []
    for name in 'kodak', 'screens', 'pngsuite':
        of = {c: bench.of(part='lossless', set=name, codec=c) for c in LABELS}
        done = {c: rows for c, rows in of.items() if rows and len(rows) == len(sets.get(name, []))}
        if done:
            late = ', '.join(LABELS[c] for c in LABELS if c not in done)
            lines += ['', f'### {name}, {len(sets[name])} pictures', '', '| | bits a pixel | encode, s/MP | decode, s/MP |', '|---|---|---|---|']
            for c in sorted(done, key=lambda c: bits(done[c])):
                lines.append(f'| {LABELS[c]} | {bits(done[c]):.3f} | {seconds(done[c], "encode_s"):.3f} | {seconds(done[c], "decode_s"):.3f} |')
            lines += [] if not late else ['', f'Not run on all of these yet: {late}.']
    return ['## Lossless', '', 'Every file was decoded again and had every sample of the picture.'] + lines if lines else []


def near_lines(bench, sets):
    lines = []
    for name in 'kodak', 'screens':
        keys = sorted({(r['codec'], int(r['setting'])) for r in bench.of(part='near', set=name)})
        counts = collections.Counter(r['picture'] for r in bench.of(part='near', set=name))
        whole = {p for p, n in counts.items() if n == len(keys)}
        if keys:
            lines += ['', f'### {name}, {len(whole)} pictures', '', '| | largest error found | bits a pixel | PSNR, dB | encode, s/MP | decode, s/MP |',
                      '|---|---|---|---|---|---|']
        for codec, setting in keys:
            rows = [r for r in bench.of(part='near', set=name, codec=codec, setting=setting) if r['picture'] in whole]
            label = {'ours': f'SwiftCodec --max-error {setting}', 'webp': f'WebP -near_lossless {setting}', 'jpegls': f'JPEG-LS, error {setting}'}[codec]
            lines.append(f'| {label} | {max(int(r["largest"]) for r in rows)} | {bits(rows):.3f} | {db(mean_psnr(rows))} | '
                         f'{seconds(rows, "encode_s"):.3f} | {seconds(rows, "decode_s"):.3f} |')
    return ['## Bounded errors', '', 'PSNR is the mean of the pictures that are not exact. JPEG-LS has no colour transform.'] + lines if lines else []


def layer_lines(bench, sets):
    lines = []
    for name in 'unusual', 'pngsuite':
        with_, without = (collections.defaultdict(dict) for _ in range(2))
        for codec, into in (('ours', with_), ('ours, networks', without)):
            for r in bench.of(part='layer', set=name, codec=codec):
                into[r['picture']][int(r['setting'])] = r
        if not with_:
            continue
        least = min(float(with_[p][100]['psnr']) for p in with_)
        lines += ['', f'### {name}', '', f'The least PSNR at quality 100: {db(least)}; {sum(float(without[p][100]["psnr"]) < 38 for p in without)} of {len(without)} have '
                  'less than 38 dB there by the networks alone.', '', '| | ' + ' | '.join(f'{q}: dB, bits | networks' for q in QUALITIES) + ' |', '|---' * (1 + 2 * len(QUALITIES)) + '|']
        for p in with_:
            cells = [f'{db(float(rows[p][q]["psnr"]))}, {bits([rows[p][q]]):.3f}' for q in QUALITIES for rows in (with_, without)]
            lines.append(f'| {p} | ' + ' | '.join(cells) + ' |')
    return ['## Pictures unlike photographs', '', 'PSNR and bits a pixel of whole files at three qualities, and by the networks alone.'] + lines if lines else []


def scale_lines(bench, sets):
    lines = ['## Qualities', '', f'PSNR at qualities {SCALE[0]}, {SCALE[1]}, … {SCALE[-1]}: pictures where a higher one has less than a lower one, and by how much at most.', '',
             '| | pictures | with a lower PSNR at a higher quality | by at most, dB | least PSNR at 100 |', '|---|---|---|---|---|']
    total = 0
    for name in sets:
        curves = collections.defaultdict(dict)
        for r in bench.of(part='scale', set=name):
            curves[r['picture']][int(r['setting'])] = float(r['psnr'])
        if not curves:
            continue
        falls = []
        for curve in curves.values():
            values = [curve[q] for q in SCALE]
            falls.append(max(max(values[:i]) - values[i] for i in range(1, len(values))))
        total += len(curves)
        lines.append(f'| {name} | {len(curves)} | {sum(f > 0 for f in falls)} | {max(0, *falls):.3f} | {db(min(c[SCALE[-1]] for c in curves.values()))} |')
    return lines if total else []


def speed_lines(bench):
    rows = bench.of(part='speed')
    lines = ['## Speed of the layer', '', 'Lossless, one thread, best of seven, without the tool\'s start and files: `codec-bench bench --layer PICTURE`. '
             'Efforts 0, 1, 2 are those of `--effort` 0, 3, 7.', '', '| | effort | bits a pixel | encode, Msamples/s | decode, Msamples/s |', '|---|---|---|---|---|']
    for r in rows:
        samples = 3 * int(r['width']) * int(r['height']) / 1e6
        lines.append(f'| {r["set"]}, {r["picture"]} | {r["setting"]} | {bits([r]):.3f} | {samples / float(r["encode_s"]):.2f} | {samples / float(r["decode_s"]):.1f} |')
    return lines if rows else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tool', type=Path)
    parser.add_argument('sets', nargs='+', metavar='NAME=FOLDER')
    parser.add_argument('--parts', default=','.join(PARTS), type=lambda s: s.split(','))
    parser.add_argument('--limit', type=int, help='pictures of each set')
    parser.add_argument('--note', default='', help='what else a reader must know, such as: beside other work')
    parser.add_argument('--csv', type=Path)
    parser.add_argument('--page', type=Path)
    o = parser.parse_args()
    o.tool = o.tool.resolve()
    with tempfile.TemporaryDirectory() as work:
        work, sets = Path(work), {}
        named = [(n, sorted(p for p in Path(f).iterdir() if p.suffix.lower() in ENDINGS)) for n, f in (s.split('=', 1) for s in o.sets if not s.endswith('='))]
        images = {name: [(p.stem, p) for p in paths][:o.limit] for name, paths in named}
        images.setdefault('unusual', list(unusual().items())[:o.limit])
        for name, pictures in images.items():
            (work / name).mkdir()
            sets[name] = []
            for stem, image in pictures:
                path = work / name / f'{stem}.png'
                plain(Image.open(image) if isinstance(image, Path) else image).save(path, compress_level=1)
                sets[name].append((stem, path))
        bench = Bench(o, work)
        bench.stems = {name: {stem for stem, _ in pictures} for name, pictures in sets.items()}
        for part in PARTS:
            if part in o.parts:
                getattr(bench, part)(sets)
                print(f'compare_lossless.py: {part}: done', file=sys.stderr)
        made = origin('', bench.model, '', 1)
        lines = ['# Any picture at any quality', '', 'Written by `make compare-lossless` (`scripts/compare_lossless.py`), real files, decoded again. Seconds are the '
                 'processor\'s, of whole processes on one thread for ours, WebP and JPEG XL, of calls of libraries for PNG and JPEG-LS. '
                 f'Commit {made["commit"]}, model {bench.model}, {made["processor"]}, {made["date"]}{", " + o.note if o.note else ""}.']
        for part in lossless_lines(bench, sets), near_lines(bench, sets), layer_lines(bench, sets), scale_lines(bench, sets), speed_lines(bench):
            lines += [''] * bool(part) + part
        print('\n'.join(lines))
        if o.page:
            o.page.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
