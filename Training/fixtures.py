"""Makes the small test models tiny.scm and tiny-hyper.scm in ../Fixtures/models, and the expected results of the integer simulator.

python fixtures.py
"""
from pathlib import Path

import crc32c
import numpy as np
import torch

import export
import integer
from graph import ALL, Graph, cdf, entropy_point, write_model
from integer import ANALYSIS, HYPER_ANALYSIS, HYPER_SYNTHESIS, LEAKY, RELU, REPLICATE, SLICE, STATIC, SYNTHESIS, ZERO

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / 'Fixtures/models'
BASE = ROOT / 'Fixtures/models/base.scm'
LAMBDAS = [0.002, 0.01, 0.05]
HIDDEN, LATENT = 0, 1
CLASSES = [[4, 8, 8], [8, 8, 12]]
FORMULA = 'sample(y, x, c) = (5·x + 3·y + 40·c + ⌊x·y/4⌋ + 11·((x·x + 7·y + 5·c) mod 13)) mod 256'


def formula_picture(width, height):
    y, x, c = np.ogrid[:height, :width, :3]
    return ((5 * x + 3 * y + 40 * c + x * y // 4 + 11 * ((x * x + 7 * y + 5 * c) % 13)) % 256).astype(np.uint8)


class Draw:
    """Random parameters of a size that keeps activations moderate."""

    def __init__(self, rng):
        self.rng = rng

    def weight(self, *shape):
        return torch.tensor(self.rng.normal(0, 1.4 / np.prod(shape[1:]) ** 0.5, shape))

    def bias(self, n):
        return torch.tensor(self.rng.normal(0, 0.05, n))

    def gains(self, n, low, high):
        return torch.tensor(np.outer([1, 2, 4], self.rng.uniform(low, high, n)))

    def rate(self, n):
        """Scales and biases of a modulated layer."""
        return torch.tensor(self.rng.uniform(-0.3, 1.5, (len(LAMBDAS), n))), torch.tensor(self.rng.normal(0, 0.2, (len(LAMBDAS), n)))


def tiny_graphs(draw):
    """Every operation but modulated ones, two width classes, two levels."""
    weight, bias, gains = draw.weight, draw.bias, draw.gains
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
    return [g, s]


def tiny_hyper_graphs(draw):
    """Hyperprior with two slices of four and two channels, modulated layers, a latent with fractional bits."""
    weight, bias, gains, rate, points, q = draw.weight, draw.bias, draw.gains, draw.rate, len(LAMBDAS), 4

    a = Graph(ANALYSIS, points)
    x = a.unshuffle('unshuffle', a.input(3, ALL, 8, 0, 0), 4)
    x = a.conv('point', x, weight(8, 48, 1, 1) / 255, bias(8), activation=RELU, rate=rate(8))
    x = a.conv('conv', x, weight(6, 8, 3, 3), bias(6))
    a.gain('gain', x, gains(6, 3, 9), q=q, bits=15)

    s = Graph(SYNTHESIS, points)
    x = s.gain('igain', s.input(6, ALL, 15, q, 2), 1 / gains(6, 3, 9))
    x = s.transposed('up4', x, weight(6, 8, 4, 4) * 2, bias(8), activation=LEAKY, slope=3, rate=rate(8))
    y = s.depthwise('depthwise', x, weight(8, 1, 3, 3), bias(8), border=REPLICATE, activation=RELU, rate=rate(8))
    x = s.add('add', x, y)
    s.shuffle('shuffle', s.conv('out', x, weight(12, 8, 1, 1) * 60, bias(12), q=3, bits=15), 2)

    ha = Graph(HYPER_ANALYSIS, points)
    y, igain = ha.input(6, ALL, 15, q, 2), 1 / gains(6, 3, 9)
    x = ha.concat('concat', [ha.gain('positive', y, igain, activation=RELU), ha.gain('negative', y, -igain, activation=RELU)])
    x = ha.conv('down5', x, weight(5, 12, 5, 5), bias(5), stride=2, border=REPLICATE, activation=RELU, rate=rate(5))
    ha.conv('down3', x, weight(4, 5, 3, 3) * 4, bias(4), stride=2, border=REPLICATE, q=0, bits=15)

    hs = Graph(HYPER_SYNTHESIS, points)
    x = hs.conv('wide', hs.input(4, ALL, 15, 0, 4), weight(24, 4, 3, 3) / 4, bias(24), border=REPLICATE, activation=RELU)
    hs.transposed('up5', hs.shuffle('shuffle', x, 2), weight(6, 5, 5, 5) * 2, bias(5), border=REPLICATE)

    slices = []
    for i, (before, m) in enumerate(((0, 4), (4, 2))):
        g = Graph(SLICE + i, points)
        x = g.input(5, ALL, None, None, 2)
        if before:
            x = g.concat('concat', [x, g.gain('igain', g.input(before, ALL, 15, q, 2), 1 / gains(before, 3, 9))])
        x = g.conv('point', x, weight(7, 5 + before, 1, 1), bias(7), activation=RELU)
        x = g.depthwise('depthwise', x, weight(7, 1, 3, 3), bias(7), border=REPLICATE, activation=RELU, rate=rate(7))
        a_mean, b_mean = rate(m)
        a_scale, b_scale = rate(m)
        g.conv('parameters', x, weight(2 * m, 7, 1, 1), bias(2 * m), q=q, bits=15,
               rate=(torch.cat([a_mean * 3, a_scale * 6], 1), torch.cat([b_mean, 7 + 2 * b_scale], 1)))       # scales: integers around 7 · 2^4
        slices.append(g)
    return [a, s, ha, hs, *slices]


def crc(a, dtype):
    return f'{crc32c.crc32c(np.ascontiguousarray(a).astype(np.dtype(dtype).newbyteorder("<")).tobytes()):08x}'


def expectations(model_path, width, height):
    """One line a rate point, and one for a position between the first two. The synthesis runs on the latent of the analysis."""
    model, picture = integer.read_model(model_path), formula_picture(width, height)
    steps = 'y, z, v, the scales within 0…255, the decoded latent' if model.hyper else 'the latent'
    lines = [f'# Result of {model_path.name} on a picture of {width} x {height} (width x height),',
             f'# {FORMULA}; x from left, y from top, c = 0 red, 1 green, 2 blue.',
             f'# CRC-32C of: the picture (u8, rows of RGB); {steps} (i16 little-endian, [row][column][channel], channels of the rate point);',
             '# the result of the synthesis (the same layout, on the extended picture); the decoded picture (u8, rows of RGB).',
             '# rate point (k+f: f/32 of the way to the next), channels, rows, columns of the latent, minimum, maximum, CRCs']
    for k in [*range(len(model.lambdas)), (0, 11)]:
        y = latent = integer.analyse(model, picture, k)
        tensors = [y]
        if model.hyper:
            z = model.run(HYPER_ANALYSIS, k, y)
            latent, differences, scales = integer.code_slices(model, y, z, k)
            tensors += [z, differences, scales, latent]
        tensors.append(model.run(SYNTHESIS, k, latent))
        crcs = [crc(picture, 'u1'), *(crc(t.permute(1, 2, 0).numpy(), 'i2') for t in tensors), crc(integer.synthesise(model, latent, k, picture.shape), 'u1')]
        lines.append(' '.join(map(str, [k if isinstance(k, int) else '%d+%d' % k, *y.shape, y.min().item(), y.max().item(), *crcs])))
    return '\n'.join(lines) + '\n'


def laplacian_point(rng, samples):
    """A rate point with a CDF for each channel of samples [M, n]."""
    values = np.arange(-300, 301)
    p = np.exp(-np.abs(values - np.median(samples, 1)[:, None]) / (0.3 + np.abs(samples).mean(1)[:, None]))
    cdfs = [cdf(row / row.sum(), -300) for row in p]
    return entropy_point(export.modes(cdfs), rng.uniform(0.2, 0.999, len(cdfs)), cdfs)


def make_tiny(path):
    rng = np.random.default_rng(2)
    graphs = tiny_graphs(Draw(rng))
    pictures = [formula_picture(52, 44), rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)]
    export.observe(graphs, pictures)
    for g in graphs:
        g.calibrate(headroom=1.5, bits=12)
    points = []
    for k in range(len(LAMBDAS)):
        latents = [graphs[0].run([integer.picture_input(p, 2).float()], k).round().flatten(1) for p in pictures]
        points.append(laplacian_point(rng, torch.cat(latents, 1).numpy()))
    write_model(path, 'tiny', 'Random weights, every operation; for tests.', LAMBDAS, graphs, [(STATIC, points)])


def make_tiny_hyper(path):
    rng = np.random.default_rng(3)
    graphs = tiny_hyper_graphs(Draw(rng))
    picture = formula_picture(60, 52)
    export.observe(graphs, [picture])
    export.calibrate(graphs, headroom=1.5)
    y = [graphs[0].run([integer.picture_input(picture, 4).float()], k) for k in range(len(LAMBDAS))]
    points = [laplacian_point(rng, graphs[2].run([v], k).round().flatten(1).numpy()) for k, v in enumerate(y)]
    differences, bounds = export.gaussian_cdfs()
    points += [entropy_point([0] * 6, rng.uniform(0.2, 0.999, 6), differences[::4], bounds[3::4]) for _ in LAMBDAS]
    write_model(path, 'tiny-hyper', 'Random weights, hyperprior with slices, modulated layers; for tests.', LAMBDAS, graphs, [(STATIC, points)])


def main():
    make_tiny(MODELS / 'tiny.scm')
    make_tiny_hyper(MODELS / 'tiny-hyper.scm')
    for path, size in ((MODELS / 'tiny.scm', (37, 29)), (MODELS / 'tiny-hyper.scm', (37, 29)), (BASE, (64, 48))):
        (MODELS / (path.stem + '.txt')).write_text(expectations(path, *size))


if __name__ == '__main__':
    main()
