#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the encoders that are there and ours on the same pictures, and compares what comes out.

compare.py TOOL FOLDER [--codecs ours0,ours2,avif6,jxl7,webp,x265,jpeg] [--reference x265] [--limit N] [--points 0,2,5,7]
           [--anchor FILE]… [--hm FOLDER] [--vtm FOLDER] [--csv FILE] [--page FILE.md] [--title TEXT] [--command TEXT]
           [--plot FILE.svg] [--json FOLDER] [--note TEXT]

Each file is encoded and decoded by processes of their own on one thread; PSNR is that of all R, G and B samples of the
decoded file. Codecs: ours0 … ours9 (the number is --effort; ours0q … by --quality instead of --rate-point, so that layers may
help; ours0qg … with the model of --grown), avif0 … avif10 (avifenc, libaom; the number is --speed; avif0s … with its tools for screens), jxl1 … jxl9 (cjxl, --effort),
webp (cwebp -m 6), jpeg (cjpeg, optimised and progressive), x265 (ffmpeg, slow, intra), and with the folders
of their programs and configurations hm and vtm (intra, 4:4:4, BT.709). What is not there is left out, and said.

Rates are BD-rates over PSNR: of the curve through the means of all pictures, and the mean of each picture's own. Times are processor
seconds a megapixel of whole processes, reading and writing of files included. MAC/pixel are multiply-adds of the networks alone
for each pixel of the picture, as `TOOL info` counts them: every weight once for each position that it is used at, with no
allowance for entropy coding, motion or transforms of codecs without networks, for which nothing stands there.

Anchors are curves of mean rate and PSNR: a CSV file with columns codec, bpp, psnr_rgb (as docs/benchmarks/data/published-kodak.csv,
which is read if no other is given), or CompressAI's JSON (results: bpp, psnr-rgb). --json writes such files, with the names of the
pictures, by which a warning tells that an anchor is of others. --csv keeps one line a file: what stands there is not run again, but
for files of ours that another model coded. Needs NumPy, SciPy and Pillow.
"""
import argparse
import csv
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import of_model, origin, signed
from evaluate_video import bd_rate

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / 'docs/benchmarks/data/published-kodak.csv'
KODAK = {f'kodim{i:02}' for i in range(1, 25)}
# The model is that of our own codec.
FIELDS = ['codec', 'point', 'picture', 'width', 'height', 'bytes', 'psnr_rgb', 'psnr_y', 'encode_s', 'decode_s', 'model']
ENDINGS = ('.png', '.ppm', '.jpg', '.jpeg', '.bmp')


def cpu(command, **options):
    """Processor seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(f'{" ".join(map(str, command))}: {process.stderr.decode(errors="replace")[-400:]}')
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Codec:
    """A codec at eight settings, from the lowest rate up; `run` gives processor seconds of both ways and the decoded picture."""

    def __init__(self, name, needs, settings, run, label, model=''):
        self.name, self.needs, self.settings, self.run, self.label, self.model = name, needs, settings, run, label, model

    def missing(self):
        return [program for program in self.needs if not shutil.which(str(program))]


def ours(tool, effort, by_quality, model, grown=None):
    options = ['--model', grown] if grown else []

    def run(setting, source, work):
        coded, decoded = work / 'o.sci', work / 'o.ppm'
        times = (cpu([tool, 'encode', '--quiet', '-j1', '-q' if by_quality else '-k', setting, '--effort', effort, *options, source, coded]),
                 cpu([tool, 'decode', '--quiet', '-j1', *options, coded, decoded]))
        return coded, decoded, times
    settings = [round(100 * k / 7) for k in range(8)] if by_quality else range(8)
    return Codec(f'ours{effort}{"q" * by_quality}{"g" * bool(grown)}', [tool], settings, run,
                 f'SwiftCodec, effort {effort}{", by quality" * by_quality}{", grown model" * bool(grown)}', model)


