# SPDX-License-Identifier: BSD-3-Clause
"""Packs what a training run on another machine needs into one archive of limited size: sources, clips, checkpoints.

python pack_video.py OUT.tar --clips DIR [--init CKPT] [--limit MIB]

There: tar xf OUT.tar; make -f Tests/kernels/motion.mk motion-library; python Training/train_video.py run.pt --data clips --cache cache --init init.pt --minutes 8
A later call goes on with --resume and a larger --minutes where run.pt.resume is still there, otherwise with --init run.pt. Decoding needs ffmpeg or PyAV.
"""
import argparse
import io
import tarfile
from pathlib import Path

import torch

from video import IMAGE, ROOT

SOURCES = ('Training/*.py', 'Tests/kernels/motion.mk', 'Sources/CCodecKernels/**/*.[ch]')


def halved(path):
    """A checkpoint's averaged weights in half precision."""
    buffer = io.BytesIO()
    torch.save({'ema': {name: p.half() for name, p in torch.load(path, weights_only=True, map_location='cpu')['ema'].items()}}, buffer)
    return buffer.getvalue()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('out')
    a.add_argument('--clips', required=True, help='folder of video files')
    a.add_argument('--init', help='checkpoint to start from')
    a.add_argument('--image', default=IMAGE, help='checkpoint of the image network')
    a.add_argument('--limit', type=float, default=55, help='MiB of the archive; clips spread over the folder are left out to keep it')
    a = a.parse_args()
    entries = [(str(p.relative_to(ROOT)), p.read_bytes()) for pattern in SOURCES for p in sorted(ROOT.glob(pattern))]
    entries.append(('Training/checkpoints/flagship.pt', halved(a.image)))
    if a.init:
        entries.append(('init.pt', halved(a.init)))
    stored = lambda size: 512 + -(-size // 512) * 512
    room = a.limit * 2 ** 20 - 10240 - sum(stored(len(data)) for _, data in entries)
    clips = sorted(p for p in Path(a.clips).iterdir() if p.suffix in ('.mp4', '.mkv', '.webm'))
    excess = sum(stored(p.stat().st_size) for p in clips) - room
    if excess > 0:
        share = min(1.0, excess / sum(stored(p.stat().st_size) for p in clips) + 0.01)
        clips = [p for i, p in enumerate(clips) if int((i + 1) * share) == int(i * share)]
        while clips and sum(stored(p.stat().st_size) for p in clips) > room:
            clips.pop(len(clips) // 2)
    if not clips:
        raise SystemExit('no room for clips')
    with tarfile.open(a.out, 'w') as archive:
        for name, data in entries + [(f'clips/{p.name}', p.read_bytes()) for p in clips]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    print(f'{len(clips)} clips, {Path(a.out).stat().st_size / 2 ** 20:.1f} MiB')


if __name__ == '__main__':
    main()
