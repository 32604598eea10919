"""Reads a model file and runs it: the integer arithmetic of FORMAT.md, written from that text alone.

Slow and exact. Convolutions are done in float64, which is exact below 2^53 while accumulators stay below 2^31.
Tensors are [channels, height, width].
"""
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path

import crc32c
import numpy as np
import torch
import torch.nn.functional as F

CONV, TRANSPOSED, DEPTHWISE, GAIN, ADD, CONCAT, SHUFFLE, UNSHUFFLE = range(1, 9)
MODULATED = 8               # added to the first three: weights scaled and biases given by rate point
ZERO, REPLICATE = 0, 1
NONE, RELU, LEAKY = 0, 1, 2
ANALYSIS, SYNTHESIS, HYPER_ANALYSIS, HYPER_SYNTHESIS, SLICE = range(5)       # slice i has role SLICE + i
STATIC = 0                  # kind of the entropy model without neighbours, the only one that code_length() knows


# ---- arithmetic, shared with the exporter, which runs it on floats --------------------------------------------------

def pad(x, before_y, after_y, before_x, after_x, border):
    return F.pad(x[None], (before_x, after_x, before_y, after_y), mode='replicate' if border == REPLICATE else 'constant')[0]


def conv(x, w, stride, border, groups=1):
    """w is [outputs, inputs / groups, kh, kw]."""
    kh, kw = w.shape[2:]
    pt, pl = (kh - 1) // 2, (kw - 1) // 2
    h, v = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    return F.conv2d(pad(x, pt, kh - 1 - pt, pl, kw - 1 - pl, border)[None], w, stride=stride, groups=groups)[0, :, :h, :v]


def transposed_conv(x, w, border):
    """w is [outputs, inputs, kh, kw]; the output is twice as high and wide."""
    kh, kw = w.shape[2:]
    pt, pl = (kh - 1) // 2, (kw - 1) // 2
    y = F.conv_transpose2d(pad(x, kh, kh, kw, kw, border)[None], w.transpose(0, 1), stride=2)[0]
    return y[:, 2 * kh + pt:2 * kh + pt + 2 * x.shape[1], 2 * kw + pl:2 * kw + pl + 2 * x.shape[2]]


def shuffle(x, f):
    return F.pixel_shuffle(x[None], f)[0]


def unshuffle(x, f):
    return F.pixel_unshuffle(x[None], f)[0]


# ---- file -----------------------------------------------------------------------------------------------------------

