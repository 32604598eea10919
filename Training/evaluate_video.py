# SPDX-License-Identifier: BSD-3-Clause
"""Rate and distortion of a float inter network on whole clips: one intra frame, then inter frames, each predicted from the one before as decoded.

python evaluate_video.py CKPT CLIPS --anchors x26x.csv [-o rows.csv] [--points 0 1 2 3 4 5] [--only akiyo_cif …] [--tables motn.bin]

Hard rounding, the networks' own code length, vectors by the tables' code length. Anchors are a table with columns clip, codec, preset, frames, bpp,
psnr_yuv, inter_bpp and inter_psnr_yuv; the BD-rates are of YUV PSNR, (6 Y + U + V) / 8, against x264 medium.
"""
import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from evaluate import bd_rate
from video import IMAGE, code_clip, float_coder, load_clips, load_inter, load_intra

COLUMNS = 'clip codec preset qp frames bpp psnr_y psnr_yuv inter_bpp inter_psnr_y inter_psnr_yuv motion_bpp'.split()


def row(name, checkpoint, k, frames, pixels):
    """Means over all frames and over inter frames, and the bits of motion in the latter."""
    every, inter = frames.mean(0), frames[1:].mean(0) if len(frames) > 1 else frames[0] * np.nan
    return dict(zip(COLUMNS, [name, 'inter', checkpoint, k, len(frames), every[0] / pixels, every[2], every[3], inter[0] / pixels, inter[2], inter[3],
                              inter[1] / pixels]))


def read_anchors(path):
    """{(codec and preset, clip): rows}"""
    anchors = {}
    with open(path) as file:
        for r in csv.DictReader(file):
            anchors.setdefault((f"{r['codec'].replace('lib', '')} {r['preset']}", r['clip']), []).append(r)
    return anchors


def curve(rows, prefix):
    return [(float(r[prefix + 'bpp']), float(r[prefix + 'psnr_yuv'])) for r in rows]


def compare(rows, anchors, against='x264 medium'):
    """Prints the BD-rates of the rows and of other anchors, clip by clip."""
    ours = {}
    for r in rows:
        ours.setdefault(r['clip'], []).append(r)
    ours = {name: r for name, r in ours.items() if (against, name) in anchors and len(r) > 2}
    for prefix, frames in (('', 'all frames'), ('inter_', 'inter frames')):
        for who in ['ours', *sorted({codec for codec, _ in anchors} - {against})]:
            rates = {name: bd_rate(curve(anchors[against, name], prefix), curve(r if who == 'ours' else anchors[who, name], prefix)) for name, r in ours.items()
                     if who == 'ours' or (who, name) in anchors}
            print(f'{frames}, {who} against {against}: mean {np.mean(list(rates.values())):+.1f} %  ' +
                  ' '.join(f"{name.split('_')[0]} {rate:+.0f}" for name, rate in rates.items()), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('checkpoint')
    a.add_argument('clips', help='folder of video files')
    a.add_argument('--image', default=IMAGE, help='checkpoint of the image network')
    a.add_argument('--anchors')
    a.add_argument('--only', nargs='*', help='names of clips')
    a.add_argument('--points', type=int, nargs='*', default=[0, 1, 2, 3, 4, 5])
    a.add_argument('--frames', type=int, help='the first ones of each clip; anchors are for whole clips')
    a.add_argument('--tables', help='file with the MOTN section of a model file')
    a.add_argument('--threads', type=int, default=0)
    a.add_argument('-o', dest='out', help='table of all rows')
    a = a.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    intra, inter, rows = load_intra(a.image), load_inter(a.checkpoint, a.image), []
    tables = Path(a.tables).read_bytes() if a.tables else None
    for name, clip in load_clips(a.clips).items():
        if a.only and name not in a.only:
            continue
        for k in a.points:
            frames = code_clip(intra, float_coder(inter), clip, k, tables, a.frames)
            rows.append(row(name, a.checkpoint, k, frames, clip.width * clip.height))
            r = rows[-1]
            print(f"{name} {k} bpp {r['bpp']:.4f} YUV {r['psnr_yuv']:.2f} inter bpp {r['inter_bpp']:.4f} (motion {r['motion_bpp']:.4f})",
                  f"YUV {r['inter_psnr_yuv']:.2f}",
                  f'first and last inter frame {frames[1:][0, 3]:.2f} {frames[-1, 3]:.2f}' if len(frames) > 1 else '', flush=True)
        if a.out:
            with open(a.out, 'w', newline='') as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
    if a.anchors:
        compare(rows, read_anchors(a.anchors))


if __name__ == '__main__':
    main()
