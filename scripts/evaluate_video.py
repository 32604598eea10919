#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""BD-rate of whole clips: real files, decoded again by a second process.

evaluate_video.py TOOL ANCHORS.csv CLIP.y4m… [--qualities 0,14.3,…] [--options "--rdoq quick"] [--csv OUT] [--reference "x264 medium"]

A clip is encoded at each quality and decoded; PSNR of YUV is (6 Y + U + V) / 8 in dB, the mean over frames, bits are those of the file. Rates of inter
frames alone leave out the first frame's packet. ANCHORS has rows of clip, codec, preset, qp, frames, bpp, psnr_y, psnr_yuv, inter_bpp, inter_psnr_y,
inter_psnr_yuv. Needs NumPy and SciPy.
"""
import argparse
import csv
import os
import shlex
import subprocess
import sys
import tempfile
import time

import numpy as np
from scipy.interpolate import PchipInterpolator


def read_y4m(path):
    """uint8 frames as (luma, u, v) of a 4:2:0 file."""
    data = open(path, 'rb').read()
    end = data.index(b'\n')
    fields = {w[:1]: w[1:] for w in data[:end].split()[1:]}
    width, height = int(fields[b'W']), int(fields[b'H'])
    cw, ch = (width + 1) // 2, (height + 1) // 2
    at, frames = end + 1, []
    while at < len(data):
        at = data.index(b'\n', at) + 1
        size = width * height + 2 * cw * ch
        a = np.frombuffer(data, np.uint8, size, at)
        at += size
        frames.append((a[:width * height], a[width * height:width * height + cw * ch], a[width * height + cw * ch:]))
    return width, height, frames


def psnrs(a, b):
    mse = [np.mean((x.astype(np.int32) - y) ** 2) for x, y in zip(a, b)]
    y, u, v = (10 * np.log10(65025 / max(m, 1e-3)) for m in mse)
    return y, (6 * y + u + v) / 8


def first_packet(stream):
    """Bytes of a stream up to the end of its first frame."""
    data = open(stream, 'rb').read()
    at = data.index(b'INTR')
    size, shift, p = 0, 0, at + 4
    while True:
        size |= (data[p] & 127) << shift
        shift += 7
        p += 1
        if data[p - 1] < 128:
            return p + size + 4


def bd_rate(reference, curve):
    """Per cent of bits for the same PSNR, over the common range; curves are [(bpp, dB)]."""
    curves = [sorted(c, key=lambda p: p[1]) for c in (reference, curve)]
    low, high = max(c[0][1] for c in curves), min(c[-1][1] for c in curves)
    x = np.linspace(low, high, 400)
    logs = []
    for c in curves:
        rates = {}
        for r, d in c:
            rates[d] = np.log(r)
        logs.append(PchipInterpolator(sorted(rates), [rates[d] for d in sorted(rates)])(x))
    return 100 * (np.exp(np.mean(logs[1] - logs[0])) - 1) if high > low else float('nan')


def main():
    a = argparse.ArgumentParser()
    a.add_argument('tool')
    a.add_argument('anchors')
    a.add_argument('clips', nargs='+')
    a.add_argument('--qualities', default='0,14.286,28.571,42.857,57.143,71.429')
    a.add_argument('--options', default='')
    a.add_argument('--csv')
    a.add_argument('--reference', default='x264 medium')
    a.add_argument('--page', help='write the table as a page of docs/benchmarks')
    o = a.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        stream, decoded = os.path.join(folder, 'a.scv'), os.path.join(folder, 'a.y4m')
        for clip in o.clips:
            width, height, frames = read_y4m(clip)
            for q in o.qualities.split(','):
                start = time.time()
                subprocess.run([o.tool, 'encode', clip, stream, '-q', q, *shlex.split(o.options)], check=True, stdout=subprocess.DEVNULL)
                encoding = time.time() - start
                start = time.time()
                subprocess.run([o.tool, 'decode', stream, decoded], check=True, stdout=subprocess.DEVNULL)
                decoding = time.time() - start
                found = read_y4m(decoded)[2]
                assert len(found) == len(frames), 'frames are missing'
                d = np.array([psnrs(x, y) for x, y in zip(frames, found)])
                pixels, size, first = width * height, os.path.getsize(stream), first_packet(stream)
                rows.append(dict(
                    clip=os.path.splitext(os.path.basename(clip))[0], codec='SwiftCodec', preset=o.options or 'default', qp=q, frames=len(frames),
                    bpp=8 * size / pixels / len(frames), psnr_y=d[:, 0].mean(), psnr_yuv=d[:, 1].mean(),
                    inter_bpp=8 * (size - first) / pixels / (len(frames) - 1), inter_psnr_y=d[1:, 0].mean(), inter_psnr_yuv=d[1:, 1].mean(),
                    encode_s=encoding, decode_s=decoding))
            print(clip, *(f"{r['bpp']:.4f}/{r['psnr_yuv']:.2f}" for r in rows if r['clip'] in clip), flush=True)
    if o.csv:
        with open(o.csv, 'w', newline='') as f:
            w = csv.DictWriter(f, rows[0])
            w.writeheader()
            w.writerows(rows)
    anchors = {}
    for r in csv.DictReader(open(o.anchors)):
        name = r['codec'].replace('lib', '') + ' ' + r['preset']
        anchors.setdefault((name, r['clip']), []).append(r)
    clips = list(dict.fromkeys(r['clip'] for r in rows))
    names = ['SwiftCodec'] + [n for n in dict.fromkeys(k[0] for k in anchors) if n != o.reference]
    lines = [f'BD-rate of YUV PSNR, (6 Y + U + V) / 8 in dB, against {o.reference}, per cent, whole clips with one intra frame.', '',
             '| | mean | ' + ' | '.join(clips) + ' |', '|' + '---|' * (len(clips) + 2)]
    for part, label in (('', 'all frames'), ('inter_', 'inter frames')):
        def curve(rows):
            return [(float(r[part + 'bpp']), float(r[part + 'psnr_yuv'])) for r in rows]
        for name in names:
            values = []
            for c in clips:
                mine = [r for r in rows if r['clip'] == c] if name == 'SwiftCodec' else anchors.get((name, c), [])
                values.append(bd_rate(curve(anchors[o.reference, c]), curve(mine)) if mine else float('nan'))
            lines.append(f'| {name}, {label} | {np.nanmean(values):+.1f} | ' + ' | '.join(f'{v:+.1f}' for v in values) + ' |')
    print('\n' + '\n'.join(lines))
    if o.page:
        commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True).stdout.strip()
        head = ['# Video', '', f'Written by `scripts/evaluate_video.py`, commit {commit}: real files, decoded again by a second process; options: {o.options or "none"}.',
                'x264 and x265 without delay, one intra frame, tuned for PSNR: `data/video-anchors.csv`.', '']
        with open(o.page, 'w') as f:
            f.write('\n'.join(head + lines) + '\n')


if __name__ == '__main__':
    sys.exit(main())