class Bytes:
    """A cursor over little-endian fields."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError('file is cut off')
        self.at += n
        return self.data[self.at - n:self.at]

    def read(self, fmt):
        values = struct.unpack('<' + fmt, self.take(struct.calcsize('<' + fmt)))
        return values[0] if len(values) == 1 else values

    def array(self, dtype, count):
        dtype = np.dtype(dtype).newbyteorder('<')
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)


@dataclass
class Tensor:
    channels: int
    widths: list            # channels in use at each rate point
    level: int
    q: int
    bits: int


@dataclass
class Layer:
    op: int
    name: str
    inputs: list
    activation: int
    slope: int
    q: int
    bits: int
    stride: int = 1
    border: int = ZERO
    factor: int = 1
    weights: np.ndarray = None
    exponents: np.ndarray = None
    bias: np.ndarray = None
    modulation: np.ndarray = None
    gain: np.ndarray = None
    shift: np.ndarray = None


@dataclass
class Graph:
    role: int
    tensors: list
    inputs: int
    layers: list
    output: int = 0


@dataclass
class Channel:
    cdfs: np.ndarray                    # of each level
    scale: int = 0                      # weight of the scale
    shift: int = 0
    bounds: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


@dataclass
class RatePoint:
    """Entropy tables of one rate point. cdfs are (minimum, frequencies)."""
    modes: np.ndarray
    active: np.ndarray
    order: np.ndarray
    cdfs: list
    channels: list


@dataclass
class Model:
    name: str = ''
    lambdas: list = field(default_factory=list)
    widths: list = field(default_factory=list)      # [class][rate point]
    graphs: dict = field(default_factory=dict)
    entropy: dict = field(default_factory=dict)     # kind: rate points of y or, with a hyperprior, of v
    hyper: dict = field(default_factory=dict)       # kind: rate points of z

    def run(self, role, k, *inputs):
        """Integer result of a graph for integer tensors. k is a rate point, or (k, f): f/32 of the way from it to the next."""
        return run(self.graphs[role], inputs, k)

    def output(self, role):
        graph = self.graphs[role]
        return graph.tensors[graph.output]


def check(condition, what):
    if not condition:
        raise ValueError(what)


def read_model(path):
    file = Bytes(Path(path).read_bytes())
    check(file.take(8) == b'SCMODEL\x01', 'not a model file of version 1')
    model, arrays, tag = Model(), [], None
    while tag != b'END ':
        start = file.at
        tag, size = file.take(4), file.read('I')
        body = Bytes(file.take(size))
        check(file.read('I') == crc32c.crc32c(file.data[start:start + 8 + size]), f'CRC of section {tag}')
        if tag == b'META':
            model.name = body.take(body.read('B')).decode()
            body.take(body.read('H'))
        elif tag == b'RATE':
            points, classes = body.read('BB')
            rows = [(body.read('f'), body.array('u2', classes).tolist()) for _ in range(points)]
            model.lambdas = [r[0] for r in rows]
            model.widths = [[r[1][c] for r in rows] for c in range(classes)]
        elif tag == b'WGHT':
            for _ in range(body.read('I')):
                kind, rank, _ = body.read('BBH')
                shape = body.array('u4', rank).astype(int)
                arrays.append(body.array(('i2', 'i4', 'i1', 'u1')[kind], int(shape.prod())).reshape(shape))
                body.take(-arrays[-1].nbytes % 4)
        elif tag == b'GRPH':
            graph = read_graph(body, arrays, model.widths, len(model.lambdas))
            model.graphs[graph.role] = graph
        elif tag == b'ENTR':
            kind, magnitude = body.read('BB')
            if magnitude == 2:
                body.take(64)
            if HYPER_ANALYSIS in model.graphs:
                model.hyper[kind] = [read_rate_point(body, magnitude, False) for _ in model.lambdas]
            model.entropy[kind] = [read_rate_point(body, magnitude, HYPER_ANALYSIS in model.graphs) for _ in model.lambdas]
        else:
            check(tag == b'END ', f'unknown section {tag}')
        check(body.at == size, f'bytes left over in section {tag}')
    check(file.at == len(file.data), 'bytes after the end')
    return model


def read_graph(body, arrays, classes, points):
    def widths(channels, c):
        return [channels] * points if c == 255 else classes[c]

    role, inputs = body.read('BB')
    tensors = []
    for _ in range(inputs):
        channels, c, bits, q, level = body.read('HBBbb')
        tensors.append(Tensor(channels, widths(channels, c), level, q, bits))
    graph = Graph(role, tensors, inputs, [])
    for _ in range(body.read('H')):
        op = body.read('B')
        name = body.take(body.read('B')).decode()
        layer = Layer(op, name, body.array('u2', body.read('B')).tolist(), *body.read('BBbB'))
        check(all(i < len(tensors) for i in layer.inputs), f'{name}: cycle')
        x = [tensors[i] for i in layer.inputs]
        out = Tensor(x[0].channels, x[0].widths, x[0].level, layer.q, layer.bits)
        modulated = op > MODULATED
        if modulated:
            op = layer.op = op - MODULATED
        if op in (CONV, TRANSPOSED, DEPTHWISE):
            out.channels, c, _, _, layer.stride, layer.border, w, e, b = body.read('HBBBBBIII')
            out.widths = widths(out.channels, c)
            out.level += -1 if op == TRANSPOSED else layer.stride - 1
            layer.weights, layer.exponents, layer.bias = arrays[w], arrays[e], arrays[b]
            if modulated:
                layer.modulation = arrays[body.read('I')]
        elif op == GAIN:
            layer.gain, layer.shift = (arrays[i] for i in body.read('II'))
        elif op == ADD:
            check(x[0].widths == x[1].widths and layer.q == min(x[0].q, x[1].q), f'{name}: inputs or q')
        elif op == CONCAT:
            out.channels = sum(t.channels for t in x)
            out.widths = [sum(w) for w in zip(*(t.widths for t in x))]
            check(layer.q == min(t.q for t in x), f'{name}: q')
        else:
            layer.factor = f = body.read('B')
            step, scale = (-1, lambda c: c // f ** 2) if op == SHUFFLE else (1, lambda c: c * f ** 2)
            out.channels, out.widths = scale(out.channels), [scale(w) for w in out.widths]
            out.level += step * (f.bit_length() - 1)
            check((layer.q, layer.bits) == (x[0].q, x[0].bits), f'{name}: q or bits')
        for k in range(points):
            prove(layer, x[0], k)
        if modulated:
            for k in range(points - 1):
                bridge(layer, x[0], k)
        tensors.append(out)
        graph.layers.append(layer)
    graph.output = body.read('H')
    return graph


# ---- rate positions (FORMAT.md §1.7) -----------------------------------------------------------------------------------

def upper(k):
    """The rate point whose widths a position has."""
    return k[0] + (k[1] > 0) if isinstance(k, tuple) else k


def between(x, y, f):
    """f/32 of the way between two Python integers."""
    if x * y <= 0:
        return ((32 - f) * x + f * y + 16) >> 5
    sign, x, y = (1 if x > 0 else -1), abs(x), abs(y)
    for digit in (16, 8, 4, 2, 1):
        h = math.isqrt(x * y)
        x, y = (h, y) if f & digit else (x, h)
    return sign * x


def to_shift(scale, shift, s):
    """A scale in units of 2^-(16 + s), towards zero."""
    v = (abs(int(scale)) << 16) >> int(shift - s)
    return v if scale > 0 else -v


def round16(v):
    return ((abs(v) + (1 << 15)) >> 16) * (1 if v > 0 else -1)


def gain_arrays(layer, k):
    """(gain, shift) at a position, int64."""
    k, f = k if isinstance(k, tuple) else (k, 0)
    if f == 0:
        return layer.gain[k].astype(np.int64), layer.shift[k].astype(np.int64)
    s = layer.shift[k:k + 2].min(0).astype(np.int64)
    ends = [[to_shift(g, t, u) for g, t, u in zip(layer.gain[i], layer.shift[i].astype(np.int64), s)] for i in (k, k + 1)]
    return np.array([round16(between(x, y, f)) for x, y in zip(*ends)]), s


def bridge(layer, x, k):
    """Shifts between the rate points k and k + 1, and of each end the scales and biases in units of 2^-(16 + s)."""
    shifts = (x.q + layer.exponents[k:k + 2].astype(int) - layer.q).tolist()
    result = []
    for o, row in enumerate(np.abs(layer.weights.astype(np.int64)).reshape(len(layer.weights), -1)):
        ends = [(int(layer.modulation[k + i, o]), int(layer.bias[k + i, o]), shifts[i][o]) for i in (0, 1)]
        smaller = min(shifts[0][o], shifts[1][o])
        for s in range(smaller, max(smaller - 2, 0), -1):
            v, u = [to_shift(m, t, s) for m, b, t in ends], [(b << 16) >> (t - s) for m, b, t in ends]
            most = max(abs(round16(i)) for i in v)
            bound = max(abs((i + (1 << 15)) >> 16) for i in u) + (int(((most * row + (1 << 13)) >> 14).sum()) << x.bits)
            if bound + (1 << (s + (layer.slope if layer.activation == LEAKY else 0) - 1)) < 1 << 31:
                break
        else:
            raise ValueError(f'{layer.name}: the accumulator could overflow between rate points')
        result.append((s, *v, *u))
    return result


def convolution_arrays(layer, x, k):
    """(weights, exponents, bias) at a position, int64; x is the input's tensor."""
    w, e, b = (a.astype(np.int64) for a in (layer.weights, layer.exponents, layer.bias))
    if layer.modulation is None:
        return w, e, b
    k, f = k if isinstance(k, tuple) else (k, 0)
    if f:
        rows = bridge(layer, x, k)
        m = np.array([round16(between(r[1], r[2], f)) for r in rows])
        e = np.array([r[0] for r in rows]) - x.q + layer.q
        b = np.array([((((32 - f) * r[3] + f * r[4] + 16) >> 5) + (1 << 15)) >> 16 for r in rows])
    else:
        m, e, b = layer.modulation[k].astype(np.int64), e[k], b[k]
    return ((m.reshape(-1, *[1] * (w.ndim - 1)) * w + (1 << 13)) >> 14).clip(-32768, 32767), e, b


