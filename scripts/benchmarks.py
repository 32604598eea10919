#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measures, keeps the results with what they were measured with, and writes the tables from them.

benchmarks.py --tool TOOL --kodak FOLDER [--only rates,speed,memory] [--efforts off,quick,fast,full]
                          runs the tool, writes docs/benchmarks/data/*.json, then the pages and the table of the README; rates by
                          compare.py, which keeps its rows in data/compare.csv and makes none twice
benchmarks.py --render    writes the pages and the table from the data alone
benchmarks.py --check     fails if a page or the table is not what --render would write

Every figure in docs/benchmarks and in the README comes from here; none is typed by hand.
"""
import argparse
import csv
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / 'docs/benchmarks'
DATA = PAGES / 'data'
PUBLISHED = DATA / 'published-kodak.csv'
ANCHOR = 'HM'
# Codecs of the published curves that the table names.
OTHERS = ['VTM', 'AV1', 'HM', 'bmshj2018-hyperprior', 'WebP', 'JPEG2000', 'JPEG']
EFFORTS = {'off': 'no search', 'quick': 'quick', 'fast': 'fast', 'full': 'full'}
# As --effort counts them.
NUMBERS = {'off': 0, 'quick': 2, 'fast': 5, 'full': 9}
NOTE = ''
BEGIN, END = '<!-- benchmarks -->', '<!-- /benchmarks -->'


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def processor():
    try:
        return re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())[1].strip()
    except (OSError, TypeError):
        return 'unknown processor'


def origin(command, model, cpu, threads):
    """What a result was measured with; the commit has a + if tracked sources differ from it."""
    changed = run('git', 'status', '--porcelain', '--untracked-files=no', '--', 'Sources', 'Package.swift').strip()
    return {'command': command, 'commit': run('git', 'rev-parse', '--short=10', 'HEAD').strip() + ('+' if changed else ''), 'model': model,
            'processor': processor(), 'cpu': cpu, 'threads': threads, 'date': datetime.date.today().isoformat(), 'note': NOTE}


def keep(name, value):
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / f'{name}.json').write_text(json.dumps(value, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')


def kept(name):
    path = DATA / f'{name}.json'
    return json.loads(path.read_text(encoding='utf-8')) if path.exists() else None


def measure_rates(tool, kodak, efforts):
    rows = DATA / 'compare.csv'
    print(f'benchmarks.py: {", ".join(efforts)} on {kodak}', file=sys.stderr)
    names = [f'ours{NUMBERS[e]}' for e in efforts]
    subprocess.run([sys.executable, ROOT / 'scripts/compare.py', tool, kodak, '--codecs', ','.join(names), '--reference', 'HM', '--csv', rows],
                   check=True, stdout=subprocess.DEVNULL)
    for effort in efforts:
        keep_rates(tool, effort, rows)


def keep_rates(tool, effort, file):
    """The means of an effort from the rows of compare.py."""
    model, macs = of_model(tool)
    rows = [r for r in csv.DictReader(Path(file).read_text().splitlines()) if (r['codec'], r['model']) == (f'ours{NUMBERS[effort]}', model)]
    megapixels = {r['picture']: float(r['width']) * float(r['height']) / 1e6 for r in rows}
    points = []
    for k, (decoder, encoder) in enumerate(macs):
        mine = [r for r in rows if int(r['point']) == k]
        if len(mine) != len(megapixels):
            sys.exit(f'benchmarks.py: {effort}: rate point {k} is there for {len(mine)} of {len(megapixels)} pictures')

        def mean(value):
            return sum(map(value, mine)) / len(mine)
        points.append({'rate_point': k, 'bpp': mean(lambda r: 8e-6 * float(r['bytes']) / megapixels[r['picture']]),
                       'psnr_rgb': mean(lambda r: float(r['psnr_rgb'])), 'psnr_y': mean(lambda r: float(r['psnr_y'])),
                       'encode_seconds': mean(lambda r: float(r['encode_s'])), 'decode_seconds': mean(lambda r: float(r['decode_s'])),
                       'decoder_mac_per_pixel': decoder, 'encoder_mac_per_pixel': encoder})
    with tempfile.NamedTemporaryFile('w', suffix='.csv') as curve:
        curve.write('codec,bpp,psnr_rgb\n' + ''.join(f'ours,{p["bpp"]},{p["psnr_rgb"]}\n' for p in points))
        curve.flush()
        bd = {codec: rate_difference(run(tool, 'bdrate', PUBLISHED, curve.name, '--anchor-codec', codec, '--json')) for codec in OTHERS}
    keep(f'kodak-{effort}', {
        'origin': origin(f'codec-bench encode -j1 -k RATE_POINT --effort {NUMBERS[effort]}', model, '', 1), 'pictures': len(megapixels),
        'bd_rate_over': bd, 'rate_points': points, 'megapixels': sum(megapixels.values()) / len(megapixels)})


def of_model(tool):
    """The embedded model's id, and [multiply-adds a pixel to (decode, encode without a search)] of each rate point."""
    text = run(tool, 'info', '--default-model')
    return re.search(r'^id +(\w+)$', text, re.M)[1], [(float(d), float(e)) for d, e in re.findall(r'^\d+ .*channels +([\d.]+) +([\d.]+)$', text, re.M)]


def rate_difference(text):
    value = json.loads(text)
    for key, number in value.items():
        if 'rate' in key and isinstance(number, (int, float)):
            return number
    raise SystemExit(f'benchmarks.py: no BD-rate in {text}')


def measure_published(tool):
    rates = {codec: rate_difference(run(tool, 'bdrate', PUBLISHED, PUBLISHED, '--anchor-codec', ANCHOR, '--test-codec', codec, '--json'))
             for codec in OTHERS if codec != ANCHOR}
    keep('published', {'bd_rate': rates})


def measure_speed(tool, repeats):
    for size in ('768x512', '1024x1024'):
        result = json.loads(run(tool, 'bench', '--size', size, '--rate-points', '0,4,7', '--repeats', repeats, '--json'))
        keep(f'speed-{size}', {
            'origin': origin(f'codec-bench bench --size {size} --rate-points 0,4,7 --repeats {repeats}', result['model'], result['cpu'],
                             result['threads']),
            'pixels': result['width'] * result['height'], 'clock_ghz': result['clock_ghz'], 'int16_peak': result.get('int16_gmac_per_second'),
            'rate_points': [{'rate_point': p['rate_point'], 'timings': [t for t in p['timings'] if not t['name'].startswith(' ')]}
                            for p in result['rate_points']]})


def measure_memory(tool):
    lines = {}
    for size in ('1024x1024', '8192x6144'):
        lines[size] = run(tool, 'bench', '--memory', '--size', size).strip()
    keep('memory', {'origin': origin('codec-bench bench --memory --size SIZE', '', '', 1), 'output': lines})


def signed(x):
    return f'{x:+.1f} %'.replace('-', '−')


def measured_with(o):
    parts = [f'commit {o["commit"]}', o['model'] and f'model {o["model"]}', o['processor'], o['cpu'] and f'kernels {o["cpu"]}',
             f'{o["threads"]} thread{"" if o["threads"] == 1 else "s"}', o['date'], o['note']]
    text = ', '.join(p for p in parts if p)
    return f'{text[0].upper()}{text[1:]}: `{o["command"]}`.'


def header(title):
    return [f'# {title}', '', 'Written by `make benchmarks` (`scripts/benchmarks.py`) from [data](data). How to read it: [README](README.md).', '']


def rows_of_rates():
    """(BD-rate over the anchor, name, whether it is ours)."""
    rows = [(value, codec, None) for codec, value in (kept('published') or {'bd_rate': {}})['bd_rate'].items()] + [(0.0, ANCHOR, None)]
    for effort, name in EFFORTS.items():
        result = kept(f'kodak-{effort}')
        if result:
            rows.append((result['bd_rate_over'][ANCHOR], f'SwiftCodec, {name}', result))
    return sorted(rows, key=lambda r: r[0])


def rates_page():
    out = header('Kodak: rate and quality') + [
        f'BD-rate over {ANCHOR}, RGB PSNR, mean curves of the 24 Kodak pictures. Ours are real files, decoded again; times are processor seconds',
        'of whole processes. The other codecs\' curves are [published](data/published-kodak.csv). Nothing was fitted or trained on these pictures.', '',
        f'| codec | BD-rate over {ANCHOR} |', '|---|---|']
    for value, name, ours in rows_of_rates():
        out.append(f'| {"**" + name + "**" if ours else name} | {signed(value) if name != ANCHOR else "0"} |')
    for effort, name in EFFORTS.items():
        result = kept(f'kodak-{effort}')
        if not result:
            continue
        points = result['rate_points']
        out += ['', f'## {name.capitalize()}', '', measured_with(result['origin']), '',
                '| rate point | ' + ' | '.join(str(p['rate_point']) for p in points) + ' |', '|---' * (len(points) + 1) + '|']
        for label, key, digits in (('bit/pixel', 'bpp', 3), ('PSNR RGB, dB', 'psnr_rgb', 2), ('PSNR Y, dB', 'psnr_y', 2)):
            out.append(f'| {label} | ' + ' | '.join(f'{p[key]:.{digits}f}' for p in points) + ' |')
        for label, key in (('encoding, s/megapixel', 'encode_seconds'), ('decoding, s/megapixel', 'decode_seconds')):
            out.append(f'| {label} | ' + ' | '.join(f'{p[key] / result["megapixels"]:.3f}' for p in points) + ' |')
        for label, key in (('kMAC/pixel to encode', 'encoder_mac_per_pixel'), ('kMAC/pixel to decode', 'decoder_mac_per_pixel')):
            out.append(f'| {label} | ' + ' | '.join(f'{p[key] / 1e3:.1f}' for p in points) + ' |')
        out += ['', 'BD-rate over ' + ', '.join(f'{c} {signed(v)}' for c, v in result['bd_rate_over'].items()) + '.']
    return '\n'.join(out) + '\n'


def speed_page():
    out = header('Speed')
    for size in ('768x512', '1024x1024'):
        result = kept(f'speed-{size}')
        if not result:
            continue
        out += [f'## {size}', '', measured_with(result['origin']) + f' Clock {result["clock_ghz"]:.2f} GHz. The picture is generated.', '',
                'Milliseconds a megapixel, the best run (the median in brackets):', '',
                '| | ' + ' | '.join(f'rate point {p["rate_point"]}' for p in result['rate_points']) + ' |',
                '|---' * (len(result['rate_points']) + 1) + '|']
        scale = 1e-6 / (result['pixels'] / 1e6)
        for i, timing in enumerate(result['rate_points'][0]['timings']):
            cells = [f'{p["timings"][i]["min_ns"] * scale:.1f} ({p["timings"][i]["median_ns"] * scale:.1f})'
                     if i < len(p['timings']) else '' for p in result['rate_points']]
            out.append(f'| {timing["name"]} | ' + ' | '.join(cells) + ' |')
        out.append('')
    return '\n'.join(out).rstrip() + '\n'


def memory_page():
    result = kept('memory')
    out = header('Memory')
    if result:
        out += [measured_with(result['origin']), '']
        for size, text in result['output'].items():
            out += [f'## {size}', '', '```', text, '```', '']
    return '\n'.join(out).rstrip() + '\n'


def readme_table():
    out = [f'| | BD-rate over {ANCHOR} | encoding, s/megapixel | decoding, s/megapixel |', '|---|---|---|---|']
    last = None
    for value, name, ours in rows_of_rates():
        if ours:
            last = ours['origin']
            mean = [sum(p[k] for p in ours['rate_points']) / len(ours['rate_points']) / ours['megapixels'] for k in ('encode_seconds', 'decode_seconds')]
            out.append(f'| **{name}** | **{signed(value)}** | {mean[0]:.2f} | {mean[1]:.3f} |')
        else:
            out.append(f'| {name} | {signed(value) if name != ANCHOR else "0"} | | |')
    if last:
        out += ['', f'24 Kodak pictures, RGB PSNR, processor seconds of whole processes on {last["processor"]}{", " + last["note"] if last["note"] else ""}, model {last["model"]}; '
                'other codecs: published curves.']
    return '\n'.join(out)


def outputs():
    """The files that are written, with their contents."""
    readme = ROOT / 'README.md'
    text = readme.read_text(encoding='utf-8')
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f'benchmarks.py: {readme.name} needs one {BEGIN} and one {END}')
    head, rest = text.split(BEGIN)
    return {readme: head + BEGIN + '\n' + readme_table() + '\n' + END + rest.split(END)[1],
            PAGES / 'kodak.md': rates_page(), PAGES / 'speed.md': speed_page(), PAGES / 'memory.md': memory_page()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tool')
    parser.add_argument('--kodak')
    parser.add_argument('--only', default='rates,speed,memory')
    parser.add_argument('--efforts', default=','.join(EFFORTS))
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--note', default='', help='what else a reader must know, such as: beside other work')
    parser.add_argument('--render', action='store_true')
    parser.add_argument('--check', action='store_true')
    a = parser.parse_args()
    global NOTE
    NOTE = a.note
    if a.check:
        stale = [path for path, text in outputs().items() if not path.exists() or path.read_text(encoding='utf-8') != text]
        for path in stale:
            print(f'{path.relative_to(ROOT)} is not what its data say: scripts/benchmarks.py --render')
        return 1 if stale else 0
    if not a.render:
        if not a.tool:
            parser.error('--tool is needed to measure')
        tool, parts = os.path.abspath(a.tool), a.only.split(',')
        measure_published(tool)
        if 'rates' in parts:
            if not a.kodak:
                parser.error('--kodak is needed to measure rates')
            measure_rates(tool, a.kodak, a.efforts.split(','))
        if 'speed' in parts:
            measure_speed(tool, a.repeats)
        if 'memory' in parts:
            measure_memory(tool)
    for path, text in outputs().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
