# SPDX-License-Identifier: BSD-3-Clause
"""Draws training logs: loss against minutes, one line a log.

python plot.py OUT.svg LOG.jsonl…
"""
import json
import os
import sys

WIDTH, HEIGHT, EDGE = 900, 500, 60
COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#17becf']


def main():
    out, paths = sys.argv[1], sys.argv[2:]
    logs = [[json.loads(line) for line in open(p)] for p in paths]
    x1 = max(row['minutes'] for log in logs for row in log)
    losses = [row['loss'] for log in logs for row in log]
    y0, y1 = min(losses), max(losses)
    at = lambda x, y: (EDGE + x / (x1 or 1) * (WIDTH - 2 * EDGE), EDGE + (y1 - y) / ((y1 - y0) or 1) * (HEIGHT - 2 * EDGE))
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for i in range(6):
        x, y = x1 * i / 5, y0 + (y1 - y0) * i / 5
        (px, _), (_, py) = at(x, y0), at(0, y)
        svg.append(f'<line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{py:.1f}" y2="{py:.1f}" stroke="#ddd"/><text x="8" y="{py + 4:.1f}">{y:.3f}</text>'
                   f'<text x="{px:.1f}" y="{HEIGHT - EDGE + 20}" text-anchor="middle">{x:.1f}</text>')
    svg.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">minutes of training</text><text x="8" y="24">log (λ · 255² · MSE + bpp)</text>')
    for i, (log, path) in enumerate(zip(logs, paths)):
        colour = COLOURS[i % len(COLOURS)]
        line = ' '.join('%.1f,%.1f' % at(row['minutes'], row['loss']) for row in log)
        svg.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
                   f'<text x="{WIDTH - EDGE}" y="{EDGE + 18 * i}" text-anchor="end" fill="{colour}">{os.path.basename(path)}</text>')
    with open(out, 'w') as file:
        file.write('\n'.join(svg + ['</svg>']) + '\n')


if __name__ == '__main__':
    main()
