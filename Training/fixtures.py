# SPDX-License-Identifier: BSD-3-Clause
"""Makes those of the small test models tiny*.scm in ../Fixtures/models that are missing, and the expected results of the integer simulator.

python fixtures.py
"""
import struct
from dataclasses import replace
from pathlib import Path

import crc32c
import numpy as np
import torch

import export
import export_grown
import export_system
import integer
import systems
from graph import Graph, cdf, entropy_point, write_model
from integer import (ANALYSIS, CHROMA, COLOUR_PLANES, CONTEXT, CONTEXTS, DECODED, EARLIER, FEATURES, GREY, HYPER_ANALYSIS, HYPER_LATENT, HYPER_SYNTHESIS,
                     LATENT, LEAKY, LUMA, PARAMETERS, PLANES, PREDICTED_CHROMA, PREDICTED_LUMA, REFERENCE, RELU, REPLICATE, RGB, SLICE, STATE, STATIC,
                     SYNTHESIS, YUV420, ZERO)

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / 'Fixtures/models'
LAMBDAS = [0.002, 0.01, 0.05]
HIDDEN, CODED = 0, 1
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
    picture = g.plane(COLOUR_PLANES, 3, 1)
    u = g.unshuffle('unshuffle', picture, 2)
    u = g.conv('point', u, weight(8, 12, 1, 1) / 255, bias(8), HIDDEN)
    x = g.conv('down5', picture, weight(8, 3, 5, 5) / 255, bias(8), HIDDEN, stride=2, activation=RELU)
    d = g.depthwise('depthwise3', x, weight(8, 1, 3, 3), bias(8), border=REPLICATE, activation=LEAKY, slope=3)
    x = g.add('add', u, d, activation=RELU)
    x = g.conv('wide', x, weight(7, 8, 1, 1), bias(7))
    d = g.conv('wide3', d, weight(9, 8, 3, 1), bias(9), activation=RELU)
    x = g.concat('concat', [x, d])
    x = g.conv('down4', x, weight(12, 16, 4, 4), bias(12), CODED, stride=2, border=REPLICATE)
    x = g.conv('even2x3', x, weight(12, 12, 2, 3), bias(12), CODED)
    g.output(LATENT, g.gain('gain', x, gains(12, 3, 9), q=0, bits=15))

    s = Graph(SYNTHESIS, len(LAMBDAS), CLASSES)
    y = s.input(DECODED, 12, 15, 0, 4, CODED)
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
    s.output(COLOUR_PLANES, s.add('sum', x, d))
    return [g, s]


def tiny_hyper_graphs(draw):
    """Hyperprior with two slices of four and two channels, modulated layers, a latent with fractional bits."""
    weight, bias, gains, rate, points, q = draw.weight, draw.bias, draw.gains, draw.rate, len(LAMBDAS), 4

    a = Graph(ANALYSIS, points)
    x = a.unshuffle('unshuffle', a.plane(COLOUR_PLANES, 3, 1), 4)
    x = a.conv('point', x, weight(8, 48, 1, 1) / 255, bias(8), activation=RELU, rate=rate(8))
    x = a.conv('conv', x, weight(6, 8, 3, 3), bias(6))
    a.output(LATENT, a.gain('gain', x, gains(6, 3, 9), q=q, bits=15))

    s = Graph(SYNTHESIS, points)
    x = s.gain('igain', s.input(DECODED, 6, 15, q, 4), 1 / gains(6, 3, 9))
    x = s.transposed('up4', x, weight(6, 8, 4, 4) * 2, bias(8), activation=LEAKY, slope=3, rate=rate(8))
    y = s.depthwise('depthwise', x, weight(8, 1, 3, 3), bias(8), border=REPLICATE, activation=RELU, rate=rate(8))
    x = s.add('add', x, y)
    s.output(COLOUR_PLANES, s.shuffle('shuffle', s.conv('out', x, weight(12, 8, 1, 1) * 60, bias(12), q=3, bits=15), 2))

    ha = Graph(HYPER_ANALYSIS, points)
    y, igain = ha.input(LATENT, 6, 15, q, 4), 1 / gains(6, 3, 9)
    x = ha.concat('concat', [ha.gain('positive', y, igain, activation=RELU), ha.gain('negative', y, -igain, activation=RELU)])
    x = ha.conv('down5', x, weight(5, 12, 5, 5), bias(5), stride=2, border=REPLICATE, activation=RELU, rate=rate(5))
    ha.output(HYPER_LATENT, ha.conv('down3', x, weight(4, 5, 3, 3) * 4, bias(4), stride=2, border=REPLICATE, q=0, bits=15))

    hs = Graph(HYPER_SYNTHESIS, points)
    x = hs.conv('wide', hs.input(HYPER_LATENT, 4, 15, 0, 16), weight(24, 4, 3, 3) / 4, bias(24), border=REPLICATE, activation=RELU)
    hs.output(FEATURES, hs.transposed('up5', hs.shuffle('shuffle', x, 2), weight(6, 5, 5, 5) * 2, bias(5), border=REPLICATE))

    slices = []
    for i, (before, m) in enumerate(((0, 4), (4, 2))):
        g = Graph(SLICE + i, points)
        x = g.input(FEATURES, 5, None, None, 4)
        if before:
            x = g.concat('concat', [x, g.gain('igain', g.input(EARLIER, before, 15, q, 4), 1 / gains(before, 3, 9))])
        x = g.conv('point', x, weight(7, 5 + before, 1, 1), bias(7), activation=RELU)
        x = g.depthwise('depthwise', x, weight(7, 1, 3, 3), bias(7), border=REPLICATE, activation=RELU, rate=rate(7))
        a_mean, b_mean = rate(m)
        a_scale, b_scale = rate(m)
        x = g.conv('parameters', x, weight(2 * m, 7, 1, 1), bias(2 * m), q=q, bits=15,
                   rate=(torch.cat([a_mean * 3, a_scale * 6], 1), torch.cat([b_mean, 7 + 2 * b_scale], 1)))       # scales: integers around 7 · 2^4
        g.output(PARAMETERS, x)
        slices.append(g)
    return [a, s, ha, hs, *slices]


