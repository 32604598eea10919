#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times decoders on the same pictures, in turns.

compare_decoding.py TOOL FOLDER --page FILE.md [--limit N] [--repeats N]

Ours at rate points 0, 4 and 7, AVIF by dav1d and JPEG XL by djxl at about those rates. Times are of whole processes that read a file and write RGB,
by the clock, on one thread and on two: the median of the repeats, which take turns. TOOL is codec-bench; needs avifenc, avifdec, cjxl, djxl and Pillow.
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

POINTS = 0, 4, 7
THREADS = 1, 2


def run(*command):
    start = time.monotonic()
    process = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if process.returncode:
        sys.exit(f'{" ".join(map(str, command))}: {process.stderr.decode(errors="replace")[-400:]}')
    return time.monotonic() - start


def decoders(tool):
    """By name: how to encode at a point, and how to decode on some threads."""
    quantisers, distances = dict(zip(POINTS, (56, 32, 13))), dict(zip(POINTS, (8, 2, .6)))

    def encode_avif(point, source, coded):
        q = quantisers[point]
        run('avifenc', '-s', 6, '-y', '444', '-j', 2, '--min', q, '--max', q, '-a', 'end-usage=q', '-a', f'cq-level={q}', '-a', 'tune=psnr', source, coded)
    return {
        'SwiftCodec': ('sci', lambda point, source, coded: run(tool, 'encode', '--quiet', '-k', point, source, coded),
                       lambda threads, coded, work: run(tool, 'decode', '--quiet', '-j', threads, coded, work / 'o.ppm')),
        'AVIF, dav1d': ('avif', encode_avif, lambda threads, coded, work: run(
            'avifdec', '-c', 'dav1d', '-j', threads, '--png-compress', 0, coded, work / 'o.png')),
        # Without threads of its own on one.
        'JPEG XL, djxl': ('jxl', lambda point, source, coded: run('cjxl', source, coded, '-d', distances[point], '-e', 7), lambda threads, coded, work: run(
            'djxl', coded, work / 'o.ppm', '--num_threads', 0 if threads == 1 else threads)),
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
    known = decoders(o.tool)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        files = {}
        for name, (ending, encode, _) in known.items():
            for point in POINTS:
                for picture in pictures:
                    coded = files[name, point, picture] = work / f'{len(files)}.{ending}'
                    encode(point, picture, coded)
        times = {}
        for _ in range(o.repeats):
            for point in POINTS:
                for picture in pictures:
                    for threads in THREADS:
                        for name, (_, _, decode) in known.items():
                            times.setdefault((name, point, threads, picture), []).append(decode(threads, files[name, point, picture], work))
        lines = ['# Decoding beside other codecs', '', 'Written by `scripts/compare_decoding.py`. ' + __doc__.strip().split('\n\n')[2].rsplit(' TOOL is', 1)[0].replace('\n', ' '), '',
                 measured_with(origin('scripts/compare_decoding.py', of_model(o.tool)[0], '', max(THREADS))), '',
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