def prove(layer, x, k):
    """Refuses a layer whose accumulator could leave int32 at a rate point."""
    slope = layer.slope if layer.activation == LEAKY else 0
    if layer.weights is not None:
        w, e, bias = convolution_arrays(layer, x, k)
        s, total, bias = x.q + e - layer.q, np.abs(w).reshape(len(w), -1).sum(1), np.abs(bias)
    elif layer.gain is not None:
        s, total, bias = layer.shift[k].astype(np.int64), np.abs(layer.gain[k].astype(np.int64)), 0
    else:
        return
    check(s.min() >= 1 and s.max() <= 30, f'{layer.name}: shift')
    check((bias + (total << x.bits) + (1 << (s + slope - 1)) < 1 << 31).all(), f'{layer.name}: the accumulator could overflow')


def read_cdf(body):
    minimum, n = body.read('hH')
    frequency = body.array('u2', n).astype(np.int64)
    check(2 <= n <= 256 and frequency.sum() == 32768 and frequency.min() >= 1, 'CDF')
    return minimum, frequency


def read_rate_point(body, magnitude, scaled):
    m = body.read('H')
    modes, active = zip(*(body.read('hH') for _ in range(m)))
    order = body.array('u2', m)
    cdfs = [read_cdf(body) for _ in range(body.read('H'))]
    return RatePoint(np.array(modes), np.array(active), order, cdfs, [read_channel(body, magnitude, scaled) for _ in range(m)])


