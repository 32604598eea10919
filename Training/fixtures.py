"""Makes ../Fixtures/models/tiny.scm, a small network with every operation, and the expected results of the integer simulator.

python fixtures.py
"""
from pathlib import Path

import crc32c
import numpy as np
import torch

import export
import integer
from graph import ALL, Graph, cdf, entropy_point, write_model
from integer import ANALYSIS, DEPTHWISE, LEAKY, RELU, REPLICATE, SYNTHESIS, ZERO

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / 'Fixtures/models'
BASE = ROOT / 'Sources/CCodecKernels/models/base.scm'
LAMBDAS = [0.002, 0.01, 0.05]
HIDDEN, LATENT = 0, 1
CLASSES = [[4, 8, 8], [8, 8, 12]]
FORMULA = 'sample(y, x, c) = (5·x + 3·y + 40·c + ⌊x·y/4⌋ + 11·((x·x + 7·y + 5·c) mod 13)) mod 256'


def formula_picture(width, height):
    y, x, c = np.ogrid[:height, :width, :3]
    return ((5 * x + 3 * y + 40 * c + x * y // 4 + 11 * ((x * x + 7 * y + 5 * c) % 13)) % 256).astype(np.uint8)


def tiny_graphs(rng):
    def weight(*shape):
        fan = np.prod(shape[1:])
        return torch.tensor(rng.normal(0, 1.4 / fan ** 0.5, shape))

    def bias(n):
        return torch.tensor(rng.normal(0, 0.05, n))

    def gains(n, low, high):
        return torch.tensor(np.outer([1, 2, 4], rng.uniform(low, high, n)))

    g = Graph(ANALYSIS, len(LAMBDAS), CLASSES)
    picture = g.input(3, ALL, 8, 0, 0)
    u = g.unshuffle('unshuffle', picture, 2)
    u = g.conv('point', u, weight(8, 12, 1, 1) / 255, bias(8), HIDDEN)
    x = g.conv('down5', picture, weight(8, 3, 5, 5) / 255, bias(8), HIDDEN, stride=2, activation=RELU)
    d = g.depthwise('depthwise3', x, weight(8, 1, 3, 3), bias(8), border=REPLICATE, activation=LEAKY, slope=3)
    x = g.add('add', u, d, activation=RELU)
    x = g.conv('wide', x, weight(7, 8, 1, 1), bias(7))
    d = g.conv('wide3', d, weight(9, 8, 3, 1), bias(9), activation=RELU)
    x = g.concat('concat', [x, d])
    x = g.conv('down4', x, weight(12, 16, 4, 4), bias(12), LATENT, stride=2, border=REPLICATE)
    x = g.conv('even2x3', x, weight(12, 12, 2, 3), bias(12), LATENT)
    g.gain('gain', x, gains(12, 3, 9), q=0, bits=15)

    s = Graph(SYNTHESIS, len(LAMBDAS), CLASSES)
    y = s.input(12, LATENT, 15, 0, 2)
    x = s.gain('igain', y, 1 / gains(12, 3, 9), activation=LEAKY, slope=1)
    a = s.transposed('up5', x, weight(12, 8, 5, 5) * 2, bias(8), HIDDEN, activation=RELU)
    b = s.transposed('up4', x, weight(12, 8, 4, 4) * 2, bias(8), HIDDEN, border=REPLICATE, activation=LEAKY, slope=4)
    c = s.transposed('up3', x, weight(12, 16, 3, 3) * 2, bias(16), border=REPLICATE)
    x = s.add('add', a, b, activation=RELU)
    x = s.depthwise('depthwise5', x, weight(8, 1, 5, 5), bias(8))
    x = s.conv('flat', x, weight(8, 8, 1, 1), bias(8))
    a = s.conv('flat2', a, weight(8, 8, 1, 2), bias(8))
    x = s.concat('concat', [x, c, a])
    x = s.conv('mix', x, weight(8, 32, 3, 1), bias(8), HIDDEN, border=ZERO, activation=LEAKY, slope=2)
    d = s.conv('down', x, weight(16, 8, 3, 3), bias(16), stride=2)
    x = s.conv('out', x, weight(12, 8, 3, 3) * 60, bias(12), border=REPLICATE)
    x = s.shuffle('shuffle', x, 2)
    d = s.shuffle('shuffle4', d, 4)
    d = s.conv('grey', d, weight(3, 1, 1, 1) * 20, bias(3))
    s.add('sum', x, d)
    return g, s


def crc(a, dtype):
    return f'{crc32c.crc32c(np.ascontiguousarray(a).astype(np.dtype(dtype).newbyteorder("<")).tobytes()):08x}'


def expectations(model_path, width, height):
    """One line a rate point. The synthesis runs on the latent of the analysis."""
    model, picture = integer.read_model(model_path), formula_picture(width, height)
    lines = [f'# Result of {model_path.name} on a picture of {width} x {height} (width x height),',
             f'# {FORMULA}; x from left, y from top, c = 0 red, 1 green, 2 blue.',
             '# CRC-32C of: the picture (u8, rows of RGB); the latent (i16 little-endian, [row][column][channel], channels of the rate point);',
             '# the result of the synthesis (the same layout, on the extended picture); the decoded picture (u8, rows of RGB).',
             '# rate point, channels, rows, columns of the latent, minimum, maximum, CRCs']
    for k in range(len(model.lambdas)):
        latent = integer.analyse(model, picture, k)
        out = model.run(SYNTHESIS, k, latent)
        crcs = [crc(picture, 'u1'), crc(latent.permute(1, 2, 0).numpy(), 'i2'), crc(out.permute(1, 2, 0).numpy(), 'i2'),
                crc(integer.synthesise(model, latent, k, picture.shape), 'u1')]
        lines.append(' '.join(map(str, [k, *latent.shape, latent.min().item(), latent.max().item(), *crcs])))
    return '\n'.join(lines) + '\n'


def main():
    rng = np.random.default_rng(2)
    graphs = tiny_graphs(rng)
    pictures = [formula_picture(52, 44), rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)]
    export.observe(graphs, pictures)
    for g in graphs:
        g.calibrate(headroom=1.5, bits=12)
    points = []
    for k, m in enumerate(CLASSES[LATENT]):
        latent = torch.cat([graphs[0].run([integer.picture_input(p, 2).float()], k).round().flatten(1) for p in pictures], 1).numpy()
        values = np.arange(-300, 301)
        p = np.exp(-np.abs(values - np.median(latent, 1)[:, None]) / (0.3 + np.abs(latent).mean(1)[:, None]))
        cdfs = [cdf(row / row.sum(), -300) for row in p]
        points.append(entropy_point(export.modes(cdfs), rng.uniform(0.2, 0.999, m), cdfs))
    path = MODELS / 'tiny.scm'
    write_model(path, 'tiny', 'Random weights, every operation; for tests.', LAMBDAS, graphs, [(integer.STATIC, points)])
    for model, size in ((path, (37, 29)), (BASE, (64, 48))):
        (MODELS / (model.stem + '.txt')).write_text(expectations(model, *size))


if __name__ == '__main__':
    main()