def tiny_format_graphs(draw):
    """Analysis and synthesis of every pixel format, all but the outermost layers shared; resolutions that are no powers of two, strides of 3 and 4."""
    weight, bias, gains, points = draw.weight, draw.bias, draw.gains, len(LAMBDAS)

    a = Graph(ANALYSIS, points, format=YUV420)
    luma, chroma = a.plane(LUMA, 1, 1), a.plane(CHROMA, 2, 2)
    x = a.concat('planes', [a.conv('luma', luma, weight(4, 1, 3, 3) / 255, bias(4), stride=2, q=7, bits=10),
                            a.conv('chroma', chroma, weight(2, 2, 1, 1) / 255, bias(2), q=7, bits=10)])
    first = x
    y = a.conv('down9', x, weight(8, 6, 9, 9), bias(8), stride=3, activation=RELU)
    y = a.conv('down2', y, weight(8, 8, 3, 3), bias(8), stride=2, border=REPLICATE)
    x = a.conv('packed', a.unshuffle('unshuffle', x, 6), weight(8, 216, 1, 1), bias(8))
    a.output(LATENT, a.gain('gain', a.add('add', x, y), gains(8, 3, 9), q=0, bits=15))

    s = Graph(SYNTHESIS, points, format=YUV420)
    x = s.gain('igain', s.input(DECODED, 8, 15, 0, 12), 1 / gains(8, 3, 9))
    y = s.shuffle('shuffle', s.conv('wide', x, weight(54, 8, 1, 1), bias(54)), 3)
    x = s.add('sum', y, s.transposed('up3', x, weight(8, 6, 5, 5) * 2, bias(6), stride=3, activation=RELU))
    full = s.transposed('up4', x, weight(6, 3, 3, 3) * 2, bias(3), stride=4, border=REPLICATE)
    x = s.add('add', x, s.conv('down4', full, weight(6, 3, 7, 7), bias(6), stride=4))
    last = s.transposed('up2', x, weight(6, 8, 4, 4) * 2, bias(8), border=REPLICATE, activation=RELU)
    s.output(LUMA, s.transposed('luma', last, weight(8, 1, 4, 4) * 60, bias(1), q=4, bits=15))
    s.output(CHROMA, s.conv('chroma', last, weight(2, 8, 3, 3) * 60, bias(2), q=5, bits=15))

    def others(format):
        """The same for a format of one plane, once those above are calibrated."""
        port, channels = (COLOUR_PLANES, 3) if format == RGB else (LUMA, 1)
        b = Graph(ANALYSIS, points, format=format)
        x = b.conv('first', b.plane(port, channels, 1), weight(6, channels, 3, 3) / 255, bias(6), stride=2, q=a.tensors[first].q, bits=a.tensors[first].bits)
        numbers = {first: x}
        b.copy(a, numbers, first - len(a.inputs) + 1)
        b.output(LATENT, numbers[a.outputs[LATENT]])
        t = Graph(SYNTHESIS, points, format=format)
        t.input(DECODED, 8, 15, 0, 12)
        numbers = {0: 0}
        t.copy(s, numbers, stop=last - len(s.inputs) + 1)
        t.output(port, t.transposed('last', numbers[last], weight(8, channels, 4, 4) * 60, bias(channels), q=4, bits=15))
        return [b, t]

    return [a, s], others


