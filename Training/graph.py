# SPDX-License-Identifier: BSD-3-Clause
"""Float graphs shaped like those of a model file; their calibration to integers; the writer of model files."""
import struct
from dataclasses import dataclass, replace

import crc32c
import numpy as np
import torch

from integer import (ADD, CONCAT, CONV, DEPTHWISE, GAIN, LEAKY, MODULATED, NONE, RGB, SHUFFLE, TRANSPOSED, UNSHUFFLE, ZERO, conv, shuffle,
                     transposed_conv, unshuffle)

ALL = 255       # width class of a tensor that is always used whole


@dataclass
class Tensor:
    channels: int
    width_class: int
    widths: list
    divisor: int                    # height and width are those of the padded picture divided by it
    q: int = None
    bits: int = None
    peaks: np.ndarray = None        # largest magnitude seen in each channel


@dataclass
class Layer:
    op: int
    name: str
    inputs: list
    activation: int = NONE
    slope: int = 0
    stride: int = 1
    border: int = ZERO
    factor: int = 1
    weight: torch.Tensor = None     # [outputs, inputs, kh, kw], depthwise [channels, 1, kh, kw]
    bias: torch.Tensor = None       # [outputs], or [rate point, outputs] of a modulated convolution
    scale: torch.Tensor = None      # of the weights of a modulated convolution, [rate point, outputs]
    gain: torch.Tensor = None       # [rate point, channels]
    arrays: tuple = None            # the integers of all that, once they are chosen