def read_channel(body, magnitude, scaled):
    """Passes over means and neighbours."""
    phases = 1
    if magnitude == 1:
        body.take(4)
    levels = body.read('B')
    if magnitude == 2 and body.read('B'):
        phases = 1 << body.read('B')
        body.take(1 + 12)
        body.take(20 * body.read('B'))
    channel = Channel(body.array('u2', levels * phases))
    if levels > 1:
        body.take(6)
        body.take(11 * body.read('B'))
        channel.scale = body.read('B') if scaled else 0
        channel.shift = body.read('B')
        channel.bounds = body.array('u2', levels - 1)
    return channel


# ---- execution ------------------------------------------------------------------------------------------------------

def run(graph, inputs, k):
    values = [x.double() for x in inputs]
    for layer in graph.layers:
        values.append(run_layer(graph, layer, [values[i] for i in layer.inputs], len(values), k))
    return values[graph.output].long()


def run_layer(graph, layer, x, number, k):
    tensors = [graph.tensors[i] for i in layer.inputs]
    out, width = graph.tensors[number], graph.tensors[number].widths[upper(k)]
    column = lambda a: torch.from_numpy(a.astype(np.float64))[:width, None, None]

    if layer.op in (CONV, TRANSPOSED, DEPTHWISE):
        w, exponents, bias = convolution_arrays(layer, tensors[0], k)
        w = torch.from_numpy(w.astype(np.float64))
        if layer.op == DEPTHWISE:
            acc = conv(x[0], w[:width, None], layer.stride, layer.border, groups=width)
        else:
            w = w.permute(0, 3, 1, 2)[:width, :x[0].shape[0]].contiguous()
            acc = transposed_conv(x[0], w, layer.border) if layer.op == TRANSPOSED else conv(x[0], w, layer.stride, layer.border)
        acc = acc + column(bias)
        shift = column(tensors[0].q + exponents - out.q)
    elif layer.op == GAIN:
        gain, shift = gain_arrays(layer, k)
        acc, shift = x[0] * column(gain), column(shift)
    elif layer.op in (ADD, CONCAT):
        aligned = [rounding_shift(v, torch.tensor(float(t.q - out.q))) for v, t in zip(x, tensors)]
        acc, shift = aligned[0] + aligned[1] if layer.op == ADD else torch.cat(aligned), torch.tensor(0.0)
    else:
        return shuffle(x[0], layer.factor) if layer.op == SHUFFLE else unshuffle(x[0], layer.factor)

    if layer.activation == LEAKY:
        shift = torch.where(acc < 0, shift + layer.slope, shift)
    floor = 0 if layer.activation == RELU else -(1 << out.bits)
    return rounding_shift(acc, shift).clamp(floor, (1 << out.bits) - 1)


def rounding_shift(v, s):
    """(v + 2^(s-1)) >> s, and v itself for s = 0."""
    return torch.floor(v * 2.0 ** -s + torch.where(s > 0, 0.5, 0.0))


