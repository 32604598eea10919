#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Video codecs that are model files of one runtime, side by side: rates of real files, work, speed, memory.

video_systems.py TOOL SYSTEM… --clips CLIP.y4m… [--frames 16] --speed-clip CIF.y4m [--data DATA.json] [--page OUT.md]

SYSTEM is NAME,INTRA.scm,INTER.scm,MINUTES[,OPTIONS]: OPTIONS are those of `codec-bench encode` with blanks; QUALITIES=a:b:c among them says which
qualities (0:25:50:75 otherwise); a file "-" is the library's. MINUTES of training, processor time.

Systems of which the data have results stay beside those that are measured; without any the page is written again from the data.

The first frames of each clip are encoded and decoded again by a second process. BD-rates of YUV PSNR ((6 Y + U + V) / 8 in dB, mean over frames) are
against x264 medium on the same frames (without delay, one intra frame, tuned for PSNR). Frames a second are by processor time of one thread, the
difference of decoding a stream and its first frames, so that reading models does not count; memory is the decoder's largest resident set. Needs NumPy,
SciPy, ffmpeg with x264.
"""
import argparse
import json
import os
import shlex
import subprocess
import tempfile

import numpy as np

from evaluate_video import PARAMETERS, bd_rate, ffmpeg_packets, packets, psnrs, read_y4m

REFERENCE = 'x264 medium'
# Liu et al. 2022, Table 2: 10^9 operations for 1920×1080, of the five widths.
TABLE_2 = {'SlimFE, SlimFD (each)': [9.6, 18.5, 34, 56, 90], 'SlimTPM': [42.4, 68, 95.7, 160, 232.5], 'SlimEPM': [11, 17.5, 25.7, 43.9, 66],
           'SlimHE, SlimHD': [10, 15, 20.7, 33.3, 47.6], 'SlimHD': [6, 9, 12.2, 19.4, 27.4], 'encoding': [73, 119, 176, 293, 436],
           'decoding': [69, 113, 168, 279, 416]}
ROLES = {'SlimFE, SlimFD (each)': ['analysis'], 'SlimTPM': ['context'], 'SlimEPM': ['slice 0'], 'SlimHE, SlimHD': ['hyper-analysis', 'hyper-synthesis'],
         'SlimHD': ['hyper-synthesis'], 'encoding': ['analysis', 'context', 'slice 0', 'hyper-analysis', 'hyper-synthesis'],
         'decoding': ['synthesis', 'context', 'slice 0', 'hyper-synthesis']}


class System:
    def __init__(self, text):
        """As on the command line."""
        self.name, intra, inter, self.minutes, *options = text.split(',')
        words = shlex.split(options[0]) if options else []
        self.qualities = next((w[10:].split(':') for w in words if w.startswith('QUALITIES=')), ['0', '25', '50', '75'])
        self.options = [w for w in words if not w.startswith('QUALITIES=')]
        self.models = ([] if intra == '-' else ['--model', intra]) + ([] if inter == '-' else ['--inter-model', inter])
        isolated = '--intra-only' in self.options
        self.described = intra if isolated else inter       # what is shown of multiply-adds
        if self.described == '-':
            self.described = f'Sources/CDefaultModel/models/{"flagship" if isolated else "inter"}.scm'


def usage(*command, fails=False):
    """Processor seconds and largest resident set in bytes of a process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert fails or status == 0, command
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def cut_stream(path, out, frames):
    """The first frames of a stream."""
    sizes, end = packets(path)
    open(out, 'wb').write(open(path, 'rb').read()[:end - sum(sizes[frames:])])