class Graph:
    """One network: `points` rate points, `classes` [class][rate point], the widths. The methods that add a layer return its tensor's number.

    `inputs` are the ports (integer.py) of the first tensors, `outputs` {port: tensor}. `format` is the pixel format of an analysis or synthesis.
    """

    def __init__(self, role, points, classes=(), format=RGB):
        self.role, self.points, self.classes, self.format = role, points, classes, format
        self.tensors, self.layers, self.inputs, self.outputs = [], [], [], {}

    def input(self, port, channels, bits, q, divisor, width_class=ALL):
        assert not self.layers
        self.tensors.append(Tensor(channels, width_class, self.widths(channels, width_class), divisor, q, bits))
        self.inputs.append(port)
        return len(self.inputs) - 1

    def plane(self, port, channels, divisor):
        """Samples as 2 · sample − 255."""
        return self.input(port, channels, 8, 0, divisor)

    def output(self, port, x):
        self.outputs[port] = x

    def widths(self, channels, width_class):
        return [channels] * self.points if width_class == ALL else self.classes[width_class]

    def add_layer(self, layer, channels, width_class, widths, divisor, q=None, bits=None):
        self.layers.append(layer)
        self.tensors.append(Tensor(channels, width_class, widths, divisor, q, bits, np.zeros(channels)))
        return len(self.tensors) - 1

    def conv(self, name, x, weight, bias, width_class=ALL, stride=1, border=ZERO, activation=NONE, slope=0, op=CONV, rate=None, q=None, bits=None):
        """`rate` (a, b), both [rate point, outputs], makes it a · conv(x) + b."""
        layer = Layer(op, name, [x], activation, slope, stride, border, weight=weight.detach().double(), bias=bias.detach().double())
        if rate:
            layer.scale = rate[0].detach().double()
            layer.bias = layer.bias * layer.scale + rate[1].detach().double()
        before = self.tensors[x].divisor
        divisor = divided(before, stride) if op == TRANSPOSED else before * stride
        return self.add_layer(layer, len(bias), width_class, self.widths(len(bias), width_class), divisor, q, bits)

    def transposed(self, name, x, weight, bias, width_class=ALL, stride=2, **more):
        """`weight` as PyTorch keeps it, [inputs, outputs, kh, kw]."""
        return self.conv(name, x, weight.transpose(0, 1), bias, width_class, stride=stride, op=TRANSPOSED, **more)

    def depthwise(self, name, x, weight, bias, **more):
        return self.conv(name, x, weight, bias, self.tensors[x].width_class, op=DEPTHWISE, **more)

    def gain(self, name, x, gain, activation=NONE, slope=0, **more):
        return self.like(x, Layer(GAIN, name, [x], activation, slope, gain=gain.detach().double()), **more)

    def add(self, name, x, y, activation=NONE, slope=0):
        return self.like(x, Layer(ADD, name, [x, y], activation, slope))

    def like(self, x, layer, **more):
        t = self.tensors[x]
        return self.add_layer(layer, t.channels, t.width_class, t.widths, t.divisor, **more)

    def concat(self, name, inputs):
        t = [self.tensors[i] for i in inputs]
        return self.add_layer(Layer(CONCAT, name, inputs), sum(i.channels for i in t), ALL, [sum(w) for w in zip(*(i.widths for i in t))], t[0].divisor)

    def shuffle(self, name, x, factor, op=SHUFFLE):
        t, f = self.tensors[x], factor
        scale = divided if op == SHUFFLE else lambda c, by: c * by
        return self.add_layer(Layer(op, name, [x], factor=f), scale(t.channels, f ** 2), ALL, [scale(w, f ** 2) for w in t.widths], scale(t.divisor, f))

    def unshuffle(self, name, x, factor):
        return self.shuffle(name, x, factor, UNSHUFFLE)

    def copy(self, source, numbers, start=0, stop=None):
        """Appends layers of another graph with the integers that those have; `numbers` {tensor there: tensor here} is extended by theirs."""
        for number, layer in list(enumerate(source.layers, len(source.inputs)))[start:stop]:
            source.quantised(number)
            self.layers.append(replace(layer, inputs=[numbers[i] for i in layer.inputs]))
            self.tensors.append(replace(source.tensors[number]))
            numbers[number] = len(self.tensors) - 1

    def number(self, name):
        """The tensor that the layer of this name gives."""
        return len(self.inputs) + [layer.name for layer in self.layers].index(name)

    def run(self, known, k, dtype=torch.float32):
        """Float results {port: tensor} for inputs from known {port: tensor} in units of value (integer · 2^−q); remembers the peaks of all tensors."""
        values = [known[port].to(dtype) for port in self.inputs]
        for layer in self.layers:
            x, width = [values[i] for i in layer.inputs], self.tensors[len(values)].widths[k]
            column = lambda a: a[:width, None, None].to(dtype)
            if layer.op in (CONV, TRANSPOSED, DEPTHWISE):
                w, bias = layer.weight[:width, :x[0].shape[0]].to(dtype).contiguous(), layer.bias
                if layer.scale is not None:
                    w, bias = w * layer.scale[k, :width, None, None, None].to(dtype), bias[k]
                y = transposed_conv(x[0], w, layer.stride, layer.border) if layer.op == TRANSPOSED else \
                    conv(x[0], w, layer.stride, layer.border, groups=width if layer.op == DEPTHWISE else 1)
                y = y + column(bias)
            elif layer.op == GAIN:
                y = x[0] * column(layer.gain[k])
            elif layer.op == ADD:
                y = x[0] + x[1]
            elif layer.op == CONCAT:
                y = torch.cat(x)
            else:
                y = (shuffle if layer.op == SHUFFLE else unshuffle)(x[0], layer.factor)
            if layer.activation:
                y = torch.where(y < 0, y * (2.0 ** -layer.slope if layer.activation == LEAKY else 0.0), y)
            peaks = self.tensors[len(values)].peaks
            peaks[:width] = np.maximum(peaks[:width], y.abs().amax((1, 2)).numpy())
            values.append(y)
        return {port: values[number] for port, number in self.outputs.items()}

    def macs(self, k):
        """Multiply-adds per pixel at a rate point."""
        total = 0.0
        for number, layer in enumerate(self.layers, len(self.inputs)):
            if layer.weight is not None:
                x, out = self.tensors[layer.inputs[0]], self.tensors[number]
                inputs = 1 if layer.op == DEPTHWISE else x.widths[k]
                total += out.widths[k] * inputs * layer.weight[0, 0].numel() / max(x.divisor, out.divisor) ** 2
        return total

    # ---- integers

    def equalise(self):
        """Scales channels by powers of two up to 32 so that all of a tensor come near its largest peak; the network's function stays the same.

        Convolutions and gains on both sides take the factors, and ReLU lets them pass. Tensors that are added share them. Inputs, outputs
        and what is concatenated or shuffled keep their scale.
        """
        group = list(range(len(self.tensors)))
        fixed = {*range(len(self.inputs)), *self.outputs.values()}
        for number, layer in enumerate(self.layers, len(self.inputs)):
            if layer.op in (CONCAT, SHUFFLE, UNSHUFFLE):
                fixed |= {number, *layer.inputs}
            elif layer.op == ADD:
                joined = {group[number], *(group[i] for i in layer.inputs)}
                group = [min(joined) if g in joined else g for g in group]
        scale = [np.ones(t.channels) for t in self.tensors]
        for g in set(group) - {group[i] for i in fixed}:
            members = [i for i in range(len(group)) if group[i] == g]
            peaks = np.max([self.tensors[i].peaks for i in members], 0)
            factor = np.exp2(np.floor(np.log2(np.clip(peaks.max() / np.where(peaks > 0, peaks, peaks.max()), 1, 32))))
            for i in members:
                scale[i] = factor
                self.tensors[i].peaks *= factor
        for number, layer in enumerate(self.layers, len(self.inputs)):
            before, after = (torch.from_numpy(scale[i]) for i in (layer.inputs[0], number))
            if layer.op == GAIN:
                layer.gain = layer.gain * after / before
            elif layer.weight is not None:
                columns = before[:, None, None, None] if layer.op == DEPTHWISE else before[:, None, None]
                layer.weight = layer.weight * after[:, None, None, None] / columns
                layer.bias = layer.bias * after

    def calibrate(self, headroom, bits=None):
        """Chooses q and bits of the tensors that have none, after run() has seen the training pictures.

        A tensor that only gains read has 15 bits. For others `bits` balance the rounding of activations against that of weights, unless given:
        the n products of a sum leave 2^(31 − bits) / n for the magnitude of a weight, so both errors are alike near bits = (36.6 − log2 n) / 2.
        A branch that is only added to something takes the exponent of the sum, which is the smaller of its inputs': so it is rounded once.
        """
        readers = [[(n, l) for n, l in enumerate(self.layers, len(self.inputs)) if i in l.inputs] for i in range(len(self.tensors))]

        def products(number):
            counts = [l.weight[0].numel() if l.weight is not None else products(n) if l.op in (CONCAT, SHUFFLE, UNSHUFFLE) else 1 for n, l in readers[number]]
            return max(counts, default=1)

        def fitting(t):
            return int(np.floor(t.bits - np.log2(max(t.peaks.max(), 2.0 ** -20) * headroom)))

        for number, t in enumerate(self.tensors):
            if t.bits is None:
                balanced = bits or int(np.ceil((36.6 - np.log2(products(number))) / 2))
                t.bits = 15 if all(l.op == GAIN for _, l in readers[number]) else min(15, balanced)
        for number, layer in enumerate(self.layers, len(self.inputs)):
            t, x = self.tensors[number], [self.tensors[i] for i in layer.inputs]
            if layer.op in (SHUFFLE, UNSHUFFLE):
                t.q, t.bits = x[0].q, x[0].bits
            elif layer.op in (ADD, CONCAT):
                t.q = min(i.q for i in x)
            elif t.q is None:
                t.q = fitting(t)
                if len(readers[number]) == 1 and readers[number][0][1].op == ADD:
                    n, add = readers[number][0]
                    t.q = min([t.q, fitting(self.tensors[n])] + [self.tensors[i].q for i in add.inputs if i < number])
                while not self.representable(number):       # channels that hardly moved in calibration
                    t.q -= 1
            if layer.op not in (SHUFFLE, UNSHUFFLE) and t.peaks.max() * headroom > 2.0 ** (t.bits - t.q):
                print(f'{layer.name}: headroom is only {2.0 ** (t.bits - t.q) / t.peaks.max():.2f}')

    def representable(self, number):
        """Whether some shift leaves room for every row of weights."""
        try:
            self.integers(number)
        except ValueError:
            return False
        return True

    def quantised(self, number):
        """Integer arrays of the layer behind tensor `number`, in the order of the file, as large as proof and fields allow; chosen once."""
        layer = self.layer(number)
        if layer.arrays is None:
            layer.arrays = self.integers(number)
        return layer.arrays

    def layer(self, number):
        return self.layers[number - len(self.inputs)]

    def integers(self, number):
        layer = self.layer(number)
        if layer.gain is None and layer.weight is None:
            return ()
        x, out = self.tensors[layer.inputs[0]], self.tensors[number]
        slope = layer.slope if layer.activation == LEAKY else 0
        if layer.op == GAIN:
            g, s, _ = quantise(layer.gain.numpy()[..., None], np.zeros(layer.gain.shape), x, out, slope, layer.name)
            return g[..., 0].astype(np.int16), s.astype(np.uint8)
        flat, bias = layer.weight.flatten(1).numpy(), layer.bias.numpy()
        modulation = []
        if layer.scale is None:
            w, s, bias = quantise(flat, bias, x, out, slope, layer.name)
        else:
            w, s, bias, m = modulate(flat, bias, layer.scale.numpy(), x, out, slope, layer.name)
            modulation = [m.astype(np.int16)]
        w = w.reshape(layer.weight.shape)
        w = w[:, 0] if layer.op == DEPTHWISE else w.transpose(0, 2, 3, 1)
        return w.astype(np.int16), (s - x.q + out.q).astype(np.int8), bias.astype(np.int32), *modulation


