#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Speed and memory of video beside x264, x265 and ffmpeg's decoders of them, all in one run.

benchmark_video.py TOOL CLIP.y4m OUT.md [--frames 144] [--repeat 3] [--quality 50] [--qp 28] [--models FOLDER]

The clip, of 1280×720, is shown forwards and backwards in turn to get enough frames, so that no scene is new; the first frame is an intra frame, all others
are inter frames. What the first takes, search included, is what a clip of it alone takes, and further frames take the rest. For memory the clip is scaled
to 1920×1080. Whole processes are measured: models are loaded, headers parsed, frames of encoders read from a file; decoders write nowhere. The fastest of
some runs counts, for elapsed and processor time each. On a machine that does other work processor time alone says something. Needs ffmpeg with libx264 and
libx265.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 1, 2
FFMPEG = 'ffmpeg', '-nostdin', '-v', 'error', '-y'


class Run:
    """Seconds and peak memory of a command."""

    def __init__(self, command):
        start = time.monotonic()
        process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f'{" ".join(map(str, command))}: {errors.decode(errors="replace")}')
        self.elapsed = time.monotonic() - start
        self.processor = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


class Codec:
    def __init__(self, name, ending, encode, decode):
        self.name, self.ending, self.encode, self.decode = name, ending, encode, decode


def codecs(tool, quality, qp):
    def ours(threads, source, to):
        return [tool, 'encode', source, to, '-q', quality, '-j', threads, '--quiet']

    def ours_back(threads, source):
        return [tool, 'decode', source, '/dev/null', '-j', threads]

    def x264(threads, source, to):
        return [*FFMPEG, '-i', source, '-c:v', 'libx264', '-preset', 'medium', '-tune', 'psnr', '-bf', 0, '-g', 9999, '-qp', qp, '-threads', threads, to]

    def x265(threads, source, to):
        pools = f'pools={threads}:frame-threads=1:log-level=error:keyint=9999:bframes=0'
        return [*FFMPEG, '-i', source, '-c:v', 'libx265', '-preset', 'medium', '-tune', 'psnr', '-x265-params', f'{pools}:qp={qp}', to]

    def back(threads, source):
        return [*FFMPEG, '-threads', threads, '-i', source, '-f', 'null', '-']

    return [Codec('SwiftCodec', 'scv', ours, ours_back), Codec('x264 medium', 'mkv', x264, back), Codec('x265 medium', 'mkv', x265, back)]


def layout(path):
    """(bytes of the header, bytes of a frame, frames, width, height). Files are not kept in memory: a process begins with the memory of this one."""
    with open(path, 'rb') as file:
        header = file.readline()
    fields = {w[:1]: int(w[1:]) for w in header.split()[1:] if w[:1] in (b'W', b'H')}
    width, height = fields[b'W'], fields[b'H']
    size = len(b'FRAME\n') + width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    return len(header), size, (os.path.getsize(path) - len(header)) // size, width, height


def measure(codec, threads, clip, folder, repeat):
    """(encode, decode): each the runs of a clip."""
    stream = folder / f'a.{codec.ending}'
    runs = [(Run(codec.encode(threads, clip, stream)), Run(codec.decode(threads, stream))) for _ in range(repeat)]
    return [r[0] for r in runs], [r[1] for r in runs], stream.stat().st_size