# ---- pictures -------------------------------------------------------------------------------------------------------

def picture_input(picture, levels):
    """Input tensor of the analysis for a picture, uint8 [H, W, 3], extended to multiples of 2^levels."""
    x = torch.from_numpy(picture.astype(np.int64)).permute(2, 0, 1).double()
    x = pad(x, 0, -x.shape[1] % (1 << levels), 0, -x.shape[2] % (1 << levels), REPLICATE)
    return 2 * x - 255


def analyse(model, picture, k):
    """Result of the analysis; the picture is extended to whole samples of the coarsest latent."""
    level = model.output(HYPER_ANALYSIS if HYPER_ANALYSIS in model.graphs else ANALYSIS).level
    return model.run(ANALYSIS, k, picture_input(picture, level))


def synthesise(model, latent, k, shape):
    """Picture, uint8 [H, W, 3], from what the synthesis reads."""
    out = model.run(SYNTHESIS, k, latent)
    return (128 + (out >> model.output(SYNTHESIS).q)).clamp(0, 255).permute(1, 2, 0)[:shape[0], :shape[1]].to(torch.uint8).numpy()


def code(model, picture, k, first=0, first_bits=None):
    """Decoded picture and its ideal bits: (of all samples, with inactive channels left out).

    With a hyperprior the bits of the `first` channels are first_bits(differences, scales).
    """
    latent = analyse(model, picture, k)
    if not model.hyper:
        return synthesise(model, latent, k, picture.shape), *code_length(model.entropy[STATIC][k], latent)
    z = model.run(HYPER_ANALYSIS, k, latent)
    decoded, differences, scales = code_slices(model, latent, z, k)
    bits = np.add(code_length(model.hyper[STATIC][k], z), code_length(model.entropy[STATIC][k], differences, scales, first))
    if first:
        bits = bits + first_bits(differences[:first], scales[:first])
    return synthesise(model, decoded, k, picture.shape), *bits


def code_slices(model, latent, z, k):
    """Decoded latent, the differences from the means that are coded, and their scales."""
    h, q, count = model.run(HYPER_SYNTHESIS, k, z), model.output(ANALYSIS).q, sum(role >= SLICE for role in model.graphs)
    half, decoded, differences, scales = (1 << q) >> 1, latent[:0], [], []
    for i in range(count):
        out = model.run(SLICE + i, k, *[h, decoded][:1 + (i > 0)])
        mean, first = out[:len(out) // 2], len(decoded)
        differences.append((latent[first:first + len(mean)] - mean + half) >> q)
        scales.append(out[len(mean):].clamp(0, 255))
        decoded = torch.cat([decoded, ((differences[-1] << q) + mean).clamp(-32768, 32767)])
    return decoded, torch.cat(differences), torch.cat(scales)


def symbol_bits(values, cdf):
    """Ideal bits of integers [n] with one CDF, escapes included."""
    minimum, frequency = cdf
    escape = len(frequency) - 1
    inside = (values >= minimum) & (values < minimum + escape)
    bits = 15 - np.log2(frequency[np.where(inside, values - minimum, escape)])
    v = values[~inside].astype(np.int64)
    e = np.where(v > minimum, 2 * (v - minimum - escape), 2 * (minimum - 1 - v) + 1)
    bits[~inside] += 5 + np.maximum(np.frexp(e)[1] - 1, 0)
    return bits


def code_length(point, latent, scales=None, first=0):
    """Ideal bits of integers [M, h, w], given their scales if a channel's level depends on them: (of all, with inactive channels left out).

    Channels before `first` are left out of both.
    """
    everything = coded = 0.0
    for c, values in enumerate(latent.flatten(1).numpy()):
        if c < first:
            continue
        channel, level = point.channels[c], np.zeros(values.shape, int)
        if len(channel.bounds):
            s = np.minimum(channel.scale * scales[c].flatten().numpy() >> channel.shift, 1023)
            level = np.searchsorted(channel.bounds, s, side='right')
        total = sum(symbol_bits(values[level == j], point.cdfs[channel.cdfs[j]]).sum() for j in np.unique(level))
        p = point.active[c] / 32768
        everything += total
        coded += total - np.log2(p) if (values != point.modes[c]).any() else -np.log2(1 - p)
    return everything, coded
