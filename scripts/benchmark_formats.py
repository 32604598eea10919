#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Bytes and PSNR of pictures coded as YUV 4:2:0 and as grey beside RGB, a table by rate point.

benchmark_formats.py TOOL FOLDER_OF_PNG OUT.md [NOTE]. 4:2:0 is BT.709, limited range, chroma averaged; files are real, and decoded again. Times are
processor seconds. Needs NumPy, SciPy and Pillow.
"""
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import of_model, origin
from compare import cpu

KR, KB = 0.2126, 0.0722


def planes_420(rgb):
    r, g, b = (rgb[..., c] / 255.0 for c in range(3))
    y = KR * r + (1 - KR - KB) * g + KB * b
    chroma = [(b - y) / (2 * (1 - KB)), (r - y) / (2 * (1 - KR))]
    halves = [c.reshape(c.shape[0] // 2, 2, c.shape[1] // 2, 2).mean((1, 3)) for c in chroma]
    return [np.clip(np.round(p), 0, 255).astype(np.uint8) for p in (16 + 219 * y, *(128 + 224 * c for c in halves))]


def psnr(a, b):
    return 10 * np.log10(65025 / max(1e-3, np.mean((a.astype(int) - b) ** 2)))


def main():
    tool, folder, out = os.path.abspath(sys.argv[1]), *sys.argv[2:4]
    files = sorted(Path(folder).glob('*.png'))
    points = 8
    sums = {f: np.zeros((points, 7)) for f in ('rgb', 'yuv420', 'grey')}     # bytes, encode s, decode s, 4 × dB
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for file in files:
            rgb = np.asarray(Image.open(file).convert('RGB'))
            height, width = (n // 2 * 2 for n in rgb.shape[:2])
            rgb = rgb[:height, :width]
            y, u, v = planes_420(rgb)
            grey = np.asarray(Image.fromarray(rgb).convert('L'))
            Image.fromarray(rgb).save(work / 'rgb.ppm')
            Image.fromarray(grey).save(work / 'grey.pgm')
            header = f'YUV4MPEG2 W{width} H{height} F25:1 C420jpeg\nFRAME\n'.encode()
            (work / 'yuv420.y4m').write_bytes(header + y.tobytes() + u.tobytes() + v.tobytes())
            for name, ending in (('rgb', 'ppm'), ('yuv420', 'y4m'), ('grey', 'pgm')):
                for k in range(points):
                    stream, back = work / 'a.sci', work / f'back.{ending}'
                    encoding = cpu([tool, 'encode', '--quiet', '-k', k, '-j', 1, work / f'{name}.{ending}', stream])
                    decoding = cpu([tool, 'decode', '--quiet', '-j', 1, stream, back])
                    data = np.frombuffer(back.read_bytes(), np.uint8)
                    if name == 'yuv420':
                        data, at, dbs = data[-(width * height * 3 // 2):], 0, []
                        for plane in (y, u, v):
                            dbs.append(psnr(plane.ravel(), data[at:at + plane.size]))
                            at += plane.size
                        dbs.append(0.0)
                    else:
                        plane = rgb if name == 'rgb' else grey
                        dbs = [psnr(plane.ravel(), data[-plane.size:]), 0, 0, 0]
                    sums[name][k] += [os.path.getsize(stream), encoding, decoding, *dbs]
    n = len(files)
    made = origin('', of_model(tool)[0], '', 1)
    lines = [f'# Pixel formats\n\nWritten by `scripts/benchmark_formats.py`: {n} pictures, real files, processor time of whole processes on one thread, no search. '
             f'Commit {made["commit"]}, model {made["model"]}, {made["processor"]}, {made["date"]}{", " + " ".join(sys.argv[4:]) if sys.argv[4:] else ""}.\n',
             '| rate point | 4:2:0 bytes | Y dB | U dB | V dB | grey bytes | grey dB | RGB dB |', '|---|---|---|---|---|---|---|---|']
    r, c, g = sums['rgb'], sums['yuv420'], sums['grey']
    for k in range(points):
        lines.append(f'| {k} | {100 * (c[k, 0] / r[k, 0] - 1):+.2f} % | ' + ' | '.join(f'{c[k, i] / n:.2f}' for i in (3, 4, 5))
                     + f' | {100 * (g[k, 0] / r[k, 0] - 1):+.2f} % | {g[k, 3] / n:.2f} | {r[k, 3] / n:.2f} |')
    lines.append('\nTime over that of RGB, all rate points: '
                 + ', '.join(f'{label} encode {100 * (s[:, 1].sum() / r[:, 1].sum() - 1):+.0f} %, decode {100 * (s[:, 2].sum() / r[:, 2].sum() - 1):+.0f} %'
                             for label, s in (('4:2:0', c), ('grey', g))) + '.')
    Path(out).write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