def hardware_threads():
    """What the processors that this process may use are."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    try:
        cores = {Path(f'/sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list').read_text() for i in os.sched_getaffinity(0)}
    except (AttributeError, OSError):
        return f'{count} processors'
    return f'{len(cores)} core{"s" * (len(cores) > 1)} with {count} hardware threads'


def there_and_back(clip, frames, to):
    """A clip of so many frames."""
    start, size, count, _, _ = layout(clip)
    turn = list(range(count)) + list(range(count - 2, 0, -1))
    with open(clip, 'rb') as source, open(to, 'wb') as out:
        out.write(source.read(start))
        for i in range(frames):
            source.seek(start + turn[i % len(turn)] * size)
            out.write(source.read(size))


def best(runs, field):
    return min(getattr(r, field) for r in runs)


def networks(tool, file):
    """[(network, kMAC/pixel)] of a model file."""
    model = json.loads(subprocess.run([tool, 'info', file, '--json'], check=True, stdout=subprocess.PIPE).stdout)
    rows = [(name, sum(layer['mac_per_pixel'] for layer in layers) / 1000) for name, layers in model['layers'].items()]
    return rows + [('encoder, without its synthesis', model['encoder_mac_per_pixel'] / 1000), ('decoder', model['decoder_mac_per_pixel'] / 1000)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tool')
    parser.add_argument('clip')
    parser.add_argument('out')
    parser.add_argument('--frames', type=int, default=144)
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--quality', default='50')
    parser.add_argument('--qp', default='28')
    parser.add_argument('--models', default='Sources/CDefaultModel/models')
    a = parser.parse_args()
    lines = ['# Speed of video', '', 'Written by `scripts/benchmark_video.py` (`make benchmark-video`); its head says what is measured.', '']
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clip, first, large = folder / 'clip.y4m', folder / 'first.y4m', folder / 'large.y4m'
        there_and_back(a.clip, a.frames, clip)
        there_and_back(a.clip, 1, first)
        _, _, frames, width, height = layout(clip)
        load = os.getloadavg()[0]
        cpu = next((x.split(':')[1].strip() for x in open('/proc/cpuinfo') if x.startswith('model name')), platform.processor())
        lines += [f'{frames} frames of {width}×{height} on {cpu}, {hardware_threads()}, with a load of {load:.1f} by other work before the run.'
                  + (' So frames a second are those of a machine that is shared; compare processor time.' if load > 0.5 else ''), '']
        lines += ['| | threads | bit/pixel | encode: first frame, s | further frames/s | all frames/s | processor ms/frame | decode, frames/s | processor ms/frame |',
                  '|---|---|---|---|---|---|---|---|---|']
        every = codecs(a.tool, a.quality, a.qp)
        for codec in every:
            for threads in THREADS:
                alone = best(measure(codec, threads, first, folder, a.repeat)[0], 'elapsed')
                encode, decode, size = measure(codec, threads, clip, folder, a.repeat)
                cells = [f'{8 * size / (frames * width * height):.3f}', f'{alone:.2f}', f'{(frames - 1) / (best(encode, "elapsed") - alone):.1f}']
                for runs in (encode, decode):
                    cells += [f'{frames / best(runs, "elapsed"):.1f}', f'{1000 * best(runs, "processor") / frames:.1f}']
                lines.append(f'| {codec.name} | {threads} | ' + ' | '.join(cells) + ' |')
                print(lines[-1], flush=True)
        subprocess.run([*FFMPEG, '-i', a.clip, '-vf', 'scale=1920:1080', '-f', 'yuv4mpegpipe', large], check=True)
        lines += ['', f'Largest resident memory at 1920×1080, {layout(large)[2]} frames, MB:', '', '| | threads | encode | decode |', '|---|---|---|---|']
        for codec in every:
            for threads in THREADS:
                encode, decode, _ = measure(codec, threads, large, folder, 1)
                lines.append(f'| {codec.name} | {threads} | {best(encode, "memory") / 1e6:.0f} | {best(decode, "memory") / 1e6:.0f} |')
                print(lines[-1], flush=True)
    for file, title in (('inter.scm', 'inter frames'), ('flagship.scm', 'intra frames, RGB')):
        lines += ['', f'kMAC/pixel of the networks of {title}:', '', '| network | kMAC/pixel |', '|---|---|']
        lines += [f'| {name} | {value:.2f} |' for name, value in networks(a.tool, Path(a.models) / file)]
    Path(a.out).write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
