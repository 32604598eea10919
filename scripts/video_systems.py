#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Video codecs that are model files of one runtime, side by side: rates of real files, work, speed, memory.

video_systems.py TOOL SYSTEM… --clips CLIP.y4m… [--frames 16] [--speed-clip CIF.y4m] [--csv OUT] [--page OUT.md]

SYSTEM is NAME,INTRA.scm,INTER.scm,MINUTES[,OPTIONS]: OPTIONS are those of `codec-bench encode` with blanks; QUALITIES=a:b:c among them says which
qualities (0:25:50:75 otherwise); a file "-" is the library's. MINUTES of training, processor time.

The first frames of each clip are encoded and decoded again by a second process. BD-rates of YUV PSNR ((6 Y + U + V) / 8 in dB, mean over frames) are
against x264 medium on the same frames (without delay, one intra frame, tuned for PSNR). Frames a second are by processor time of one thread, the
difference of decoding a stream and its first frames, so that reading models does not count; memory is the decoder's largest resident set. Needs NumPy,
SciPy, ffmpeg with x264.
"""
import argparse
import csv
import json
import os
import shlex
import subprocess
import tempfile

import numpy as np

from evaluate_video import PARAMETERS, bd_rate, first_packet, first_size, psnrs, read_y4m

# Liu et al. 2022, Table 2: 10^9 operations for 1920×1080, of the five widths.
TABLE_2 = {'SlimFE, SlimFD (each)': [9.6, 18.5, 34, 56, 90], 'SlimTPM': [42.4, 68, 95.7, 160, 232.5], 'SlimEPM': [11, 17.5, 25.7, 43.9, 66],
           'SlimHE, SlimHD': [10, 15, 20.7, 33.3, 47.6], 'SlimHD': [6, 9, 12.2, 19.4, 27.4], 'encoding': [73, 119, 176, 293, 436],
           'decoding': [69, 113, 168, 279, 416]}
ROLES = {'SlimFE, SlimFD (each)': ['analysis'], 'SlimTPM': ['context'], 'SlimEPM': ['slice 0'], 'SlimHE, SlimHD': ['hyper-analysis', 'hyper-synthesis'],
         'SlimHD': ['hyper-synthesis'], 'encoding': ['analysis', 'context', 'slice 0', 'hyper-analysis', 'hyper-synthesis'],
         'decoding': ['synthesis', 'context', 'slice 0', 'hyper-synthesis']}


class System:
    def __init__(self, text):
        self.name, intra, inter, self.minutes, *options = text.split(',')
        words = shlex.split(options[0]) if options else []
        self.qualities = next((w[10:].split(':') for w in words if w.startswith('QUALITIES=')), ['0', '25', '50', '75'])
        self.options = [w for w in words if not w.startswith('QUALITIES=')]
        self.models = ([] if intra == '-' else ['--model', intra]) + ([] if inter == '-' else ['--inter-model', inter])
        self.inter = None if inter == '-' else inter


def usage(*command, fails=False):
    """Processor seconds and largest resident set in bytes of a process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert fails or status == 0, command
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def cut_stream(path, out, frames):
    """The first frames of a stream."""
    data = open(path, 'rb').read()
    at = data.index(b'INTR')
    for _ in range(frames):
        size, shift, p = 0, 0, at + 4
        while True:
            size |= (data[p] & 127) << shift
            shift, p = shift + 7, p + 1
            if data[p - 1] < 128:
                break
        at = p + size + 4
    open(out, 'wb').write(data[:at])


def row(clip, name, setting, source, decoded, size, first):
    width, height, frames = source
    d = np.array([psnrs(x, y) for x, y in zip(frames, read_y4m(decoded)[2])])
    assert len(d) == len(frames), 'frames are missing'
    pixels = width * height
    return dict(clip=clip, system=name, setting=setting, frames=len(frames), bpp=8 * size / pixels / len(frames), psnr_y=d[:, 0].mean(),
                psnr_yuv=d[:, 1].mean(), inter_bpp=8 * (size - first) / pixels / (len(frames) - 1), inter_psnr_y=d[1:, 0].mean(),
                inter_psnr_yuv=d[1:, 1].mean())


def measure(tool, systems, clips, count, folder):
    rows = []
    stream, decoded, coded = (os.path.join(folder, name) for name in ('a.scv', 'a.y4m', 'a.mkv'))
    for path in clips:
        clip, name = os.path.join(folder, 'clip.y4m'), os.path.splitext(os.path.basename(path))[0]
        subprocess.run(['ffmpeg', '-v', 'error', '-y', '-i', path, '-frames:v', str(count), '-pix_fmt', 'yuv420p', clip], check=True)
        source = read_y4m(clip)
        for qp in (20, 24, 28, 32, 36, 40):
            subprocess.run(['ffmpeg', '-v', 'error', '-y', '-threads', '1', '-i', clip, '-c:v', 'libx264', '-preset', 'medium', '-tune', 'zerolatency',
                            '-x264-params', PARAMETERS['x264'] + f':qp={qp}', '-threads', '1', coded], check=True)
            subprocess.run(['ffmpeg', '-v', 'error', '-y', '-i', coded, '-pix_fmt', 'yuv420p', decoded], check=True)
            rows.append(row(name, 'x264 medium', qp, source, decoded, os.path.getsize(coded), first_size(coded)))
        for system in systems:
            for q in system.qualities:
                usage(tool, 'encode', '--quiet', clip, stream, '-q', q, *system.options, *system.models)
                usage(tool, 'decode', '--quiet', stream, decoded, *system.models)
                rows.append(row(name, system.name, q, source, decoded, os.path.getsize(stream), first_packet(stream)))
            print(name, system.name, *(f"{r['bpp']:.4f}/{r['psnr_yuv']:.2f}" for r in rows if (r['clip'], r['system']) == (name, system.name)), flush=True)
    return rows