def divided(n, by):
    assert n % by == 0
    return n // by


def quantise(weight, bias, x, out, slope, name, bound=32767):
    """(weights, shifts, biases) of rows of weights [..., n] and biases [...]: the largest shift in 1…30 that proof and `bound` allow."""
    best = [np.zeros(weight.shape, np.int64), np.zeros(bias.shape, np.int64), np.zeros(bias.shape, np.int64)]
    for s in range(1, min(30, 31 - slope) + 1):
        w, b = np.rint(weight * 2.0 ** (s - x.q + out.q)).astype(np.int64), np.rint(bias * 2.0 ** (s + out.q)).astype(np.int64)
        fits = proven(w, b, s, x.bits, slope) & (np.abs(w).max(-1) <= bound)
        for kept, new in zip(best, (w, np.full(bias.shape, s), b)):
            kept[fits] = new[fits]
    if (best[1] == 0).any():
        raise ValueError(f'{name}: no shift fits; the output needs a smaller q')
    return best


def proven(w, b, s, bits, slope):
    return np.abs(b) + (np.abs(w).sum(-1) << bits) + (1 << (s + slope - 1)) < 1 << 31


def modulate(weight, bias, scale, x, out, slope, name):
    """(weights, shifts, biases, modulation) of rows of weights [o, n] that rate point k scales by scale[k][o] to have bias[k][o].

    The scaled weights are (modulation · weight + 2^13) >> 14 with |modulation| ≤ 2^14. The weights fill int16 or what the accumulator leaves.
    """
    size = np.maximum(np.abs(weight), 2.0 ** -40)
    room = np.minimum(32767 / size.max(-1), (1 << 31 - x.bits) / size.sum(-1))
    base = np.floor(np.log2(room))
    w = np.rint(weight * np.exp2(base)[:, None]).astype(np.int64)
    shifts, biases, modulation = (np.zeros(scale.shape, np.int64) for _ in range(3))
    for s in range(1, min(30, 31 - slope) + 1):
        m = np.rint(scale * np.exp2(14 + s - x.q + out.q - base)).astype(np.int64)
        b = np.rint(bias * 2.0 ** (s + out.q)).astype(np.int64)
        fits = (np.abs(m) <= 1 << 14) & proven((m[..., None] * w + (1 << 13)) >> 14, b, s, x.bits, slope)
        for kept, new in zip((shifts, biases, modulation), (np.full(b.shape, s), b, m)):
            kept[fits] = new[fits]
    if (shifts == 0).any():
        raise ValueError(f'{name}: no shift fits; the output needs a smaller q')
    return w, shifts, biases, modulation