def tiny_inter_graphs(draw):
    """An inter model for 4:2:0 frames: motion-compensated planes, the reference's latent, a state and two contexts as inputs."""
    weight, bias, gains, rate, points, q = draw.weight, draw.bias, draw.gains, draw.rate, len(LAMBDAS), 4
    state, reference = (STATE, 3, 11, 8, 4), (REFERENCE, 6, 15, q, 4)

    c = Graph(CONTEXT, points)
    luma, chroma, before = c.plane(PREDICTED_LUMA, 1, 1), c.plane(PREDICTED_CHROMA, 2, 2), c.input(*state)
    x = c.concat('planes', [c.unshuffle('unshuffle', luma, 4), c.unshuffle('unshuffle2', chroma, 2)])
    x = c.conv('point', x, weight(6, 24, 1, 1) / 255, bias(6), activation=RELU, rate=rate(6))
    x = c.conv('mix', c.concat('concat', [x, before]), weight(6, 9, 3, 3), bias(6), border=REPLICATE, activation=RELU)
    c.output(CONTEXTS, x)
    c.output(CONTEXTS + 256, c.conv('coarse', x, weight(4, 6, 1, 1), bias(4)))

    a = Graph(ANALYSIS, points, format=YUV420)
    planes = [a.plane(port, *shape) for port, shape in ((LUMA, (1, 1)), (CHROMA, (2, 2)), (PREDICTED_LUMA, (1, 1)), (PREDICTED_CHROMA, (2, 2)))]
    context = a.input(CONTEXTS, 6, None, None, 4)
    x = a.concat('planes', [a.unshuffle(f'unshuffle.{i}', x, f) for i, (x, f) in enumerate(zip(planes, (4, 2, 4, 2)))])
    difference = weight(8, 24, 1, 1) / 255
    x = a.conv('difference', x, torch.cat([difference, -difference], 1), bias(8), activation=RELU, rate=rate(8))
    x = a.conv('conv', a.concat('concat', [x, context]), weight(6, 14, 3, 3), bias(6))
    a.output(LATENT, a.gain('gain', x, gains(6, 3, 9), q=q, bits=15))

    s = Graph(SYNTHESIS, points, format=YUV420)
    y, luma, chroma, before, context = s.input(DECODED, 6, 15, q, 4), s.plane(PREDICTED_LUMA, 1, 1), s.plane(PREDICTED_CHROMA, 2, 2), s.input(*state), \
        s.input(CONTEXTS, 6, None, None, 4)
    x = s.concat('concat', [s.gain('igain', y, 1 / gains(6, 3, 9)), before, context])
    x = s.conv('mix', x, weight(8, 15, 3, 3), bias(8), border=REPLICATE, activation=RELU, rate=rate(8))
    half = torch.eye(1)[:, :, None, None] / 2
    x_luma = s.shuffle('shuffle', s.conv('luma', x, weight(16, 8, 1, 1) * 30, bias(16), q=3, bits=14), 4)
    x_chroma = s.shuffle('shuffle2', s.conv('chroma', x, weight(8, 8, 1, 1) * 30, bias(8), q=3, bits=14), 2)
    s.output(LUMA, s.add('sum', x_luma, s.conv('half', luma, half, torch.zeros(1), q=3, bits=12)))
    s.output(CHROMA, s.add('sum2', x_chroma, s.depthwise('half2', chroma, half.expand(2, 1, 1, 1), torch.zeros(2), q=3, bits=12)))
    s.output(STATE, s.conv('state', x, weight(3, 8, 3, 3), bias(3), activation=RELU, q=8, bits=11))

    _, _, ha, hs, *slices = tiny_hyper_graphs(draw)
    hs2 = Graph(HYPER_SYNTHESIS, points)
    z, y, context = hs2.input(HYPER_LATENT, 4, 15, 0, 16), hs2.input(*reference), hs2.input(CONTEXTS + 256, 4, None, None, 4)
    x = hs2.conv('wide', z, weight(24, 4, 3, 3) / 4, bias(24), border=REPLICATE, activation=RELU)
    x = hs2.transposed('up5', hs2.shuffle('shuffle', x, 2), weight(6, 5, 5, 5) * 2, bias(5), border=REPLICATE)
    x = hs2.concat('concat', [x, hs2.gain('igain', y, 1 / gains(6, 3, 9)), context])
    hs2.output(FEATURES, hs2.conv('out', x, weight(5, 15, 1, 1), bias(5)))
    return [c, a, s, ha, hs2, *slices]


def crc(a, dtype):
    return f'{crc32c.crc32c(np.ascontiguousarray(a).astype(np.dtype(dtype).newbyteorder("<")).tobytes()):08x}'


def tensor_crc(t):
    return crc(t.permute(1, 2, 0).numpy(), 'i2')


POSITIONS = [*range(len(LAMBDAS)), (0, 11)]


def position(k):
    return str(k) if isinstance(k, int) else '%d+%d' % k


def expectations(model_path, width, height):
    """One line a rate point, and one for a position between the first two. The synthesis runs on the latent of the analysis."""
    model, picture = integer.read_model(model_path), formula_picture(width, height)
    steps = 'y, z, v, the scales within 0…255, the decoded latent' if model.hyper else 'the latent'
    lines = [f'# Result of {model_path.name} on a picture of {width} x {height} (width x height),',
             f'# {FORMULA}; x from left, y from top, c = 0 red, 1 green, 2 blue.',
             f'# CRC-32C of: the picture (u8, rows of RGB); {steps} (i16 little-endian, [row][column][channel], channels of the rate point);',
             '# the result of the synthesis (the same layout, on the extended picture); the decoded picture (u8, rows of RGB).',
             '# rate point (k+f: f/32 of the way to the next), channels, rows, columns of the latent, minimum, maximum, CRCs']
    for k in [*range(len(model.lambdas)), (0, 11), *((first, 11) for first, _ in model.growths)]:
        planes = {COLOUR_PLANES: picture}
        y = latent = integer.analyse(model, planes, k)
        tensors = [y]
        if model.hyper:
            known = {LATENT: y}
            known |= model.run(HYPER_ANALYSIS, k, known)
            latent, differences, scales = integer.code_slices(model, known, k)
            tensors += [known[HYPER_LATENT], differences, scales, latent]
        known = {DECODED: latent}
        tensors.append(model.run(SYNTHESIS, k, known)[COLOUR_PLANES])
        crcs = [crc(picture, 'u1'), *map(tensor_crc, tensors), crc(integer.synthesise(model, known, k, picture.shape)[COLOUR_PLANES], 'u1')]
        lines.append(' '.join(map(str, [position(k), *y.shape, y.min().item(), y.max().item(), *crcs])))
    return '\n'.join(lines) + '\n'