def avif(speed, screen):
    content = ['-a', 'tune-content=screen'] * screen

    def run(q, source, work):
        coded, decoded = work / 'o.avif', work / 'o.png'
        times = (cpu(['avifenc', '-s', speed, '-y', '444', '-j', '1', '--min', q, '--max', q, '-a', 'end-usage=q', '-a', f'cq-level={q}',
                      '-a', 'tune=psnr', *content, source, coded]), cpu(['avifdec', '-j', '1', '--png-compress', '0', coded, decoded]))
        return coded, decoded, times
    return Codec(f'avif{speed}{"s" * screen}', ['avifenc', 'avifdec'], [56, 50, 44, 38, 32, 26, 20, 13], run,
                 f'AVIF, speed {speed}{", screen tools" * screen}')


def jxl(effort):
    def run(distance, source, work):
        coded, decoded = work / 'o.jxl', work / 'o.ppm'
        times = (cpu(['cjxl', source, coded, '-e', effort, '-d', distance, '--num_threads', '0']),
                 cpu(['djxl', coded, decoded, '--num_threads', '0']))
        return coded, decoded, times
    return Codec(f'jxl{effort}', ['cjxl', 'djxl'], [8, 5.5, 4, 2.8, 2, 1.4, 1, .6], run, f'JPEG XL, effort {effort}')


def webp(q, source, work):
    coded, decoded = work / 'o.webp', work / 'o.ppm'
    times = (cpu(['cwebp', '-quiet', '-m', '6', '-sharp_yuv', '-q', q, source, '-o', coded]),
             cpu(['dwebp', '-quiet', '-ppm', coded, '-o', decoded]))
    return coded, decoded, times


def jpeg(q, source, work):
    ppm, coded, decoded = work / 'i.ppm', work / 'o.jpg', work / 'o.ppm'
    Image.open(source).convert('RGB').save(ppm)
    times = (cpu(['cjpeg', '-quality', q, '-sample', '1x1', '-optimize', '-progressive', '-outfile', coded, ppm]),
             cpu(['djpeg', '-outfile', decoded, coded]))
    return coded, decoded, times


def x265(q, source, work):
    coded, decoded = work / 'o.265', work / 'o.ppm'
    quiet = ['ffmpeg', '-v', 'error', '-y']
    parameters = (f'qp={q}:keyint=1:log-level=none:pools=1:frame-threads=1:aq-mode=0:cutree=0:psy-rd=0:psy-rdoq=0:tune=psnr:info=0:range=full')
    times = (cpu(quiet + ['-threads', '1', '-i', source, '-vf', 'scale=out_color_matrix=bt709:out_range=pc,format=yuv444p', '-frames:v', '1',
                          '-c:v', 'libx265', '-preset', 'slow', '-x265-params', parameters, coded]),
             cpu(quiet + ['-threads', '1', '-i', coded, '-vf', 'scale=in_color_matrix=bt709:in_range=pc,format=rgb24', '-frames:v', '1', decoded]))
    return coded, decoded, times