# ---- file -----------------------------------------------------------------------------------------------------------

def section(tag, body):
    data = tag + struct.pack('<I', len(body)) + body
    return data + struct.pack('<I', crc32c.crc32c(data))


def write_model(path, name, description, lambdas, graphs, entropy, motion=None, growths=()):
    """`entropy` is [(kind, tables)]: the bytes of each table's rate points, as entropy_point() makes them, one after the other. Instead of a kind, the
    first fields of a section may stand there.

    `motion` is the payload of the section MOTN, `growths` [(first rate point, upper half of an id)] the content of GROW."""
    classes, arrays, places = graphs[0].classes, [], {}

    def array(a):
        """Arrays that graphs share are written once."""
        if id(a) not in places:
            arrays.append(a)
            places[id(a)] = len(arrays) - 1
        return places[id(a)]

    bodies = [graph_body(g, array) for g in graphs]
    text, words = description.encode(), name.encode()
    rate = struct.pack('<BB', len(lambdas), len(classes))
    for k, l in enumerate(lambdas):
        rate += struct.pack(f'<f{len(classes)}H', l, *(c[k] for c in classes))
    weights = struct.pack('<I', len(arrays))
    for a in arrays:
        kind = [np.int16, np.int32, np.int8, np.uint8].index(a.dtype.type)
        data = np.ascontiguousarray(a).astype(a.dtype.newbyteorder('<')).tobytes()
        weights += struct.pack(f'<BBH{a.ndim}I', kind, a.ndim, 0, *a.shape) + data + bytes(-len(data) % 4)
    with open(path, 'wb') as file:
        file.write(b'SCMODEL\x02')
        file.write(section(b'META', struct.pack('<B', len(words)) + words + struct.pack('<H', len(text)) + text))
        file.write(section(b'RATE', rate))
        if growths:
            file.write(section(b'GROW', struct.pack('<B', len(growths)) + b''.join(struct.pack('<BI', *g) for g in growths)))
        file.write(section(b'WGHT', weights))
        for body in bodies:
            file.write(section(b'GRPH', body))
        for kind, points in entropy:
            file.write(section(b'ENTR', (kind if isinstance(kind, bytes) else struct.pack('<BB', kind, 0)) + b''.join(points)))
        if motion:
            file.write(section(b'MOTN', motion))
        file.write(section(b'END ', b''))