def row(clip, setting, source, decoded, sizes):
    width, height, frames = source
    d = np.array([psnrs(x, y) for x, y in zip(frames, read_y4m(decoded)[2])])
    assert len(d) == len(frames), 'frames are missing'
    pixels = width * height
    values = dict(bpp=8 * np.mean(sizes) / pixels, psnr_y=d[:, 0].mean(), psnr_yuv=d[:, 1].mean(),
                  inter_bpp=8 * np.mean(sizes[1:]) / pixels, inter_psnr_y=d[1:, 0].mean(), inter_psnr_yuv=d[1:, 1].mean())
    return dict(clip=clip, setting=setting, frames=len(frames), **{name: round(float(v), 6) for name, v in values.items()})


def measure(tool, system, path, count, folder):
    """Rows of a clip; of x264 if `system` is None."""
    rows, name = [], os.path.splitext(os.path.basename(path))[0]
    clip, stream, decoded, coded = (os.path.join(folder, name) for name in ('clip.y4m', 'a.scv', 'a.y4m', 'a.mkv'))
    subprocess.run(['ffmpeg', '-v', 'error', '-y', '-i', path, '-frames:v', str(count), '-pix_fmt', 'yuv420p', clip], check=True)
    source = read_y4m(clip)
    for qp in () if system else (20, 24, 28, 32, 36, 40, 44, 48):
        subprocess.run(['ffmpeg', '-v', 'error', '-y', '-threads', '1', '-i', clip, '-c:v', 'libx264', '-preset', 'medium', '-tune', 'zerolatency',
                        '-x264-params', PARAMETERS['x264'] + f':qp={qp}', '-threads', '1', coded], check=True)
        subprocess.run(['ffmpeg', '-v', 'error', '-y', '-i', coded, '-pix_fmt', 'yuv420p', decoded], check=True)
        rows.append(row(name, qp, source, decoded, ffmpeg_packets(coded)))
    for q in system.qualities if system else ():
        usage(tool, 'encode', '--quiet', clip, stream, '-q', q, *system.options, *system.models)
        usage(tool, 'decode', '--quiet', stream, decoded, *system.models)
        rows.append(row(name, float(q), source, decoded, packets(stream)[0]))
    print(name, system.name if system else REFERENCE, *(f"{r['bpp']:.4f}/{r['psnr_yuv']:.2f}" for r in rows), flush=True)
    return rows


def speed(tool, system, clip, folder, first=6, repeats=3):
    """Frames a second of decoding and bytes, at the middle quality."""
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
    return dict(fps=(frames - first) / max(1e-3, min(times[0]) - min(times[1])), memory=memory)


def work(tool, system):
    """MAC/pixel to encode and to decode at the first and the last rate point, and of each network at all of them."""
    command = [tool, 'info', '--json', system.described]
    info = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    ends = [info['rate_points'][i] for i in (0, -1)]
    return dict(encode=[p['encoder_mac_per_pixel'] for p in ends], decode=[p['decoder_mac_per_pixel'] for p in ends], networks=info['mac_per_pixel'])


def span(values):
    low, high = (f'{v / 1000:.1f}' for v in values)
    return low if low == high else f'{low} to {high}'