def to_yuv(rgb):
    """BT.709, full range, as three planes of bytes."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = .2126 * r + .7152 * g + .0722 * b
    planes = y, (b - y) / 1.8556 + 128, (r - y) / 1.5748 + 128
    return np.stack([np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in planes])


def to_rgb(planes):
    y, u, v = (p.astype(float) for p in planes)
    r, b = y + 1.5748 * (v - 128), y + 1.8556 * (u - 128)
    return np.clip(np.rint(np.stack([r, (y - .2126 * r - .0722 * b) / .7152, b], -1)), 0, 255).astype(np.uint8)


def reference_software(name, folder, encoder, decoder, configuration):
    """HM or VTM of a folder that has both programs and the configuration somewhere below it."""
    def find(pattern):
        return next(iter(sorted(Path(folder).rglob(pattern))), Path(folder) / pattern)
    programs = find(encoder), find(decoder)

    def run(q, source, work):
        raw, coded, planes, decoded = work / 'i.yuv', work / 'o.bin', work / 'o.yuv', work / 'o.ppm'
        rgb = np.asarray(Image.open(source).convert('RGB'))
        height, width = rgb.shape[:2]
        to_yuv(rgb).tofile(raw)
        times = (cpu([programs[0], '-c', find(configuration), '-i', raw, '-b', coded, '-wdt', width, '-hgt', height, '-fr', 1, '-f', 1, '-q', q,
                      '--InputBitDepth=8', '--OutputBitDepth=8', '--InputChromaFormat=444', '--ChromaFormatIDC=444', '--ConformanceWindowMode=1']),
                 cpu([programs[1], '-b', coded, '-o', planes, '-d', 8]))
        Image.fromarray(to_rgb(np.fromfile(planes, np.uint8).reshape(3, height, width))).save(decoded)
        return coded, decoded, times
    return Codec(name, programs, [47, 42, 37, 34, 30, 26, 22, 17], run, name.upper())


def codec(name, o):
    match = re.fullmatch(r'(ours)(\d)(q?g?)|(avif)(\d+)(s?)|(jxl)(\d)()', name)
    if match:
        kind, number, more = (part for part in match.groups() if part is not None)
        if more.endswith('g') and not o.grown:
            sys.exit(f'{name} needs --grown')
        return {'ours': lambda n: ours(o.tool, n, 'q' in more, *((o.grown_model, o.grown) if 'g' in more else (o.model,))), 'avif': lambda n: avif(n, bool(more)), 'jxl': jxl}[kind](int(number))
    if name == 'hm' and o.hm:
        return reference_software('hm', o.hm, 'TAppEncoder*', 'TAppDecoder*', 'encoder_intra_main_rext.cfg')
    if name == 'vtm' and o.vtm:
        return reference_software('vtm', o.vtm, 'EncoderApp*', 'DecoderApp*', 'encoder_intra_vtm.cfg')
    known = {'webp': Codec('webp', ['cwebp', 'dwebp'], [5, 20, 40, 60, 75, 85, 92, 97], webp, 'WebP'),
             'jpeg': Codec('jpeg', ['cjpeg', 'djpeg'], [10, 20, 35, 50, 70, 82, 90, 95], jpeg, 'JPEG'),
             'x265': Codec('x265', ['ffmpeg'], [40, 36, 33, 30, 27, 23, 19, 15], x265, 'x265, slow, intra')}
    if name not in known:
        sys.exit(f'{name}: not one of ours0…9, ours0q…9q, ours0qg…9qg, avif0…10, avif0s…10s, jxl1…9, webp, jpeg, x265, hm (with --hm), vtm (with --vtm)')
    return known[name]


def psnr(a, b):
    return 10 * math.log10(65025 / max(np.mean((a - b) ** 2), 1e-9))


def measure(o, codecs, pictures):
    """One row a file; those of --csv are not made again."""
    rows = []
    if o.csv and o.csv.exists():
        models = {c.name: c.model for c in codecs}
        rows = [r for r in csv.DictReader(o.csv.read_text().splitlines()) if r['model'] == models.get(r['codec'])]
    done = {(r['codec'], int(r['point']), r['picture']) for r in rows}
    out = None
    if o.csv:
        is_new = not o.csv.exists()
        out = o.csv.open('a', newline='')
        writer = csv.DictWriter(out, FIELDS, lineterminator='\n')
        if is_new:
            writer.writeheader()
    with tempfile.TemporaryDirectory() as work:
        for c in codecs:
            for point in o.points:
                for path in pictures:
                    if (c.name, point, path.stem) in done:
                        continue
                    coded, decoded, times = c.run(c.settings[point], path, Path(work))
                    a, b = (np.asarray(Image.open(p).convert('RGB'), float) for p in (path, decoded))
                    luma = (p @ [.2126, .7152, .0722] for p in (a, b))
                    row = dict(zip(FIELDS, (
                        c.name, point, path.stem, a.shape[1], a.shape[0], os.path.getsize(coded), f'{psnr(a, b):.4f}', f'{psnr(*luma):.4f}',
                        f'{times[0]:.4f}', f'{times[1]:.4f}', c.model)))
                    rows.append(row)
                    if out:
                        writer.writerow(row)
                        out.flush()
            print(f'{c.label}: done', file=sys.stderr)
    names, stems = {c.name for c in codecs}, {p.stem for p in pictures}
    return [r for r in rows if r['codec'] in names and r['picture'] in stems and int(r['point']) in o.points]


def bits(row):
    return 8 * float(row['bytes']) / (float(row['width']) * float(row['height']))


def mean_curve(rows):
    """(mean bits a pixel, mean PSNR) of each setting."""
    points = {}
    for r in rows:
        points.setdefault(int(r['point']), []).append((bits(r), float(r['psnr_rgb'])))
    return [tuple(np.mean(points[k], axis=0)) for k in sorted(points)]


def whole(curve):
    """The curve; of an encoder that gave one file at all settings, that file at lower PSNR as well."""
    return curve if len({p for _, p in curve}) > 1 else [(curve[0][0], curve[0][1] - 99), curve[0]]


def read_anchor(path):
    """(Curves by codec, names of the pictures if the file says them)."""
    text = path.read_text()
    if text.lstrip().startswith('{'):
        data = json.loads(text)
        results = data['results']
        return {data.get('name', path.stem): list(zip(results['bpp'], results.get('psnr-rgb') or results['psnr']))}, data.get('pictures')
    curves = {}
    for r in csv.DictReader(line for line in text.splitlines() if not line.startswith('#')):
        curves.setdefault(r['codec'], []).append((float(r['bpp']), float(r['psnr_rgb'])))
    return curves, sorted(KODAK) if path == PUBLISHED else None


def plot(path, entries, lines, reference):
    """BD-rate over the logarithm of the encoder's seconds; `lines` {name: BD-rate} are of curves whose times are not known."""
    left, top, width, height = 70, 30, 620, 400
    xs = [math.log10(max(e['encode'], 1e-4)) for e in entries]
    ys = [e['mean'] for e in entries]
    x0, x1 = math.floor(min(xs)), math.ceil(max(xs) + 1e-9)
    every = ys + list(lines.values())
    step = max(5, 5 * math.ceil((max(every) - min(every)) / 40))
    y0, y1 = step * math.floor(min(every) / step), step * math.ceil(max(every) / step + 1e-9)

    def at(x, y):
        return left + (x - x0) / max(1, x1 - x0) * width, top + (y1 - y) / max(1, y1 - y0) * height
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 130} {top + height + 60}" font-family="sans-serif" font-size="13">',
           '<rect width="100%" height="100%" fill="white"/>']
    for k in range(x0, x1 + 1):
        x, _ = at(k, y0)
        out.append(f'<path d="M{x:.1f} {top}v{height}" stroke="#ddd"/><text x="{x:.1f}" y="{top + height + 20}" text-anchor="middle">{10.0 ** k:g}</text>')
    for y in range(int(y0), int(y1) + 1, int(step)):
        _, v = at(x0, y)
        out.append(f'<path d="M{left} {v:.1f}h{width}" stroke="{"#888" if y == 0 else "#ddd"}"/>'
                   f'<text x="{left - 8}" y="{v + 4:.1f}" text-anchor="end">{y:+d}</text>')
    for name, y in lines.items():
        _, v = at(x0, y)
        out.append(f'<path d="M{left} {v:.1f}h{width}" stroke="#777" stroke-dasharray="6 4"/><text x="{left + width + 6}" y="{v + 4:.1f}" fill="#777">{name}</text>')
    ours = [at(x, y) for e, x, y in zip(entries, xs, ys) if e['name'].startswith('ours')]
    if ours:
        out.append(f'<polyline points="{" ".join(f"{u:.1f},{v:.1f}" for u, v in sorted(ours))}" fill="none" stroke="#c03020"/>')
    for e, x, y in zip(entries, xs, ys):
        u, v = at(x, y)
        is_ours = e['name'].startswith('ours')
        # Ours lie close together: their numbers alone, and one name.
        label = e['name'][4:] if is_ours else e['label']
        place = f'x="{u:.1f}" y="{v + 18:.1f}" text-anchor="middle"' if is_ours else f'x="{u + 7:.1f}" y="{v - 5:.1f}"'
        colour = '#c03020' if is_ours else '#3060a0'
        out.append(f'<circle cx="{u:.1f}" cy="{v:.1f}" r="4" fill="{colour}"/><text {place} fill="{colour}">{label}</text>')
    if ours:
        out.append(f'<text x="{left + width}" y="18" text-anchor="end" fill="#c03020">SwiftCodec by --effort</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 45}" text-anchor="middle">encoding, processor seconds a megapixel</text>')
    out.append(f'<text x="{left}" y="18">BD-rate against {reference}, per cent (mean curve)</text></svg>')
    path.write_text('\n'.join(out) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tool', type=Path)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--codecs', default=','.join(f'ours{n}' for n in range(10)) + ',avif9,avif6,avif3,jxl7,webp,jpeg,x265')
    parser.add_argument('--reference', default='x265')
    parser.add_argument('--limit', type=int)
    parser.add_argument('--points', default='0,1,2,3,4,5,6,7', type=lambda s: [int(p) for p in s.split(',')])
    parser.add_argument('--anchor', type=Path, action='append')
    parser.add_argument('--hm')
    parser.add_argument('--vtm')
    parser.add_argument('--grown', type=Path, help='a model file with a further domain, for the codecs with a g')
    parser.add_argument('--note', default='', help='what else a reader must know, such as: beside other work')
    parser.add_argument('--title', default='Beside other codecs', help='of the page')
    parser.add_argument('--command', default='make compare', help='that the page names')
    for name in 'csv', 'page', 'plot', 'json':
        parser.add_argument('--' + name, type=Path)
    o = parser.parse_args()
    o.tool = o.tool.resolve()
    pictures = sorted(p for p in o.folder.iterdir() if p.suffix.lower() in ENDINGS)[:o.limit]
    if not pictures:
        sys.exit(f'{o.folder}: no pictures')
    o.model, macs = of_model(o.tool)
    if o.grown:
        o.grown_model = json.loads(subprocess.run([o.tool, 'info', '--json', o.grown], check=True, stdout=subprocess.PIPE).stdout)['id']
    names = o.codecs.split(',') + [n for n in ('hm', 'vtm') if getattr(o, n) and n not in o.codecs.split(',')]
    codecs, notes = [], []
    for c in (codec(n, o) for n in names):
        if c.missing():
            notes.append(f'{c.label} is left out: no {", ".join(Path(p).name for p in c.missing())}.')
            print(notes[-1], file=sys.stderr)
        else:
            codecs.append(c)
    rows = measure(o, codecs, pictures)
    of = {c.name: [r for r in rows if r['codec'] == c.name] for c in codecs}
    stems, anchors = [p.stem for p in pictures], {}
    for path in o.anchor or [PUBLISHED]:
        curves, known = read_anchor(path)
        if known is None:
            notes.append(f'Warning: {path.name} does not say of which pictures it is.')
        elif sorted(known) != sorted(stems):
            if not o.anchor:
                notes.append('The published curves are of the 24 pictures of Kodak, which these are not: they are left out.')
                continue
            notes.append(f'Warning: {path.name} is of other pictures than these.')
        anchors |= {f'{name} (published)' if path == PUBLISHED else name: curve for name, curve in curves.items()}
    for note in notes:
        print(f'compare.py: {note}', file=sys.stderr)
    labels = {c.name: c.label for c in codecs}
    known = {**{name: mean_curve(r) for name, r in of.items()}, **anchors, **{n.removesuffix(' (published)'): c for n, c in anchors.items()}}
    if o.reference not in known:
        sys.exit(f'--reference {o.reference}: not among {", ".join(known)}')
    base, reference = known[o.reference], labels.get(o.reference, o.reference)

    def own(name, stem):
        return whole([(bits(r), float(r['psnr_rgb'])) for r in of[name] if r['picture'] == stem])
    decoder, encoder = (f'{max(m[i] for m in macs) / 1000:.1f}' for i in (0, 1))
    entries, table, each = [], [], {}
    for c in codecs:
        mine = of[c.name]
        megapixels = sum(float(r['width']) * float(r['height']) for r in mine) / 1e6
        encode, decode = (sum(float(r[k]) for r in mine) / megapixels for k in ('encode_s', 'decode_s'))
        mean, cell = bd_rate(base, mean_curve(mine)), ''
        if o.reference in of:
            each[c.name] = [bd_rate(own(o.reference, stem), own(c.name, stem)) for stem in stems]
            cell = signed(np.nanmean(each[c.name]))
        entries.append(dict(name=c.name, label=c.label, mean=mean, encode=encode))
        searches = 'several times' if c.name.startswith('ours0q') else 'and the search'
        mac = f'{encoder if c.name == "ours0" else searches} | {decoder}' if c.name.startswith('ours') else ' | '
        table.append((mean, f'| {c.label} | {signed(mean)} | {cell} | {encode:.3f} | {decode:.3f} | {mac} |'))
    for name, curve in anchors.items():
        table.append((bd_rate(base, curve), f'| {name} | {signed(bd_rate(base, curve))} | | | | | |'))
    made = origin('', o.model, '', 1)
    lines = [f'{len(pictures)} pictures, {len(o.points)} settings each, BD-rate of RGB PSNR against {reference}. Commit {made["commit"]}, model {o.model}, '
             f'{made["processor"]}, {made["date"]}{", " + o.note if o.note else ""}.', '',
             '| | BD-rate, mean curve | mean of each picture\'s | encode, s/MP | decode, s/MP | encoder kMAC/pixel | decoder kMAC/pixel |',
             '|---|---|---|---|---|---|---|'] + [line for _, line in sorted(table)] + ['']
    lines.append('Times are processor seconds of whole processes on one thread, reading and writing of files included. kMAC/pixel are products of the networks '
                 'for a pixel of the picture, each weight once for every position that it is used at (`codec-bench info`); entropy coding is not counted.')
    lines += [line for note in notes for line in ('', note)]
    print('\n'.join(lines))
    if o.page:
        text = [f'# {o.title}', '', f'Written by `{o.command}` (`scripts/compare.py`).', '', *lines]
        if o.plot:
            text += ['', f'![BD-rate over encoding time]({os.path.relpath(o.plot, o.page.parent)})']
        if each:
            text += ['', '## Each picture', '', f'BD-rate against {reference} of each picture\'s own curves, per cent.', '',
                     '| | ' + ' | '.join(c.name for c in codecs if c.name != o.reference) + ' |', '|---' * len(codecs) + '|']
            for i, stem in enumerate(stems):
                text.append(f'| {stem} | ' + ' | '.join(f'{each[c.name][i]:+.1f}'.replace('-', '−') for c in codecs if c.name != o.reference) + ' |')
        o.page.write_text('\n'.join(text) + '\n')
    if o.plot:
        plot(o.plot, entries, {name: bd_rate(base, curve) for name, curve in anchors.items() if name.split()[0] in ('HM', 'VTM')}, reference)
    if o.json:
        o.json.mkdir(parents=True, exist_ok=True)
        for c in codecs:
            curve = mean_curve(of[c.name])
            results = {'bpp': [p[0] for p in curve], 'psnr-rgb': [p[1] for p in curve]}
            content = {'name': c.label, 'description': f'{len(pictures)} pictures', 'pictures': stems, 'results': results}
            (o.json / f'{c.name}.json').write_text(json.dumps(content, indent=2) + '\n')


if __name__ == '__main__':
    main()