NAMES = ('rgb', 'grey', 'yuv420')
FORMULA_CHANNELS = {COLOUR_PLANES: [0, 1, 2], LUMA: [0], CHROMA: [1, 2], PREDICTED_LUMA: [1], PREDICTED_CHROMA: [2, 0]}


def formula_plane(port, width, height):
    d = integer.PLANE_DIVISORS[port]
    return formula_picture(-(-width // d), -(-height // d))[..., FORMULA_CHANNELS[port]]


def formula_tensor(channels, height, width):
    """int64 [channels, height, width]"""
    c, y, x = np.ogrid[:channels, :height, :width]
    return torch.from_numpy((37 * x + 59 * y + 83 * c + 7 * x * y) % 257 - 128)


PLANES_FORMULA = [f'# The planes have the samples of {FORMULA} at their own resolution, a chroma plane half the height and width, rounded up:',
                  '# channels c = 0, 1, 2 of rgb; luma c = 0; chroma U c = 1, V c = 2.']


def format_expectations(model_path, width, height):
    """One line for each format at each position. The synthesis runs on the latent of the analysis."""
    model = integer.read_model(model_path)
    lines = [f'# Result of {model_path.name} on pictures of {width} x {height} (width x height).', *PLANES_FORMULA,
             '# CRC-32C of: each plane (u8, [row][column][channel]); the latent (i16 little-endian, [row][column][channel]); each plane that the synthesis gives',
             '# (the same layout, on the extended picture); each decoded plane (u8).',
             '# format, rate point (k+f: f/32 of the way to the next), channels, rows, columns of the latent, minimum, maximum, CRCs']
    for format in model.formats():
        planes = {port: formula_plane(port, width, height) for port in PLANES[format]}
        for k in POSITIONS:
            y = integer.analyse(model, planes, k, format)
            out = model.run(SYNTHESIS, k, {DECODED: y}, format)
            decoded = integer.synthesise(model, {DECODED: y}, k, (height, width), format)
            crcs = [*(crc(p, 'u1') for p in planes.values()), tensor_crc(y), *map(tensor_crc, out.values()), *(crc(p, 'u1') for p in decoded.values())]
            lines.append(' '.join(map(str, [NAMES[format], position(k), *y.shape, y.min().item(), y.max().item(), *crcs])))
    return '\n'.join(lines) + '\n'


def inter_expectations(model_path, width, height):
    """One line a position: every tensor on the way of a frame."""
    model = integer.read_model(model_path)
    lines = [f'# Result of {model_path.name} on a 4:2:0 frame of {width} x {height} (width x height).', *PLANES_FORMULA,
             '# Predicted luma is c = 1, predicted chroma c = 2 and c = 0, extended like the frame. The reference\'s latent and state 0 hold at row y, column x',
             '# and channel c the integer (37·x + 59·y + 83·c + 7·x·y) mod 257 − 128.',
             '# CRC-32C of (i16 little-endian, [row][column][channel]): contexts 0 and 1, y, z, v, the scales within 0…255, the decoded latent, luma and chroma',
             '# that the synthesis gives, the next state 0; of (u8): decoded luma and chroma.',
             '# rate point (k+f: f/32 of the way to the next), channels, rows, columns of the latent, minimum, maximum, CRCs']
    multiple = model.multiple(YUV420)
    rows, columns = (-(-n // multiple) * multiple for n in (height, width))
    known = integer.plane_inputs({port: formula_plane(port, width, height) for port in (LUMA, CHROMA, PREDICTED_LUMA, PREDICTED_CHROMA)}, multiple)
    for port, role in ((REFERENCE, HYPER_SYNTHESIS), (STATE, SYNTHESIS)):
        g = model.graphs[role, YUV420 if role == SYNTHESIS else 0]
        t = g.tensors[g.inputs.index(port)]
        known[port] = formula_tensor(t.channels, rows // t.divisor, columns // t.divisor)
    for k in POSITIONS:
        t = known | model.run(CONTEXT, k, known)
        t |= model.run(ANALYSIS, k, t, YUV420)
        t |= model.run(HYPER_ANALYSIS, k, t)
        t[DECODED], differences, scales = integer.code_slices(model, t, k)
        out, decoded = model.run(SYNTHESIS, k, t, YUV420), integer.synthesise(model, t, k, (height, width), YUV420)
        y = t[LATENT]
        crcs = [tensor_crc(v) for v in (t[CONTEXTS], t[CONTEXTS + 256], y, t[HYPER_LATENT], differences, scales, t[DECODED], *out.values())]
        lines.append(' '.join(map(str, [position(k), *y.shape, y.min().item(), y.max().item(), *crcs, *(crc(p, 'u1') for p in decoded.values())])))
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
        latents = [graphs[0].run({COLOUR_PLANES: integer.plane_input(p, 4)}, k)[LATENT].round().flatten(1) for p in pictures]
        points.append(laplacian_point(rng, torch.cat(latents, 1).numpy()))
    write_model(path, 'tiny', 'Random weights, every operation; for tests.', LAMBDAS, graphs, [(STATIC, points)])


def hyper_points(rng, z):
    """Entropy tables of the hyper-latents [rate point] and of six channels of v."""
    points = [laplacian_point(rng, v.round().flatten(1).numpy()) for v in z]
    differences, bounds = export.gaussian_cdfs()
    return points + [entropy_point([0] * 6, rng.uniform(0.2, 0.999, 6), differences[::4], bounds[3::4]) for _ in LAMBDAS]


def make_tiny_hyper(path):
    rng = np.random.default_rng(3)
    graphs = tiny_hyper_graphs(Draw(rng))
    picture = {COLOUR_PLANES: integer.plane_input(formula_picture(60, 52), 16)}
    export.observe(graphs, [formula_picture(60, 52)])
    export.calibrate(graphs, headroom=1.5)
    points = hyper_points(rng, [graphs[2].run(graphs[0].run(picture, k), k)[HYPER_LATENT] for k in range(len(LAMBDAS))])
    write_model(path, 'tiny-hyper', 'Random weights, hyperprior with slices, modulated layers; for tests.', LAMBDAS, graphs, [(STATIC, points)])


GROWN_LAMBDAS = [0.004, 0.03]
GROWN = {(ANALYSIS, 'point'): 12, (HYPER_ANALYSIS, 'down5'): 7, (SLICE, 'point'): 10, (SLICE, 'depthwise'): 10, (SLICE + 1, 'point'): 9, (SLICE + 1, 'depthwise'): 9}


def grown_graph(draw, graph):
    """A float graph with the weights of another one, more channels where GROWN says so, and other rate points: so what is summed over more is modulated."""
    g, points = Graph(graph.role, len(GROWN_LAMBDAS)), len(GROWN_LAMBDAS)
    for port, t in zip(graph.inputs, graph.tensors):
        g.input(port, t.channels, t.bits, t.q, t.divisor)
    rate = lambda n: (torch.tensor(draw.rng.uniform(0.3, 1.2, (points, n))), torch.tensor(draw.rng.normal(0, 0.2, (points, n))))
    for number, layer in enumerate(graph.layers, len(graph.inputs)):
        t = graph.tensors[number]
        channels = GROWN.get((graph.role, layer.name), t.channels)
        layer = replace(layer, arrays=None)
        if layer.gain is not None:
            layer.gain = layer.gain[:1] * torch.tensor([[0.5], [1.5]])
        elif layer.weight is not None:
            inputs = 1 if layer.op == integer.DEPTHWISE else g.tensors[layer.inputs[0]].channels
            weight, bias = draw.weight(channels, inputs, *layer.weight.shape[2:]), draw.bias(channels)
            grows = weight.shape[1] > layer.weight.shape[1]
            weight[:t.channels, :layer.weight.shape[1]] = layer.weight
            layer.weight = weight
            if layer.scale is not None or grows:
                layer.scale, more = rate(channels)
                if graph.outputs.get(PARAMETERS) == number:
                    layer.scale[:] *= 4
                    more[:, channels // 2:] += 7
                layer.bias = bias * layer.scale + more
            else:
                bias[:t.channels] = layer.bias
                layer.bias = bias
        g.add_layer(layer, channels, 255, [channels] * points, t.divisor, t.q, t.bits)
    g.outputs = dict(graph.outputs)
    return g


def make_tiny_grown(path):
    """tiny-hyper, grown by a domain of two rate points."""
    source = MODELS / 'tiny-hyper.scm'
    model, rng = integer.read_model(source), np.random.default_rng(8)
    old = tiny_hyper_graphs(Draw(np.random.default_rng(3)))
    new, picture = [grown_graph(Draw(rng), g) for g in old], {COLOUR_PLANES: integer.plane_input(formula_picture(60, 52), 16)}
    export.observe(new, [formula_picture(60, 52)])
    (head, hyper, points), = model.tables.values()
    z = [new[2].run(new[0].run(picture, k), k)[HYPER_LATENT] for k in range(len(GROWN_LAMBDAS))]
    more = hyper_points(rng, z)[:2 * len(z)]
    export_grown.write(path, source, model, export_grown.grow(model, old, new, 1.5), GROWN_LAMBDAS, [(head, [*hyper, *more[:2], *points, *more[2:]])])


def make_tiny_formats(path):
    rng = np.random.default_rng(4)
    (analysis, synthesis), others = tiny_format_graphs(Draw(rng))
    planes = integer.plane_inputs({port: formula_plane(port, 60, 52) for port in PLANES[YUV420]}, 12)
    latents = [analysis.run(planes, k)[LATENT].round() for k in range(len(LAMBDAS))]
    for k, y in enumerate(latents):
        synthesis.run({DECODED: y}, k)
    for g in (analysis, synthesis):
        g.calibrate(headroom=2)
    graphs = [*others(RGB), *others(GREY), analysis, synthesis]
    points = [laplacian_point(rng, y.flatten(1).numpy()) for y in latents]
    write_model(path, 'tiny-formats', 'Random weights, three pixel formats, strides of 3 and 4; for tests.', LAMBDAS, graphs, [(STATIC, points)])


def motion_tables(sets):
    """The section MOTN: even distributions in the first set, steep ones in the others."""
    alphabets = [8] * 42 + [7] * 24 + [32] * 14
    body = struct.pack('<BB', sets, len(alphabets))
    for s in range(sets):
        for n in alphabets:
            weights = [max(1, (1 << 12) >> (s * i)) for i in range(n)]
            frequencies = [1 + (32768 - n) * w // sum(weights) for w in weights]
            frequencies[0] += 32768 - sum(frequencies)
            body += struct.pack(f'<{n + 1}H', n, *frequencies)
    return body


def make_tiny_inter(path):
    rng = np.random.default_rng(5)
    graphs = tiny_inter_graphs(Draw(rng))
    context, analysis, synthesis, ha, hs, *slices = graphs
    known = integer.plane_inputs({port: formula_plane(port, 60, 52) for port in (LUMA, CHROMA, PREDICTED_LUMA, PREDICTED_CHROMA)}, 16)
    known |= {REFERENCE: formula_tensor(6, 16, 16) / 2 ** 4, STATE: formula_tensor(3, 16, 16) / 2 ** 8}
    latents = []
    for k in range(len(LAMBDAS)):
        t = known | context.run(known, k)
        t |= analysis.run(t, k)
        latents.append(ha.run(t, k)[HYPER_LATENT])
        synthesis.run(t | {DECODED: export.observe_entropy([ha, hs, *slices], t, k)}, k)
    export.calibrate(graphs, headroom=1.5)
    text = 'Random weights, predicts from a reference frame, its latent and a state; for tests.'
    write_model(path, 'tiny-inter', text, LAMBDAS, graphs, [(STATIC, hyper_points(rng, latents))], motion_tables(2))


# ---- systems of papers (systems.py), small ----------------------------------------------------------------------------

class TinySlimCAE(systems.SlimCAE):
    lambdas, N, H = LAMBDAS, (2, 4, 6), (2, 3, 4)


class TinySlimVC(systems.SlimVC):
    lambdas, N, H, F, T, E = LAMBDAS, (2, 4, 6), (2, 3, 4), (3, 5, 6), ((2, 3, 4), (3, 4, 5)), ((4, 6, 8), (3, 5, 6))


class TinyFLAG(systems.FLAG):
    lambdas, N, M, Z = LAMBDAS, 4, 6, 3


def randomised(net, seed):
    """Without layers that are zero at first."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.dim() == 4 and not p.any():
                p.normal_(std=0.7 / p[0].numel() ** 0.5)
            elif name.endswith(('.a', '.b', 'bias', 'base')):
                p.add_(0.2 * torch.randn_like(p))
    return net.eval()


def picture_planes(multiple):
    return integer.plane_inputs({port: formula_plane(port, 60, 52) for port in (LUMA, CHROMA)}, multiple)


@torch.no_grad()
def make_tiny_slimvc(intra, inter):
    rng, image, net = np.random.default_rng(6), randomised(TinySlimCAE(), 6), randomised(TinySlimVC(), 7)
    net.load_state_dict({n: p for n, p in image.state_dict().items() if n.startswith(systems.SlimCAE.TRANSFORMS)}, strict=False)
    transforms = export_system.slim_transforms(net)
    first, entropy = export_system.slim_image_entropy(image), export_system.slim_entropy(net)
    moved = [[[np.ones(net.H[k]), np.ones(net.N[k])] for _ in range(2)] for k in range(len(LAMBDAS))]
    for k in range(len(LAMBDAS)):
        export_system.slim_chain(transforms, first, entropy, [picture_planes(48)] * 2, k, moved[k])
    for graphs in ([*transforms, *first], entropy):
        export.calibrate(graphs, headroom=1.5)
    for path, name, graphs, n, i in ((intra, 'slimcae', first, image, 0), (inter, 'slimvc', entropy, net, 1)):
        tables = export_system.hyper_tables(n, [m[i] for m in moved], 2)
        write_model(path, f'tiny-{name}', 'Random weights, a slimmable hyperprior; for tests.', LAMBDAS, [*transforms, *graphs], [(STATIC, tables)])


@torch.no_grad()
def make_tiny_flag(intra, inter):
    rng, net, points = np.random.default_rng(8), randomised(TinyFLAG(), 8), len(LAMBDAS)
    draw = Draw(rng)
    a = Graph(ANALYSIS, points, format=YUV420)
    planes = [a.plane(LUMA, 1, 1), a.plane(CHROMA, 2, 2)]
    x = a.concat('planes', [a.unshuffle(f'unshuffle.{i}', x, f) for i, (x, f) in enumerate(zip(planes, (8, 4)))])
    x = a.conv('down', x, draw.weight(6, 96, 2, 2) / 255, draw.bias(6), stride=2)
    a.output(LATENT, a.gain('gain', x, draw.gains(6, 3, 9), q=0, bits=15))
    s = Graph(SYNTHESIS, points, format=YUV420)
    x = s.transposed('up', s.gain('igain', s.input(DECODED, 6, 15, 0, 16), 1 / draw.gains(6, 3, 9)), draw.weight(6, 8, 2, 2), draw.bias(8), activation=RELU)
    states = [s.conv(f'out.{i}', x, draw.weight(n, 8, 1, 1) * 40, draw.bias(n), **export_system.GREY_STATES) for i, n in enumerate((64, 32))]
    for port, x, f in zip((LUMA, CHROMA), states, (8, 4)):
        s.output(port, s.shuffle(f'shuffle.{f}', x, f))
    for port, x in zip(export_system.STATES, states):
        s.output(port, x)
    graphs = export_system.flag_graphs(net)
    context, analysis, synthesis, *entropy = graphs
    latents = []
    for k in range(points):
        known = picture_planes(64)
        known |= a.run(known, k)
        latents.append(known[LATENT].round())
        known |= s.run({DECODED: latents[-1]}, k)
        for _ in range(2):
            known |= context.run(known, k)
            known |= analysis.run(known, k)
            known |= synthesis.run(known | {DECODED: export_system.observe_prior(entropy, known, k)[2]}, k)
            known |= picture_planes(64)
    for group in ([a, s], graphs):
        export.calibrate(group, headroom=1.5)
    moved = [[np.ones(net.Z), np.ones(net.M)] for _ in LAMBDAS]
    write_model(intra, 'tiny-flag-intra', 'Random weights, leaves states behind; for tests.', LAMBDAS, [a, s],
                [(STATIC, [laplacian_point(rng, y.flatten(1).numpy()) for y in latents])])
    write_model(inter, 'tiny-flag', 'Random weights, predicts from states without motion; for tests.', LAMBDAS, graphs,
                [(STATIC, export_system.hyper_tables(net, moved, 2))])


def tiny_stem_graphs(draw):
    """Transforms, the entropy networks of intra frames, and those of inter frames, which read the latent before as a state."""
    weight, bias, gains, rate, points, q = draw.weight, draw.bias, draw.gains, draw.rate, len(LAMBDAS), 4
    state = lambda g: g.input(STATE, 6, None, None, 4)
    gain = gains(6, 3, 9)

    a = Graph(ANALYSIS, points, format=YUV420)
    planes = [a.plane(LUMA, 1, 1), a.plane(CHROMA, 2, 2)]
    x = a.concat('planes', [a.unshuffle(f'unshuffle.{i}', x, f) for i, (x, f) in enumerate(zip(planes, (4, 2)))])
    x = a.conv('point', x, weight(6, 24, 1, 1) / 255, bias(6))
    a.output(LATENT, a.gain('gain', x, gain, q=q, bits=15))
    s = Graph(SYNTHESIS, points, format=YUV420)
    y = s.gain('igain', s.input(DECODED, 6, 15, q, 4), 1 / gain, bits=14)
    x = s.depthwise('depthwise', y, weight(6, 1, 3, 3), bias(6), border=REPLICATE, activation=RELU, rate=rate(6))
    s.output(LUMA, s.shuffle('shuffle', s.conv('luma', x, weight(16, 6, 1, 1) * 60, bias(16), q=3, bits=14), 4))
    s.output(CHROMA, s.shuffle('shuffle2', s.conv('chroma', x, weight(8, 6, 1, 1) * 60, bias(8), q=3, bits=14), 2))
    s.output(STATE, y)
    _, _, *first = tiny_hyper_graphs(draw)

    c = Graph(CONTEXT, points)
    x = c.conv('tpm.0', state(c), weight(5, 6, 3, 3), bias(5), border=REPLICATE, activation=RELU)
    c.output(CONTEXTS, c.conv('tpm.1', x, weight(5, 5, 5, 5), bias(5), border=REPLICATE))
    ha = Graph(HYPER_ANALYSIS, points)
    y, before = ha.input(LATENT, 6, 15, q, 4), state(ha)
    x = ha.concat('concat', [ha.gain('positive', y, 1 / gain, activation=RELU), ha.gain('negative', y, -1 / gain, activation=RELU), before])
    x = ha.conv('down5', x, weight(5, 18, 5, 5), bias(5), stride=2, border=REPLICATE, activation=RELU)
    ha.output(HYPER_LATENT, ha.conv('down3', x, weight(4, 5, 3, 3) * 4, bias(4), stride=2, border=REPLICATE, q=0, bits=15))
    hs = Graph(HYPER_SYNTHESIS, points)
    z, extra = hs.input(HYPER_LATENT, 4, 15, 0, 16), hs.input(CONTEXTS, 5, None, None, 4)
    x = hs.conv('wide', z, weight(80, 4, 3, 3) / 4, bias(80), border=REPLICATE)
    hs.output(FEATURES, hs.add('context', hs.shuffle('shuffle', x, 4), extra))
    slices = []
    for i, (known, m) in enumerate(((0, 4), (4, 2))):
        g = Graph(SLICE + i, points)
        inputs = [g.input(FEATURES, 5, None, None, 4)] + [g.input(EARLIER, n, 15, q, 4) for n in [known] if n]
        before = state(g)
        x = inputs[:1] + [g.gain('igain', y, 1 / gain[:, :known]) for y in inputs[1:]]
        x = g.conv('point', g.concat('concat', [*x, before]), weight(7, 11 + known, 1, 1), bias(7), activation=RELU)
        a_mean, b_mean, a_scale, b_scale = (t for _ in range(2) for t in rate(m))
        x = g.conv('parameters', x, weight(2 * m, 7, 1, 1), bias(2 * m), q=q, bits=15,
                   rate=(torch.cat([a_mean * 3, a_scale * 6], 1), torch.cat([b_mean, 7 + 2 * b_scale], 1)))
        g.output(PARAMETERS, g.add('sum', x, g.conv('carry', before, weight(2 * m, 6, 1, 1) * 3, bias(2 * m), q=q, bits=15)))
        slices.append(g)
    return [a, s], first, [c, ha, hs, *slices]


@torch.no_grad()
def make_tiny_stem(intra, inter):
    rng = np.random.default_rng(9)
    transforms, first, entropy = tiny_stem_graphs(Draw(rng))
    analysis, synthesis = transforms
    latents = []
    for k in range(len(LAMBDAS)):
        known = picture_planes(16)
        known |= analysis.run(known, k)
        pair = [first[0].run(known, k)[HYPER_LATENT]]
        known |= synthesis.run({DECODED: export.observe_entropy(first, known, k)}, k)
        known |= entropy[0].run(known, k)
        pair.append(entropy[1].run(known, k)[HYPER_LATENT])
        export.observe_entropy(entropy[1:], known, k)
        latents.append(pair)
    export.calibrate([*transforms, *first], headroom=1.5)
    t = synthesis.tensors[synthesis.outputs[STATE]]
    for g in entropy:
        for port, x in zip(g.inputs, g.tensors):
            if port == STATE:
                x.q, x.bits = t.q, t.bits
    export.calibrate(entropy, headroom=1.5)
    for path, name, graphs, i in ((intra, 'tiny-stem-intra', first, 0), (inter, 'tiny-stem', entropy, 1)):
        write_model(path, name, 'Random weights, the latent before as a state; for tests.', LAMBDAS, [*transforms, *graphs],
                    [(STATIC, hyper_points(rng, [pair[i] for pair in latents]))])


def system_expectations(intra, inter, width, height):
    """A line a frame: three frames at each rate point."""
    lines = [f'# Frames of {width} x {height} (width x height) coded with {intra.name} and {inter.name}, the first one intra, latents rounded.', *PLANES_FORMULA,
             '# Samples of frame t are (that + 9·t) mod 256. Rate point, frame, CRC-32C of decoded luma and chroma (u8, [row][column][channel]).']
    frames = [{port: (formula_plane(port, width, height).astype(int) + 9 * t).astype(np.uint8) for port in (LUMA, CHROMA)} for t in range(3)]
    models = integer.read_model(intra), integer.read_model(inter)
    for k in range(len(LAMBDAS)):
        for t, planes in enumerate(integer.code_frames(*models, frames, k)):
            lines.append(' '.join(map(str, [k, t, *(crc(planes[port], 'u1') for port in (LUMA, CHROMA))])))
    return '\n'.join(lines) + '\n'


def main():
    """A model that exists stays as it is: golden files belong to it."""
    for name, make in (('stem', make_tiny_stem), ('slimvc', make_tiny_slimvc), ('flag', make_tiny_flag)):
        pair = [MODELS / f'tiny-{name}-{kind}.scm' for kind in ('intra', 'inter')]
        if not all(path.exists() for path in pair):
            make(*pair)
        (MODELS / f'tiny-{name}.txt').write_text(system_expectations(*pair, 61, 52))
    for name, make in (('tiny', make_tiny), ('tiny-hyper', make_tiny_hyper), ('tiny-grown', make_tiny_grown), ('tiny-formats', make_tiny_formats),
                       ('tiny-inter', make_tiny_inter)):
        if not (MODELS / f'{name}.scm').exists():
            make(MODELS / f'{name}.scm')
    for name, expected, size in (('tiny', expectations, (37, 29)), ('tiny-hyper', expectations, (37, 29)), ('tiny-grown', expectations, (37, 29)), ('base', expectations, (64, 48)),
                                 ('tiny-formats', format_expectations, (37, 29)), ('tiny-inter', inter_expectations, (37, 29))):
        (MODELS / f'{name}.txt').write_text(expected(MODELS / f'{name}.scm', *size))


if __name__ == '__main__':
    main()
