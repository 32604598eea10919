#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times decoders on the same pictures, in turns.

compare_decoding.py TOOL FOLDER --page FILE.md [--limit N] [--repeats N]

Ours at rate points 0, 4 and 7, AVIF by dav1d and JPEG XL by djxl at about those rates. Times are of whole processes that read a file and write RGB,
by the clock, on one thread and on two: the median of the repeats, which take turns. Each gives the same picture every time.
TOOL is codec-bench; needs avifenc, avifdec, cjxl, djxl, and what compare.py needs.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks import measured_with, of_model, origin
from compare import avif, jxl, ours

POINTS = 0, 4, 7
THREADS = 1, 2


def timed(*command):
    """Seconds of a process by the clock."""
    start = time.monotonic()
    process = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if process.returncode:
        sys.exit(f'{" ".join(map(str, command))}: {process.stderr.decode(errors="replace")[-400:]}')
    return time.monotonic() - start


def decoders(tool, model):
    """By name: how compare.py encodes and decodes it, and the command that decodes on some threads."""
    return {
        'SwiftCodec': (ours(tool, 0, False, model), lambda threads, coded, decoded: [tool, 'decode', '--quiet', '-j', threads, coded, decoded]),
        'AVIF, dav1d': (avif(6, False), lambda threads, coded, decoded: ['avifdec', '-c', 'dav1d', '-j', threads, '--png-compress', 0, coded, decoded]),
        # 0 is none beside the one that there is.
        'JPEG XL, djxl': (jxl(7), lambda threads, coded, decoded: ['djxl', coded, decoded, '--num_threads', 0 if threads == 1 else threads]),
    }


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('tool')
    a.add_argument('folder', type=Path)
    a.add_argument('--page', type=Path, required=True)
    a.add_argument('--limit', type=int, default=3, help='of pictures, the largest')
    a.add_argument('--repeats', type=int, default=7)
    o = a.parse_args()

    def pixels(path):
        with Image.open(path) as picture:
            return picture.width * picture.height
    pictures = sorted(o.folder.glob('*.png'), key=lambda path: (-pixels(path), path.name))[:o.limit]
    megapixels = sum(map(pixels, pictures)) / 1e6
    model = of_model(o.tool)[0]
    known = decoders(o.tool, model)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        files, expected, times = {}, {}, {}
        for name, (codec, _) in known.items():
            for point in POINTS:
                for picture in pictures:
                    coded, decoded, _ = codec.run(codec.settings[point], picture, work)
                    key = name, point, picture
                    files[key] = coded.rename(work / f'{len(files)}{coded.suffix}')
                    expected[key] = decoded.suffix, decoded.read_bytes()
        for _ in range(o.repeats):
            for point in POINTS:
                for picture in pictures:
                    for threads in THREADS:
                        for name, (_, command) in known.items():
                            suffix, content = expected[name, point, picture]
                            decoded = work / f'decoded{suffix}'
                            seconds = timed(*command(threads, files[name, point, picture], decoded))
                            if decoded.read_bytes() != content:
                                sys.exit(f'{name}, {picture.name}: another picture on {threads} threads')
                            times.setdefault((name, point, threads, picture), []).append(seconds)
        lines = ['# Decoding beside other codecs', '', 'Written by `scripts/compare_decoding.py`. ' + __doc__.strip().split('\n\n')[2].rsplit('\nTOOL is', 1)[0].replace('\n', ' '), '',
                 measured_with(origin('scripts/compare_decoding.py', model, '', max(THREADS))), '',
                 f'Pictures: {", ".join(p.name for p in pictures)}, {megapixels:.1f} megapixels together. Milliseconds a megapixel.', '',
                 '| | bit/pixel | one thread | two threads |', '|---|--:|--:|--:|']
        for point in POINTS:
            for name in known:
                size = sum(files[name, point, p].stat().st_size for p in pictures)
                cells = [sum(statistics.median(times[name, point, threads, p]) for p in pictures) / megapixels * 1e3 for threads in THREADS]
                lines.append(f'| {name}{f", rate point {point}" if name == "SwiftCodec" else ""} | {8 * size / megapixels / 1e6:.2f} | '
                             + ' | '.join(f'{c:.0f}' for c in cells) + ' |')
    o.page.write_text('\n'.join(lines) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
