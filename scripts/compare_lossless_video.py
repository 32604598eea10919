#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Lossless video and video of a bounded error beside x264, x265 and FFV1, in one run.

compare_lossless_video.py TOOL CLIP… [--page FILE.md] [--note TEXT]

Clips are anything that ffmpeg reads, 8 bits in 4:2:0. One more is drawn: a page of text in which a pointer moves, and which then
scrolls. Whole processes on one thread, reading and writing of files included; every lossless stream must come back bit for bit,
and no sample of another be off by more than was asked for. Needs NumPy, Pillow, and ffmpeg with libx264 and libx265.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmark_video import FFMPEG, Run, frame_count
from benchmarks import of_model, origin

X265 = 'lossless=1:pools=1:frame-threads=1:log-level=error'
FOREIGN = {'FFV1': ['ffv1', '-level', 3, '-coder', 1, '-context', 1], 'x264 slow, lossless': ['libx264', '-preset', 'slow', '-qp', 0],
           'x265 slow, lossless': ['libx265', '-preset', 'slow', '-x265-params', X265]}
OURS = {f'SwiftCodec, effort {n}': (['--lossless', '--effort', n], 0) for n in (0, 3, 8)}
OURS |= {f'SwiftCodec, error of at most {n}': (['--max-error', n], n) for n in (1, 3)}


def drawn(path, width=640, height=480, frames=24):
    """A page of text: a pointer moves for half of the frames, then the page scrolls by 6 rows a frame."""
    page = Image.new('L', (width, 2 * height), 250)
    draw = ImageDraw.Draw(page)
    for i in range(2 * height // 14):
        draw.text((20, 14 * i), f'{i:3}  The quick brown fox jumps over the lazy dog, and nobody saw it coming.', fill=30)
    page = np.asarray(page)
    with path.open('wb') as out:
        out.write(f'YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\n'.encode())
        for t in range(frames):
            top = 6 * max(0, t - frames // 2)
            luma = page[top:top + height].copy()
            luma[100 + 3 * t:112 + 3 * t, 200 + 5 * t:208 + 5 * t] = 60
            chroma = np.full((2, height // 2, width // 2), 128, np.uint8)
            chroma[1, (100 + 3 * t) // 2:(112 + 3 * t) // 2, (200 + 5 * t) // 2:(208 + 5 * t) // 2] = 180
            out.write(b'FRAME\n' + luma.tobytes() + chroma.tobytes())


def samples(path):
    """The frames' samples, one after the other."""
    data = path.read_bytes()
    at, found = data.index(b'\n') + 1, []
    count, width, height = frame_count(path)
    size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    for _ in range(count):
        at = data.index(b'\n', at) + 1
        found.append(np.frombuffer(data, np.uint8, size, at))
        at += size
    return np.concatenate(found)


def measure(name, clip, tool, folder):
    """Bytes, and the encoder's and the decoder's run."""
    coded, back = folder / ('a.scv' if name in OURS else 'a.mkv'), folder / 'back.y4m'
    if name in OURS:
        options, bound = OURS[name]
        runs = (Run([tool, 'encode', clip, '-o', coded, '-j1', '--quiet', *options]), Run([tool, 'decode', coded, '-o', back, '-j1']))
    else:
        bound = 0
        runs = (Run([*FFMPEG, '-i', clip, '-c:v', *FOREIGN[name], '-threads', 1, coded]), Run([*FFMPEG, '-threads', 1, '-i', coded, '-pix_fmt', 'yuv420p', back]))
    a, b = samples(clip), samples(back)
    largest = int(np.abs(a.astype(int) - b).max()) if a.size == b.size else 999
    if largest > bound:
        sys.exit(f'{name}, {clip.stem}: a sample is off by {largest}')
    return coded.stat().st_size, *runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tool', type=Path)
    parser.add_argument('clips', nargs='+', type=Path)
    parser.add_argument('--page', type=Path)
    parser.add_argument('--note', default='', help='what else a reader must know, such as: beside other work')
    o = parser.parse_args()
    model, _ = of_model(o.tool)
    made = origin('', model, '', 1)
    names = [*FOREIGN, *OURS]
    table, pixels, times = {}, {}, {n: [0.0, 0.0] for n in names}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clips = [folder / 'drawn_640x480.y4m'] + [folder / f'{c.stem}.y4m' for c in o.clips]
        drawn(clips[0])
        for clip, source in zip(clips[1:], o.clips):
            Run([*FFMPEG, '-i', source, '-pix_fmt', 'yuv420p', clip])
        for clip in clips:
            frames, width, height = frame_count(clip)
            pixels[clip.stem] = frames * width * height
            for name in names:
                size, encoding, decoding = measure(name, clip, o.tool.resolve(), folder)
                table[name, clip.stem] = 8 * size / pixels[clip.stem]
                times[name][0] += encoding.processor
                times[name][1] += decoding.processor
                print(f'{name}, {clip.stem}: {table[name, clip.stem]:.4f} bit/pixel', file=sys.stderr)
            os.unlink(clip)
    mega = sum(pixels.values()) / 1e6
    lines = ['# Lossless video', '', 'Written by `make compare-lossless-video` (`scripts/compare_lossless_video.py`): whole processes on one thread, every stream decoded again '
             f'and compared. Commit {made["commit"]}, model {model}, {made["processor"]}, {made["date"]}{", " + o.note if o.note else ""}.', '',
             'Bits a pixel of each clip, and processor seconds a megapixel of all of them.', '', f'| | {" | ".join(pixels)} | encode, s/MP | decode, s/MP |',
             '|---' * (len(pixels) + 3) + '|']
    for name in names:
        cells = [f'{table[name, clip]:.3f}' for clip in pixels]
        lines.append(f'| {name} | {" | ".join(cells)} | {times[name][0] / mega:.3f} | {times[name][1] / mega:.3f} |')
    print('\n'.join(lines))
    if o.page:
        o.page.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
