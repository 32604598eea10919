#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""BD-rate of whole clips: real files, decoded again by a second process.

evaluate_video.py TOOL ANCHORS.csv CLIP.y4m… [--qualities 0,14.3,…] [--options "--rdoq quick"] [--csv OUT] [--reference "x264 medium"]
                  [--history MINUTES:COMMIT_OR_FILE,…] [--presets "x264 medium,x265 veryfast"] [--metric psnr_yuv|psnr_y|ms_ssim_y|vmaf]

--history is a curve over training: how long the inter networks had been trained in the commits whose inter model is measured beside the present one, with
today's encoder and decoder.

With --presets ffmpeg's x264 and x265 run on the same clips (without delay, one intra frame, tuned for PSNR, one thread) and are compared
with; ANCHORS is then read for other codecs alone, and may be "-". MS-SSIM of Y is 10 log10(1 / (1 − x)) in dB (Wang et al. 2003, five scales);
VMAF is there where ffmpeg has libvmaf. Times are wall clock of ours and of theirs alike.

A clip is encoded at each quality and decoded; PSNR of YUV is (6 Y + U + V) / 8 in dB, the mean over frames, bits are those of all packets of frames: the
heads of files are left out of ours and of theirs. Rates of inter frames alone leave out the first packet. ANCHORS has rows of clip, codec, preset, qp, frames,
bpp, psnr_y, psnr_yuv, inter_bpp, inter_psnr_y, inter_psnr_yuv. Needs NumPy and SciPy.
"""
import argparse
import csv
import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import convolve1d


METRICS = {'psnr_yuv': 'YUV PSNR, (6 Y + U + V) / 8 in dB,', 'psnr_y': 'Y PSNR', 'ms_ssim_y': 'MS-SSIM of Y in dB', 'vmaf': 'VMAF'}


# No delay, one intra frame, nothing for the eye at the expense of PSNR.
PARAMETERS = {
    'x264': 'keyint=9999:scenecut=0:bframes=0:rc-lookahead=0:sync-lookahead=0:psy=0:aq-mode=0:mbtree=0:threads=1',
    'x265': 'keyint=9999:scenecut=0:bframes=0:rc-lookahead=0:psy-rd=0:psy-rdoq=0:aq-mode=0:cutree=0:pools=none:frame-threads=1:wpp=0:log-level=error',
}


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


def ms_ssim(a, b):
    """Of two planes in 0…255; a scale that is too small for the window ends it, and the weights of the others count."""
    window = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5 ** 2))
    window /= window.sum()
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]

    def blur(x):
        return convolve1d(convolve1d(x, window, 0), window, 1)[5:-5, 5:-5]
    a, b, product, used = a.astype(float), b.astype(float), 1.0, []
    for scale, weight in enumerate(weights):
        if min(a.shape) < 12:
            break
        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
        contrast = (2 * cov + 58.5225) / (va + vb + 58.5225)
        luminance = (2 * ma * mb + 6.5025) / (ma * ma + mb * mb + 6.5025)
        last = scale == len(weights) - 1 or min(a.shape) < 24
        used.append((max(1e-9, np.mean(contrast * luminance if last else contrast)), weight))
        if last:
            break
        a, b = (x[:x.shape[0] // 2 * 2, :x.shape[1] // 2 * 2].reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean((1, 3)) for x in (a, b))
    total = sum(w for _, w in used)
    for value, weight in used:
        product *= value ** (weight / total)
    return product


def has_vmaf():
    try:
        return 'libvmaf' in subprocess.run(['ffmpeg', '-hide_banner', '-filters'], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return False


def vmaf(reference, decoded, folder):
    """The mean over frames."""
    log = os.path.join(folder, 'vmaf.json')
    subprocess.run(['ffmpeg', '-v', 'error', '-y', '-i', decoded, '-i', reference, '-lavfi', f'libvmaf=log_fmt=json:log_path={log}', '-f', 'null', '-'],
                   check=True)
    with open(log) as f:
        return json.load(f)['pooled_metrics']['vmaf']['mean']


def packets(stream):
    """Bytes of each packet with a frame of one of our streams, and where the last of them ends (docs/format/bitstream.md §6)."""
    data = open(stream, 'rb').read()
    at, sizes = data.index(b'INTR'), []
    while at < len(data) and (data[at] >= 128 or data[at:at + 4] == b'INTR'):
        size, shift, p = 0, 0, at + (1 if data[at] >= 128 else 4)
        while True:
            size |= (data[p] & 127) << shift
            shift, p = shift + 7, p + 1
            if data[p - 1] < 128:
                break
        end = p + size + (2 if data[at] >= 192 else 4)
        sizes.append(end - at)
        at = end
    return sizes, at


def ffmpeg_packets(coded):
    """Bytes of each packet of a file that ffmpeg wrote, without the container and what stands in its head."""
    text = subprocess.run(['ffprobe', '-v', 'error', '-select_streams', 'v', '-show_entries', 'packet=size', '-of', 'csv=p=0', coded],
                          check=True, capture_output=True, text=True).stdout
    return [int(x) for x in text.replace(',', ' ').split()]


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
    a.add_argument('--history', default='', help='such as 55:86745f2,161:e356ccf: minutes of training, and the commit of the inter model')
    a.add_argument('--presets', default='', help='such as "x264 medium,x265 veryfast": run on the same clips')
    a.add_argument('--metric', default='psnr_yuv', choices=['psnr_yuv', 'psnr_y', 'ms_ssim_y', 'vmaf'])
    a.add_argument('--reference', default='x264 medium')
    a.add_argument('--page', help='write the table as a page of docs/benchmarks')
    o = a.parse_args()
    rows, measures_vmaf = [], has_vmaf()

    def measure(clip, name, preset, setting, encode, decode, sizes, decoded, source):
        """One row: encodes, decodes, compares."""
        start = time.time()
        encode()
        encoding = time.time() - start
        start = time.time()
        decode()
        decoding = time.time() - start
        width, height, frames = source
        found = read_y4m(decoded)[2]
        assert len(found) == len(frames), 'frames are missing'
        d = np.array([psnrs(x, y) for x, y in zip(frames, found)])
        luma = [ms_ssim(x[0].reshape(height, width), y[0].reshape(height, width)) for x, y in zip(frames, found)]
        pixels, sizes = width * height, sizes()
        assert len(sizes) == len(frames), 'packets are missing'
        rows.append(dict(
            clip=os.path.splitext(os.path.basename(clip))[0], codec=name, preset=preset, qp=setting, frames=len(frames),
            bpp=8 * np.mean(sizes) / pixels, psnr_y=d[:, 0].mean(), psnr_yuv=d[:, 1].mean(),
            ms_ssim_y=-10 * np.log10(max(1e-9, 1 - np.mean(luma))), vmaf=vmaf(clip, decoded, folder) if measures_vmaf else '',
            inter_bpp=8 * np.mean(sizes[1:]) / pixels, inter_psnr_y=d[1:, 0].mean(), inter_psnr_yuv=d[1:, 1].mean(),
            inter_ms_ssim_y=-10 * np.log10(max(1e-9, 1 - np.mean(luma[1:]))), inter_vmaf='', encode_s=encoding, decode_s=decoding))

    def run(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    quiet = ['ffmpeg', '-v', 'error', '-y', '-threads', '1']
    with tempfile.TemporaryDirectory() as folder:
        stream, decoded = os.path.join(folder, 'a.scv'), os.path.join(folder, 'a.y4m')
        models = [('SwiftCodec', [])]
        for item in filter(None, o.history.split(',')):
            minutes, commit = item.split(':')
            file = commit
            if not os.path.exists(commit):
                file = os.path.join(folder, commit + '.scm')
                with open(file, 'wb') as f:
                    subprocess.run(['git', 'show', f'{commit}:Sources/CDefaultModel/models/inter.scm'], check=True, stdout=f)
            models.append((f'SwiftCodec after {minutes} minutes of training', ['--inter-model', file]))
        for clip in o.clips:
            source = read_y4m(clip)
            for (name, model), q in itertools.product(models, o.qualities.split(',')):
                measure(clip, name, o.options or 'default', q,
                        lambda: run(o.tool, 'encode', '--quiet', clip, stream, '-q', q, *model, *shlex.split(o.options)),
                        lambda: run(o.tool, 'decode', '--quiet', stream, decoded, *model), lambda: packets(stream)[0], decoded, source)
            for name, preset in (p.split() for p in o.presets.split(',') if p):
                coded = os.path.join(folder, 'a.mkv')
                for qp in (20, 24, 28, 32, 36, 40):
                    measure(clip, name, preset, qp,
                            lambda: run(*quiet, '-i', clip, '-c:v', 'lib' + name, '-preset', preset, '-tune', 'zerolatency', f'-{name}-params',
                                        PARAMETERS[name] + f':qp={qp}', '-threads', '1', coded),
                            lambda: run(*quiet, '-i', coded, '-pix_fmt', 'yuv420p', decoded), lambda: ffmpeg_packets(coded), decoded, source)
            print(clip, *(f"{r['bpp']:.4f}/{r['psnr_yuv']:.2f}" for r in rows if r['clip'] in clip and r['codec'] == 'SwiftCodec'), flush=True)
    if o.csv:
        with open(o.csv, 'w', newline='') as f:
            w = csv.DictWriter(f, rows[0])
            w.writeheader()
            w.writerows(rows)
    anchors = {}
    ran = {p.strip() for p in o.presets.split(',')}
    for r in list(csv.DictReader(open(o.anchors))) if o.anchors != '-' else []:
        name = r['codec'].replace('lib', '') + ' ' + r['preset']
        if name not in ran:
            anchors.setdefault((name, r['clip']), []).append(r)
    for r in rows:
        if not r['codec'].startswith('SwiftCodec'):
            anchors.setdefault((f"{r['codec']} {r['preset']}", r['clip']), []).append(r)
    clips = list(dict.fromkeys(r['clip'] for r in rows))
    ours = [name for name, _ in models]
    names = ours + [n for n in dict.fromkeys(k[0] for k in anchors) if n != o.reference]
    lines = [f'BD-rate of {METRICS[o.metric]} against {o.reference}, per cent, whole clips with one intra frame.', '',
             '| | mean | ' + ' | '.join(clips) + ' |', '|' + '---|' * (len(clips) + 2)]
    for part, label in (('', 'all frames'), ('inter_', 'inter frames')):
        def curve(rows):
            return [(float(r[part + 'bpp']), float(r[part + o.metric])) for r in rows if r.get(part + o.metric)]
        for name in names:
            values = []
            for c in clips:
                mine = [r for r in rows if (r['clip'], r['codec']) == (c, name)] if name in ours else anchors.get((name, c), [])
                values.append(bd_rate(curve(anchors[o.reference, c]), curve(mine)) if curve(mine) and curve(anchors.get((o.reference, c), []))
                              else float('nan'))
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
