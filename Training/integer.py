# SPDX-License-Identifier: BSD-3-Clause
"""Reads a model file and runs it: the integer arithmetic of docs/format, written from that text alone.

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
ANALYSIS, SYNTHESIS, HYPER_ANALYSIS, HYPER_SYNTHESIS, CONTEXT = range(5)
SLICE = 16                  # slice i has role SLICE + i
RGB, GREY, YUV420 = range(3)
# Names of a graph's inputs and outputs. A port is name + 256 · index, of a name's only tensor the name itself.
(COLOUR_PLANES, LUMA, CHROMA, PREDICTED_LUMA, PREDICTED_CHROMA, LATENT, DECODED, HYPER_LATENT, FEATURES, EARLIER, PARAMETERS, REFERENCE, STATE,
 CONTEXTS) = range(14)
PLANES = {RGB: [COLOUR_PLANES], GREY: [LUMA], YUV420: [LUMA, CHROMA]}
PLANE_DIVISORS = {COLOUR_PLANES: 1, LUMA: 1, CHROMA: 2, PREDICTED_LUMA: 1, PREDICTED_CHROMA: 2}
PLANE_CHANNELS = {COLOUR_PLANES: 3, LUMA: 1, CHROMA: 2, PREDICTED_LUMA: 1, PREDICTED_CHROMA: 2}
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


def transposed_conv(x, w, stride, border):
    """w is [outputs, inputs, kh, kw]; the output is `stride` times as high and wide."""
    kh, kw = w.shape[2:]
    pt, pl = (kh - 1) // 2, (kw - 1) // 2
    y = F.conv_transpose2d(pad(x, kh, kh, kw, kw, border)[None], w.transpose(0, 1), stride=stride)[0]
    y = F.pad(y[None], (0, stride, 0, stride))[0]       # a kernel smaller than the stride does not reach the last ones
    top, left = stride * kh + pt, stride * kw + pl
    return y[:, top:top + stride * x.shape[1], left:left + stride * x.shape[2]]


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
    divisor: int            # height and width are those of the padded picture divided by it
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
    format: int                                     # pixel format of an analysis or synthesis
    tensors: list
    inputs: list                                    # ports of the first tensors
    layers: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)     # port: number of the tensor


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
    graphs: dict = field(default_factory=dict)      # (role, format): graph; the format of roles but analysis and synthesis is 0
    entropy: dict = field(default_factory=dict)     # kind: rate points of y or, with a hyperprior, of v
    hyper: dict = field(default_factory=dict)       # kind: rate points of z
    motion: bytes = None                            # tables of vectors, as they stand in the file
    growths: list = field(default_factory=list)     # (first rate point of a domain, upper half of the id of the model before)
    text: str = ''
    tables: dict = field(default_factory=dict)      # kind: (first fields of the section, [bytes of each rate point of z], [of y or v])

    def run(self, role, k, known, format=RGB):
        """Integer results {port: tensor} of a graph that takes its inputs from known {port: tensor}; k is a rate point, or (k, f): f/32 to the next."""
        return run(self.graphs[role, format], known, k)

    def formats(self):
        return [format for role, format in self.graphs if role == ANALYSIS]

    def tensor(self, role, port, format=RGB):
        graph = self.graphs[role, format]
        return graph.tensors[graph.outputs[port]]

    def slices(self):
        return sum(role >= SLICE for role, _ in self.graphs)

    def multiple(self, format=RGB):
        """What height and width of a padded picture are whole multiples of."""
        graphs = [g for (role, f), g in self.graphs.items() if role not in (ANALYSIS, SYNTHESIS) or f == format]
        return math.lcm(*(t.divisor for g in graphs for t in g.tensors))


def check(condition, what):
    if not condition:
        raise ValueError(what)


def read_model(path):
    file = Bytes(Path(path).read_bytes())
    check(file.take(8) == b'SCMODEL\x02', 'not a model file of format 2')
    model, arrays, tag = Model(), [], None
    while tag != b'END ':
        start = file.at
        tag, size = file.take(4), file.read('I')
        body = Bytes(file.take(size))
        check(file.read('I') == crc32c.crc32c(file.data[start:start + 8 + size]), f'CRC of section {tag}')
        if tag == b'META':
            model.name = body.take(body.read('B')).decode()
            model.text = body.take(body.read('H')).decode()
        elif tag == b'RATE':
            points, classes = body.read('BB')
            rows = [(body.read('f'), body.array('u2', classes).tolist()) for _ in range(points)]
            model.lambdas = [r[0] for r in rows]
            model.widths = [[r[1][c] for r in rows] for c in range(classes)]
        elif tag == b'GROW':
            model.growths = [body.read('BI') for _ in range(body.read('B'))]
            firsts = [0] + [first for first, _ in model.growths] + [len(model.lambdas)]
            check(1 <= len(model.growths) <= 7 and all(a < b for a, b in zip(firsts, firsts[1:])), 'domains')
        elif tag == b'WGHT':
            for _ in range(body.read('I')):
                kind, rank, _ = body.read('BBH')
                shape = body.array('u4', rank).astype(int)
                arrays.append(body.array(('i2', 'i4', 'i1', 'u1')[kind], int(shape.prod())).reshape(shape))
                body.take(-arrays[-1].nbytes % 4)
        elif tag == b'GRPH':
            graph = read_graph(body, arrays, model.widths, len(model.lambdas), [first for first, _ in model.growths])
            check((graph.role, graph.format) not in model.graphs, f'role {graph.role} twice')
            model.graphs[graph.role, graph.format] = graph
        elif tag == b'ENTR':
            kind, magnitude = body.read('BB')
            if magnitude == 2:
                body.take(64)
            scaled, marks = (HYPER_ANALYSIS, 0) in model.graphs, [body.at]

            def read_points(scaled):
                for _ in model.lambdas:
                    yield read_rate_point(body, magnitude, scaled)
                    marks.append(body.at)
            if scaled:
                model.hyper[kind] = list(read_points(False))
            model.entropy[kind] = list(read_points(scaled))
            parts = [bytes(body.data[a:b]) for a, b in zip(marks, marks[1:])]
            model.tables[kind] = bytes(body.data[:marks[0]]), parts[:-len(model.lambdas)], parts[-len(model.lambdas):]
        elif tag == b'MOTN':
            model.motion = bytes(body.take(size))
        else:
            check(tag == b'END ', f'unknown section {tag}')
        check(body.at == size, f'bytes left over in section {tag}')
    check(file.at == len(file.data), 'bytes after the end')
    check_roles(model)
    return model


def model_id(path):
    """The hash of a model file."""
    data = Path(path).read_bytes()
    h, mask = len(data), (1 << 64) - 1
    for word in np.frombuffer(data + bytes(-len(data) % 8), '<u8').tolist():
        h = (h ^ word) * 0x9E3779B97F4A7C15 & mask
        h ^= h >> 32
    return h


def read_graph(body, arrays, classes, points, domains=()):
    """`domains` are the first rate points of all domains but the first."""
    def widths(channels, c):
        return [channels] * points if c == 255 else classes[c]

    role, format, inputs = body.read('BBB')
    check(1 <= inputs <= 8 and (format in PLANES if role in (ANALYSIS, SYNTHESIS) else format == 0), 'inputs or format')
    graph = Graph(role, format, [], [])
    tensors = graph.tensors
    for _ in range(inputs):
        name, index, channels, c, bits, q, divisor = body.read('BBHBBbH')
        check(1 <= divisor <= 256 and name + 256 * index not in graph.inputs, 'input')
        graph.inputs.append(name + 256 * index)
        tensors.append(Tensor(channels, widths(channels, c), divisor, q, bits))
    for _ in range(body.read('H')):
        op = body.read('B')
        name = body.take(body.read('B')).decode()
        layer = Layer(op, name, body.array('u2', body.read('B')).tolist(), *body.read('BBbB'))
        check(all(i < len(tensors) for i in layer.inputs), f'{name}: cycle')
        x = [tensors[i] for i in layer.inputs]
        out = Tensor(x[0].channels, x[0].widths, x[0].divisor, layer.q, layer.bits)
        modulated = op > MODULATED
        if modulated:
            op = layer.op = op - MODULATED
        if op in (CONV, TRANSPOSED, DEPTHWISE):
            out.channels, c, _, _, layer.stride, layer.border, w, e, b = body.read('HBBBBBIII')
            out.widths = widths(out.channels, c)
            out.divisor = divided(out.divisor, layer.stride) if op == TRANSPOSED else out.divisor * layer.stride
            check((op == TRANSPOSED) + 1 <= layer.stride <= 4, f'{name}: stride')
            layer.weights, layer.exponents, layer.bias = arrays[w], arrays[e], arrays[b]
            if modulated:
                layer.modulation = arrays[body.read('I')]
        elif op == GAIN:
            layer.gain, layer.shift = (arrays[i] for i in body.read('II'))
        elif op == ADD:
            check(x[0].widths == x[1].widths and x[0].divisor == x[1].divisor and layer.q == min(x[0].q, x[1].q), f'{name}: inputs or q')
        elif op == CONCAT:
            out.channels = sum(t.channels for t in x)
            out.widths = [sum(w) for w in zip(*(t.widths for t in x))]
            check(layer.q == min(t.q for t in x) and len({t.divisor for t in x}) == 1, f'{name}: q or divisors')
        else:
            layer.factor = f = body.read('B')
            check(2 <= f <= 8, f'{name}: factor')
            scale = divided if op == SHUFFLE else lambda c, by: c * by
            out.channels, out.widths, out.divisor = scale(out.channels, f ** 2), [scale(w, f ** 2) for w in out.widths], scale(out.divisor, f)
            check((layer.q, layer.bits) == (x[0].q, x[0].bits), f'{name}: q or bits')
        for k in range(points):
            prove(layer, x[0], k)
        if modulated:
            for k in range(points - 1):
                if k + 1 not in domains:
                    bridge(layer, x[0], k)
        tensors.append(out)
        graph.layers.append(layer)
    for _ in range(body.read('B')):
        name, index, number = body.read('BBH')
        check(name + 256 * index not in graph.outputs, 'output')
        graph.outputs[name + 256 * index] = number
    return graph


def divided(n, by):
    check(n % by == 0, f'{n} is no multiple of {by}')
    return n // by


def check_roles(model):
    """What each role reads and gives."""
    more = {REFERENCE, STATE, CONTEXTS}
    predicted = {PREDICTED_LUMA, PREDICTED_CHROMA}
    latent, = {(t.channels, tuple(t.widths), t.bits, t.q, t.divisor) for t in (model.tensor(ANALYSIS, LATENT, f) for f in model.formats())}
    for (role, format), g in model.graphs.items():
        first, allowed, outputs = {
            ANALYSIS: (PLANES[format], predicted | more, [LATENT]), SYNTHESIS: ([DECODED], predicted | more, PLANES[format]),
            HYPER_ANALYSIS: ([LATENT], more, [HYPER_LATENT]), HYPER_SYNTHESIS: ([HYPER_LATENT], more, [FEATURES]),
            CONTEXT: ([], predicted | {REFERENCE, STATE}, []),
        }.get(role, ([FEATURES, EARLIER][:1 + (role > SLICE)], more, [PARAMETERS]))
        check(g.inputs[:len(first)] == first and all(p % 256 in allowed for p in g.inputs[len(first):]), f'inputs of role {role}')
        names = list(g.outputs)
        extra = {SYNTHESIS: STATE, CONTEXT: CONTEXTS}.get(role)
        check(names[:len(outputs)] == outputs and names[len(outputs):] == [extra + 256 * i for i in range(len(names) - len(outputs)) if extra],
              f'outputs of role {role}')
        for port, t in [*zip(g.inputs, g.tensors), *((p, g.tensors[n]) for p, n in g.outputs.items())]:
            if port in PLANE_DIVISORS:
                check((t.channels, t.divisor) == (PLANE_CHANNELS[port], PLANE_DIVISORS[port]), f'planes of role {role}')
            if port in (LATENT, DECODED, REFERENCE):
                bits = latent[2] if port == LATENT else 15
                check((t.channels, tuple(t.widths), t.bits, t.q, t.divisor) == (*latent[:2], bits, *latent[3:]), f'latent of role {role}')


# ---- rate positions (model.md §9) -----------------------------------------------------------------------------------

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
    for o, row in enumerate(np.abs(in_use(layer, layer.weights, x, k + 1)).reshape(len(layer.weights), -1)):
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


def in_use(layer, weights, x, k):
    """The weights, int64, that meet the input channels in use at a rate point."""
    return (weights if layer.op == DEPTHWISE else weights[..., :x.widths[k]]).astype(np.int64)


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
        s, total, bias = x.q + e - layer.q, np.abs(in_use(layer, w, x, k)).reshape(len(w), -1).sum(1), np.abs(bias)
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

def run(graph, known, k):
    """{port: result} of a graph that takes its inputs from known {port: tensor}."""
    values = [known[port].double() for port in graph.inputs]
    for layer in graph.layers:
        values.append(run_layer(graph, layer, [values[i] for i in layer.inputs], len(values), k))
    return {port: values[number].long() for port, number in graph.outputs.items()}


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
            acc = transposed_conv(x[0], w, layer.stride, layer.border) if layer.op == TRANSPOSED else conv(x[0], w, layer.stride, layer.border)
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

def plane_input(plane, multiple):
    """Input tensor for samples, uint8 [H, W] or [H, W, channels], extended to multiples of `multiple` by repeating the last row and column."""
    x = torch.from_numpy(plane.reshape(*plane.shape[:2], -1).astype(np.int64)).permute(2, 0, 1).double()
    x = pad(x, 0, -x.shape[1] % multiple, 0, -x.shape[2] % multiple, REPLICATE)
    return 2 * x - 255


def plane_inputs(planes, multiple):
    """Input tensors {port: tensor} of planes {port: uint8 samples}; chroma planes are extended to half of what luma is."""
    return {port: plane_input(p, multiple // PLANE_DIVISORS[port]) for port, p in planes.items()}


def samples(out, q, shape):
    """uint8 [H, W, channels] of a plane that the synthesis gives, cut to `shape`."""
    return (128 + (out >> q)).clamp(0, 255).permute(1, 2, 0)[:shape[0], :shape[1]].to(torch.uint8).numpy()


def analyse(model, planes, k, format=RGB):
    """The latent of planes {port: uint8 samples}."""
    return model.run(ANALYSIS, k, plane_inputs(planes, model.multiple(format)), format)[LATENT]


def synthesise(model, known, k, shape, format=RGB):
    """Planes {port: uint8 [H, W, channels]} of a picture of `shape` from what the synthesis reads; chroma has half the height and width, rounded up."""
    out = model.run(SYNTHESIS, k, known, format)
    return {port: samples(out[port], model.tensor(SYNTHESIS, port, format).q, [-(-n // PLANE_DIVISORS[port]) for n in shape[:2]])
            for port in PLANES[format]}


def code(model, planes, k, first=0, first_bits=None, format=RGB, known=()):
    """Decoded planes and their ideal bits: (of all samples, with inactive channels left out).

    With a hyperprior the bits of the `first` channels are first_bits(differences, scales). `known` {port: tensor} is what an inter model reads beside
    the picture; the results of its contexts are added.
    """
    shape, known = planes[PLANES[format][0]].shape, dict(known)
    if (CONTEXT, 0) in model.graphs:
        known |= model.run(CONTEXT, k, known)
    known |= model.run(ANALYSIS, k, plane_inputs(planes, model.multiple(format)) | known, format)
    if not model.hyper:
        return synthesise(model, known | {DECODED: known[LATENT]}, k, shape, format), *code_length(model.entropy[STATIC][k], known[LATENT])
    known |= model.run(HYPER_ANALYSIS, k, known)
    decoded, differences, scales = code_slices(model, known, k)
    bits = np.add(code_length(model.hyper[STATIC][k], known[HYPER_LATENT]), code_length(model.entropy[STATIC][k], differences, scales, first))
    if first:
        bits = bits + first_bits(differences[:first], scales[:first])
    return synthesise(model, known | {DECODED: decoded}, k, shape, format), *bits


def code_frames(intra, inter, frames, k, format=YUV420):
    """Decoded planes of frames {port: uint8 samples} of models without motion, the first frame intra; the latents are rounded."""
    left, decoded = {}, []
    for t, planes in enumerate(frames):
        model = inter if t else intra
        known = left | plane_inputs(planes, model.multiple(format))
        if t and (CONTEXT, 0) in model.graphs:
            known |= model.run(CONTEXT, k, known)
        known |= model.run(ANALYSIS, k, known, format)
        known[DECODED] = known[LATENT]
        if model.hyper:
            known |= model.run(HYPER_ANALYSIS, k, known)
            known[DECODED] = code_slices(model, known, k)[0]
        out = model.run(SYNTHESIS, k, known, format)
        left = {REFERENCE: known[DECODED]} | {port: value for port, value in out.items() if port % 256 == STATE}
        decoded.append(synthesise(model, known, k, planes[PLANES[format][0]].shape, format))
    return decoded


def code_slices(model, known, k):
    """Decoded latent, the differences from the means that are coded, and their scales; `known` holds latent and hyper-latent."""
    known = known | model.run(HYPER_SYNTHESIS, k, known)
    latent, q = known[LATENT], model.tensor(SLICE, PARAMETERS).q
    half, decoded, differences, scales = (1 << q) >> 1, latent[:0].long(), [], []
    for i in range(model.slices()):
        out = model.run(SLICE + i, k, known | {EARLIER: decoded})[PARAMETERS]
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