def graph_body(graph, array):
    body = struct.pack('<BBB', graph.role, graph.format, len(graph.inputs))
    for port, t in zip(graph.inputs, graph.tensors):
        body += struct.pack('<BBHBBbH', port % 256, port // 256, t.channels, t.width_class, t.bits, t.q, t.divisor)
    body += struct.pack('<H', len(graph.layers))
    for number, layer in enumerate(graph.layers, len(graph.inputs)):
        t, name = graph.tensors[number], layer.name.encode()
        body += struct.pack('<BB', layer.op + (MODULATED if layer.scale is not None else 0), len(name)) + name
        body += struct.pack(f'<B{len(layer.inputs)}HBBbB', len(layer.inputs), *layer.inputs, layer.activation, layer.slope, t.q, t.bits)
        if layer.op in (CONV, TRANSPOSED, DEPTHWISE):
            fields = [array(a) for a in graph.quantised(number)]
            body += struct.pack(f'<HBBBBB{len(fields)}I', t.channels, t.width_class, *layer.weight.shape[2:], layer.stride, layer.border, *fields)
        elif layer.op == GAIN:
            body += struct.pack('<II', *map(array, graph.quantised(number)))
        elif layer.op in (SHUFFLE, UNSHUFFLE):
            body += struct.pack('<B', layer.factor)
    body += struct.pack('<B', len(graph.outputs))
    return body + b''.join(struct.pack('<BBH', port % 256, port // 256, number) for port, number in graph.outputs.items())


# ---- entropy tables -------------------------------------------------------------------------------------------------

def cdf(p, minimum):
    """(minimum, frequencies) in 1/32768 of the values minimum + i with probabilities p, the escape last.

    Values too rare for a frequency of their own are left to the escape, at the ends only. What rounding leaves over goes where it saves most bits.
    """
    rare = 0.25 / 32768
    kept = np.flatnonzero(p > rare)
    first, last = (kept[0], kept[-1]) if len(kept) else (int(p.argmax()),) * 2
    while last - first + 1 > 255:
        first, last = (first + 1, last) if p[first] < p[last] else (first, last - 1)
    p = np.append(p[first:last + 1], 0.0)
    p[-1] = max(1 - p.sum(), 0.0)
    f = np.maximum(np.floor(p * 32768), 1)
    while f.sum() != 32768:
        if f.sum() < 32768:
            f[np.argmax(p * np.log2((f + 1) / f))] += 1
        else:
            f[np.argmin(np.where(f > 1, p * np.log2(f / np.maximum(f - 1, 0.5)), np.inf))] -= 1
    return minimum + int(first), f.astype(int)


def entropy_point(modes, active, cdfs, bounds=()):
    """Bytes of a rate point. Without bounds channel c has CDF c; with them all channels share the CDFs, one a level, chosen by the scale.

    `active` are probabilities.
    """
    m, levels = len(modes), len(bounds) + 1
    body = struct.pack('<H', m)
    for mode, a in zip(modes, active):
        body += struct.pack('<hH', mode, int(np.clip(np.rint(a * 32768), 1, 32767)))
    body += struct.pack(f'<{m}H', *range(m)) + struct.pack('<H', len(cdfs))
    for minimum, frequency in cdfs:
        body += struct.pack(f'<hH{len(frequency)}H', minimum, len(frequency), *frequency)
    for c in range(m):
        body += struct.pack(f'<B{levels}H', levels, *(range(levels) if bounds else [c]))
        if bounds:
            body += bytes(6) + struct.pack(f'<BBB{levels - 1}H', 0, 1, 0, *bounds)     # no neighbours, no sources; the scale itself
    return body