def speed(tool, system, clip, folder, first=6, repeats=3):
    """Frames a second and bytes, at the middle quality."""
    stream, part, decoded = (os.path.join(folder, name) for name in ('s.scv', 'p.scv', 's.y4m'))
    usage(tool, 'encode', '--quiet', clip, stream, '-q', system.qualities[len(system.qualities) // 2], *system.options, *system.models)
    cut_stream(stream, part, first)
    frames = len(read_y4m(clip)[2])
    times, memory = ([], []), 0
    for _ in range(repeats):
        for kept, path in zip(times, (stream, part)):
            seconds, size = usage(tool, 'decode', '--quiet', '-j', '1', path, decoded, *system.models, fails=path == part)
            kept.append(seconds)
            memory = max(memory, size)
    return (frames - first) / max(1e-3, min(times[0]) - min(times[1])), memory


def mac(tool, system):
    """kMAC/pixel to encode and to decode, of the least and the most rate point."""
    command = [tool, 'info', '--json', system.inter or 'Sources/CDefaultModel/models/inter.scm']
    info = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    points = [info['rate_points'][i] for i in (0, -1)]
    return [[p[f'{who}_mac_per_pixel'] / 1000 for p in points] for who in ('encoder', 'decoder')], info['mac_per_pixel']


def span(low, high):
    return f'{high:.1f}' if f'{low:.1f}' == f'{high:.1f}' else f'{low:.1f} to {high:.1f}'


def page(tool, systems, rows, speeds, commit):
    clips = list(dict.fromkeys(r['clip'] for r in rows))
    frames = sorted({r['frames'] for r in rows})
    lines = ['# Video: systems of papers on one runtime', '',
             f'Written by `scripts/video_systems.py`, commit {commit}; curves: [data/video-systems.csv](data/video-systems.csv). Each system is a pair of model files for '
             'the same encoder and decoder, in exact integers; the networks are in `Training/systems.py`.',
             f'First {frames[0]} to {frames[-1]} frames of {", ".join(clips)}; one intra frame. BD-rate of YUV PSNR against x264 medium on the same frames, per cent, mean over '
             'clips; frames a second of decoding CIF on one thread, by processor time; the decoder\'s largest resident set; minutes of training on one core, '
             'by processor time.', '',
             '| system | all frames | inter frames | kMAC/pixel to encode | to decode | frames/s | MB | minutes | options |', '|' + '---|' * 9]

    def curve(name, clip, part):
        return [(r[part + 'bpp'], r[part + 'psnr_yuv']) for r in rows if (r['system'], r['clip']) == (name, clip)]
    each = []
    for system in systems:
        rates = [[bd_rate(curve('x264 medium', c, part), curve(system.name, c, part)) for c in clips] for part in ('', 'inter_')]
        (encode, decode), _ = mac(tool, system)
        fps, memory = speeds[system.name]
        lines.append(f'| {system.name} | {np.nanmean(rates[0]):+.0f} | {np.nanmean(rates[1]):+.0f} | {span(*encode)} | {span(*decode)} | {fps:.1f} | '
                     f'{memory / 1e6:.0f} | {system.minutes} | {" ".join(system.options) or "none"} |')
        each.append(f'| {system.name} | ' + ' | '.join(f'{a:+.0f} / {b:+.0f}' for a, b in zip(*rates)) + ' |')
    lines += ['', 'Clip by clip, all frames / inter frames:', '', '| | ' + ' | '.join(clips) + ' |', '|' + '---|' * (len(clips) + 1), *each]
    for system in systems:
        modules = mac(tool, system)[1]
        if len(modules['analysis']) == 5 and 'slice 0' in modules and 'context' in modules:
            lines += ['', f'{system.name}: 10^9 multiply-adds for 1920×1080 by module, and in brackets what Table 2 of the paper says, whose transforms have GDN:', '',
                      '| | ' + ' | '.join(f'width {w}' for w in (0.25, 0.375, 0.5, 0.75, 1)) + ' |', '|' + '---|' * 6]
            for name, roles in ROLES.items():
                ours = [sum(modules[role][k] for role in roles) * 1920 * 1080 / 1e9 for k in range(5)]
                lines.append(f'| {name} | ' + ' | '.join(f'{a:.1f} ({b:g})' for a, b in zip(ours, TABLE_2[name])) + ' |')
    return '\n'.join(lines) + '\n'


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('tool')
    a.add_argument('systems', nargs='+')
    a.add_argument('--clips', nargs='+', required=True)
    a.add_argument('--frames', type=int, default=16)
    a.add_argument('--speed-clip', required=True, help='of CIF')
    a.add_argument('--csv', default='docs/benchmarks/data/video-systems.csv')
    a.add_argument('--page', default='docs/benchmarks/video-systems.md')
    o = a.parse_args()
    systems = [System(s) for s in o.systems]
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(o.tool, systems, o.clips, o.frames, folder)
        speeds = {s.name: speed(o.tool, s, o.speed_clip, folder) for s in systems}
    with open(o.csv, 'w', newline='') as f:
        w = csv.DictWriter(f, rows[0])
        w.writeheader()
        w.writerows({k: f'{v:.6g}' if isinstance(v, float) else v for k, v in r.items()} for r in rows)
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True).stdout.strip()
    with open(o.page, 'w') as f:
        f.write(page(o.tool, systems, rows, speeds, commit))


if __name__ == '__main__':
    main()