def page(data):
    reference, systems = data[REFERENCE], {name: s for name, s in data.items() if name != REFERENCE}
    clips = list(dict.fromkeys(r['clip'] for r in reference['rows']))
    frames = sorted({r['frames'] for r in reference['rows']})

    def curve(rows, clip, part):
        return [(r[part + 'bpp'], r[part + 'psnr_yuv']) for r in rows if r['clip'] == clip]
    rates = {name: [[bd_rate(curve(reference['rows'], c, part), curve(s['rows'], c, part)) for c in clips] for part in ('', 'inter_')]
             for name, s in systems.items()}
    lines = ['# Video: systems of papers on one runtime', '',
             'Written by `scripts/video_systems.py` from [data/video-systems.json](data/video-systems.json). Each system is a pair of model files for the same encoder and '
             'decoder, in exact integers; networks and commands: [Training](../../Training/README.md#video-codecs-of-papers).', '',
             f'First {" to ".join(map(str, frames))} frames of {", ".join(clips)}; one intra frame. BD-rate of YUV PSNR against {REFERENCE} on the same frames, per cent, mean over '
             'clips. Frames a second of decoding CIF on one thread, by processor time; the decoder\'s largest resident set. An encoder runs the synthesis, too, '
             'which its column leaves out. Minutes of training: of the flagship elapsed ones of '
             'its inter networks, which begin as the image network; of the others processor time of one core. '
             'Systems that were trained for two hours say little about their papers, whose networks were trained for days; and the flagship\'s entropy models are fitted, '
             'those of the others are as exported.', '',
             '| system | all frames | inter frames | kMAC/pixel to encode | to decode | frames/s | MB | minutes | options | commit |', '|' + '---|' * 10]
    for name, s in systems.items():
        every, inter = (np.nanmean(r) for r in rates[name])
        lines.append(f'| {name} | {every:+.0f} | {inter:+.0f} | {span(s["encode"])} | {span(s["decode"])} | {s["fps"]:.1f} | {s["memory"] / 1e6:.0f} | {s["minutes"]} | '
                     f'{s["options"] or "none"} | {s["commit"]} |')
    lines += ['', 'Clip by clip, all frames / inter frames; – where the curves have no PSNR in common:', '', '| | ' + ' | '.join(clips) + ' |', '|' + '---|' * (len(clips) + 1)]
    text = lambda v: '–' if np.isnan(v) else f'{v:+.0f}'
    lines += [f'| {name} | ' + ' | '.join(f'{text(a)} / {text(b)}' for a, b in zip(*r)) + ' |' for name, r in rates.items()]
    for name, s in systems.items():
        networks = s['networks']
        if 'context' in networks and len(networks['context']) == 5:
            lines += ['', f'{name}: 10^9 multiply-adds for 1920×1080 by module (`codec-bench info`), and in brackets what Table 2 of its paper says, whose transforms have GDN:', '',
                      '| | ' + ' | '.join(f'width {w}' for w in (0.25, 0.375, 0.5, 0.75, 1)) + ' |', '|' + '---|' * 6]
            for module, roles in ROLES.items():
                ours = [sum(networks[role][k] for role in roles) * 1920 * 1080 / 1e9 for k in range(5)]
                lines.append(f'| {module} | ' + ' | '.join(f'{a:.1f} ({b:g})' for a, b in zip(ours, TABLE_2[module])) + ' |')
            lines += ['', 'Below full width the paper\'s figures are those of modules whose first layer reads, and whose last layer writes, all channels at every width; here these '
                      'layers have the widths that its Table 1 lists for them.']
    return '\n'.join(lines) + '\n'


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('tool')
    a.add_argument('systems', nargs='*')
    a.add_argument('--clips', nargs='*', default=[])
    a.add_argument('--frames', type=int, default=16)
    a.add_argument('--speed-clip', help='of CIF')
    a.add_argument('--data', default='docs/benchmarks/data/video-systems.json')
    a.add_argument('--page', default='docs/benchmarks/video-systems.md')
    o = a.parse_args()
    data = json.load(open(o.data)) if os.path.exists(o.data) else {}
    commit = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        if REFERENCE not in data and o.clips:
            data[REFERENCE] = dict(rows=[r for clip in o.clips for r in measure(o.tool, None, clip, o.frames, folder)])
        for system in map(System, o.systems):
            rows = [r for clip in o.clips for r in measure(o.tool, system, clip, o.frames, folder)]
            data[system.name] = dict(commit=commit, minutes=system.minutes, options=' '.join(system.options), rows=rows,
                                     **speed(o.tool, system, o.speed_clip, folder), **work(o.tool, system))
            with open(o.data, 'w') as f:
                json.dump(data, f, indent=1)
                f.write('\n')
    with open(o.page, 'w') as f:
        f.write(page(data))


if __name__ == '__main__':
    main()
