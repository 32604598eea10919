# SPDX-License-Identifier: BSD-3-Clause
"""Extends a model file by the domain that adapt.py has trained: a model file with both, which decodes bitstreams of the old one to equal samples.

python export_grown.py grown.pt --source flagship.scm --data DIR_OF_THE_DOMAIN -o grown.scm [--check DIR_OF_TEST_PICTURES]

What the old rate points use stays as it is, bit for bit: exponents and ranges of tensors, weights, scales, entropy tables. The new ones get their own
scales, biases and shifts within those ranges; new hidden units are written behind the old ones, as a width class. Entropy tables of the new domain are those of
training, where the file has tables of the kind that training knows, and otherwise copies of the old domain's: `codec-bench fit --domain 1` fits them.

flagship.scm must have been exported from the flagship that grown.pt began with: its channels' scales are found by comparing both.
"""
import argparse

import numpy as np
import torch

import check_int16
import integer
from export import crops, flagship_graphs, gaussian_cdfs, mixture_cdfs, modes, observe
from graph import ALL, Graph, Layer, Tensor, entropy_point, modulate, proven, quantise, write_model
from integer import ADD, COLOUR_PLANES, CONCAT, CONV, DEPTHWISE, GAIN, LEAKY, RGB, SHUFFLE, STATIC, TRANSPOSED, UNSHUFFLE
from networks import Flagship, as_deep, averaged_weights, load

CONVOLUTIONS = (CONV, TRANSPOSED, DEPTHWISE)
ONE = 1 << 14                   # a modulation that leaves weights as they are


def powers(got, want):
    """By row, the power of two by which integers brought to values, [n, …], exceed what the checkpoint has; 1 where that is nothing."""
    got, want = (np.sqrt(np.square(a.reshape(len(a), -1)).sum(1)) for a in (got, want))
    return np.exp2(np.rint(np.log2(np.where((got > 0) & (want > 0), got / np.where(want > 0, want, 1), 1))))


def rows(weight, op):
    """Weights as in the file, [outputs, kh, kw, inputs] or depthwise [channels, kh, kw, 1], of what PyTorch keeps."""
    return weight.numpy().transpose(0, 2, 3, 1)


class Growth:
    """One graph of the source file and the float graphs of its checkpoint, `old`, and of the grown one, `new`, layer by layer."""

    def __init__(self, file, old, new, headroom):
        self.file, self.old, self.new, self.headroom = file, old, new, headroom
        self.points = old.points
        self.arrays = {}        # by identity of a source layer's first array: the arrays of the grown one
        self.scales = [np.ones(t.channels) for t in new.tensors[:len(new.inputs)]]      # of the channels of each tensor
        self.worst = 0.0        # largest difference between file and checkpoint, relative to a row's length
        if [l.name for l in file.layers] != [l.name for l in old.layers] or [l.name for l in old.layers] != [l.name for l in new.layers]:
            raise SystemExit('the model file has other layers than the checkpoint')
        for number in range(len(new.inputs), len(new.tensors)):
            self.layer(number)

    def layer(self, number):
        n = number - len(self.new.inputs)
        source, old, new = (g.layers[n] for g in (self.file, self.old, self.new))
        inputs = [self.scales[i] for i in new.inputs]
        if new.op in CONVOLUTIONS:
            scale, arrays = self.convolution(number, source, old, new, inputs[0])
        elif new.op == GAIN:
            scale, arrays = self.gain(number, source, old, new, inputs[0])
        else:
            scale, arrays = inputs[0], ()
            if new.op == ADD:
                assert np.array_equal(*inputs), new.name
            elif new.op == CONCAT:
                scale = np.concatenate(inputs)
            elif new.op in (SHUFFLE, UNSHUFFLE):
                assert (scale == 1).all(), new.name
                scale = np.ones(self.new.tensors[number].channels)
        self.scales.append(scale)
        if arrays:
            self.arrays[id(source.gain if new.op == GAIN else source.weights)] = arrays

    def ends(self, number, layer):
        """Input and output tensor with the exponents of the file."""
        return self.file.tensors[layer.inputs[0]], self.file.tensors[number]

    def found(self, got, want):
        """Scales of channels; the integers must be those of the checkpoint but for rounding."""
        scale = powers(got, want)
        got, want = got.reshape(len(got), -1), want.reshape(len(want), -1) * scale[:, None]
        self.worst = max(self.worst, np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-9))
        return scale

    def room(self, number, peaks):
        """Scales of new channels, which fill the tensor's range."""
        t = self.file.tensors[number]
        return np.exp2(np.clip(np.floor(np.log2(2.0 ** (t.bits - t.q) / (self.headroom * np.maximum(peaks, 1e-6)))), -8, 5))

    def gain(self, number, source, old, new, before):
        x, out = self.ends(number, new)
        unit = 2.0 ** (x.q - out.q - source.shift.astype(float))
        scale = before * self.found((source.gain * unit).T, old.gain.numpy().T / before[:, None])
        g, s, _ = quantise((new.gain.numpy() * scale / before)[..., None], np.zeros(new.gain.shape), x, out, 0, new.name)
        return scale, (np.concatenate([source.gain, g[..., 0]]).astype(np.int16), np.concatenate([source.shift, s]).astype(np.uint8))

    def convolution(self, number, source, old, new, before):
        x, out = self.ends(number, new)
        depthwise, modulated = new.op == DEPTHWISE, source.modulation is not None
        slope = new.slope if new.activation == LEAKY else 0
        columns = lambda weight, scale: weight / (scale[:, None, None, None] if depthwise else scale)
        weights = (source.weights[..., None] if depthwise else source.weights).astype(np.int64)
        count, inputs = weights.shape[0], weights.shape[3]
        exponents, bias = (np.atleast_2d(a).astype(np.int64) for a in (source.exponents, source.bias))
        # At the rate point where weights are largest, row by row, of both file and checkpoint.
        k = np.abs(source.modulation.astype(int) * 2.0 ** -exponents).argmax(0) if modulated else np.zeros(count, int)
        row = np.arange(count)
        m = source.modulation[k, row] / ONE if modulated else np.ones(count)
        a = old.scale.numpy()[k, row] if modulated else np.ones(count)
        before_old = before[:count] if depthwise else before[:inputs]
        values = columns(rows(old.weight, new.op), before_old)
        unit = 2.0 ** -exponents[k, row].astype(float)
        float_bias = old.bias.numpy()[k, row] if modulated else old.bias.numpy()
        both = lambda w, b: np.concatenate([w.reshape(count, -1), b[:, None]], 1)
        scale = self.found(both(weights * (m * unit)[:, None, None, None], bias[k, row] * unit * 2.0 ** -x.q),
                           both(values * a[:, None, None, None], float_bias))
        grows = new.weight.shape[:2] != old.weight.shape[:2]
        if not modulated and new.scale is None and not grows:
            return scale, (source.weights, source.exponents, source.bias)

        # New rows: of hidden units.
        more = len(new.weight) - count
        all_scales = np.concatenate([scale, self.room(number, self.new.tensors[number].peaks[count:])])
        wide = columns(rows(new.weight, new.op), before) * all_scales[:, None, None, None]
        biases = new.bias.numpy() * all_scales
        if new.scale is None:       # c1 of a slice
            w, s, b = quantise(wide[count:].reshape(more, -1), biases[count:], x, out, slope, new.name)
            w = np.concatenate([weights, w.reshape(more, *weights.shape[1:])])
            return all_scales, (w.astype(np.int16), np.concatenate([source.exponents, s - x.q + out.q]).astype(np.int8),
                                np.concatenate([source.bias, b]).astype(np.int32))
        # New columns, in the units of their rows.
        largest = lambda w: np.abs(w).reshape(count, -1).max(1)
        base = np.rint(np.log2(np.maximum(largest(weights), 1) / np.maximum(largest(wide[:count, ..., :inputs]), 2.0 ** -12))) if modulated else exponents[0]
        w = np.rint(wide[:count] * np.exp2(base)[:, None, None, None])
        if np.abs(w).max() > 32767:
            print(f'{new.name}: {(np.abs(w) > 32767).sum()} new weights are cut to int16')
        w = w.clip(-32767, 32767).astype(np.int64)
        w[..., :inputs] = weights
        s, b, mods = self.modulate(w.reshape(count, -1), base, biases[:, :count], new.scale.numpy()[:, :count], x, out, slope, new.name)
        if more:
            w2, s2, b2, m2 = modulate(wide[count:].reshape(more, -1), biases[:, count:], new.scale.numpy()[:, count:], x, out, slope, new.name)
            w = np.concatenate([w, w2.reshape(more, *w.shape[1:])])
            s, b, mods = (np.concatenate(pair, 1) for pair in ((s, s2), (b, b2), (mods, m2)))
        # The old rate points: rows that they have not are 0 there.
        e = s - x.q + out.q
        old_e = np.repeat(exponents, self.points // len(exponents), 0)
        old_b = np.repeat(bias, self.points // len(bias), 0)
        old_m = source.modulation.astype(np.int64) if modulated else np.full((self.points, count), ONE)
        none = np.zeros((self.points, more), np.int64)
        e = np.concatenate([np.concatenate([old_e, np.repeat(e[:1, count:], self.points, 0)], 1), e])
        b = np.concatenate([np.concatenate([old_b, none], 1), b])
        mods = np.concatenate([np.concatenate([old_m, none], 1), mods])
        if depthwise:
            w = w[..., 0]
        return all_scales, (w.astype(np.int16), e.astype(np.int8), b.astype(np.int32), mods.astype(np.int16))

    @staticmethod
    def modulate(w, base, bias, scale, x, out, slope, name):
        """(shifts, biases, modulation), all [rate point, row], of integer rows w [o, n] that stand for w · 2^−base: see graph.modulate."""
        shifts, biases, modulation = (np.zeros(scale.shape, np.int64) for _ in range(3))
        for s in range(1, 31 - slope):
            m, b = np.rint(scale * np.exp2(14 + s - x.q + out.q - base)).astype(np.int64), np.rint(bias * 2.0 ** (s + out.q)).astype(np.int64)
            fits = (np.abs(m) <= ONE) & proven((m[..., None] * w + (1 << 13)) >> 14, b, s, x.bits, slope)
            for kept, new in zip((shifts, biases, modulation), (np.full(b.shape, s), b, m)):
                kept[fits] = new[fits]
        if (shifts == 0).any():
            raise ValueError(f'{name}: no shift fits {(shifts == 0).sum()} channels')
        return shifts, biases, modulation


def grown_graphs(model, growths):
    """Graphs of all formats and roles to be written, and the classes [class][rate point]."""
    arrays, wide, classes = {}, {}, {}
    for g in growths.values():
        arrays |= g.arrays
        for old, new, name in zip(g.old.tensors[len(g.old.inputs):], g.new.tensors[len(g.new.inputs):], [l.name for l in g.new.layers]):
            if old.channels != new.channels:
                wide[g.file.role, name] = old.channels, new.channels
                classes.setdefault((old.channels, new.channels), len(classes))
    graphs = []
    for (role, format), file in model.graphs.items():
        g = Graph(role, 0, format=format)
        g.inputs, g.outputs = file.inputs, file.outputs
        for number, t in enumerate(file.tensors):
            pair = wide.get((role, file.layers[number - len(file.inputs)].name)) if number >= len(file.inputs) else None
            g.tensors.append(Tensor(pair[1] if pair else t.channels, classes[pair] if pair else ALL, None, t.divisor, t.q, t.bits))
        for l in file.layers:
            first = l.gain if l.op == GAIN else l.weights
            own = [a for a in ((l.gain, l.shift) if l.op == GAIN else (l.weights, l.exponents, l.bias, l.modulation)) if a is not None]
            all_arrays = arrays.get(id(first), tuple(own)) if own else ()
            kernel = first.shape[1:3] if l.op in CONVOLUTIONS else (1, 1)
            g.layers.append(Layer(l.op, l.name, l.inputs, l.activation, l.slope, l.stride, l.border, l.factor, arrays=all_arrays,
                                  weight=torch.empty(1, 1, *kernel) if l.op in CONVOLUTIONS else None, scale=torch.empty(0) if len(all_arrays) == 4 else None))
        graphs.append(g)
    return graphs, classes


def grown_tables(model, net):
    """[(first fields, tables)] of all kinds."""
    result = []
    for kind, (head, hyper, points) in model.tables.items():
        new_hyper, new_points = hyper, points
        if kind == STATIC and head[1] == 0:
            differences, bounds = gaussian_cdfs()
            new_hyper, new_points = [], [entropy_point([0] * net.M, [0.5] * net.M, differences, bounds)] * len(points)
            for k in range(len(points)):
                cdfs = mixture_cdfs(net.bz, k, net.Z)
                new_hyper.append(entropy_point(modes(cdfs), [0.5] * net.Z, cdfs))
        result.append((head, [*hyper, *new_hyper, *points, *new_points]))
    return result


def grow(model, old_graphs, new_graphs, headroom):
    """{role: Growth} of float graphs for RGB, `old` as the model file has them; the new ones have seen pictures of the domain."""
    growths = {a.role: Growth(model.graphs[a.role, RGB], a, b, headroom) for a, b in zip(old_graphs, new_graphs)}
    worst = max(g.worst for g in growths.values())
    if worst > 0.02:
        raise SystemExit(f'the model file was not exported from this checkpoint: weights differ by {100 * worst:.1f} %')
    return growths


def write(path, source, model, growths, lambdas, tables):
    """The model file of the source file's model and growths by rate points `lambdas`, with tables of all."""
    graphs, classes = grown_graphs(model, growths)
    points = len(model.lambdas)
    for g in graphs:
        g.classes = [[a] * points + [b] * len(lambdas) for a, b in classes]
    write_model(path, model.name, model.text, [*model.lambdas, *lambdas], graphs, tables, growths=[(points, integer.model_id(source) >> 32)])


def saturating(growths):
    """Tells of tensors that the domain's pictures drive out of the range that they have."""
    for g in growths.values():
        for number, layer in enumerate(g.new.layers, len(g.new.inputs)):
            t, file = g.new.tensors[number], g.file.tensors[number]
            part = (t.peaks * g.scales[number]).max() / 2.0 ** (file.bits - file.q)
            if part > 1:
                print(f'role {g.file.role}, {layer.name}: the largest activation is {part:.2f} of the range, and is cut')


def equal_where_old(a, b, points):
    """Whether two models decode to the same samples at the old rate points, of a picture of noise and edges."""
    y, x, c = np.ogrid[:64, :96, :3]
    picture = ((x * 3 + y * 5 + c * 40 + 90 * (x // 9 + y // 7 & 1) + (x * y * (c + 7)) % 23) % 256).astype(np.uint8)
    return all(np.array_equal(*(integer.code(m, {COLOUR_PLANES: picture}, k)[0][COLOUR_PLANES] for m in (a, b))) for k in points)


def export(source, old, net, pictures, path, headroom):
    """`source` is the model file, `old` the flagship that it was exported from, `net` the grown one."""
    model = integer.read_model(source)
    if model.growths or model.widths:
        raise SystemExit(f'{source}: has width classes or another domain already')
    old_graphs, new_graphs = flagship_graphs(old), flagship_graphs(net)
    observe(new_graphs, pictures)
    growths = grow(model, old_graphs, new_graphs, headroom)
    saturating(growths)
    write(path, source, model, growths, net.lambdas, grown_tables(model, net))
    grown = integer.read_model(path)
    if not equal_where_old(model, grown, (0, len(model.lambdas) - 1)):
        raise SystemExit('the old rate points have changed')
    return grown


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('checkpoint')
    a.add_argument('--source', required=True, help='model file to extend')
    a.add_argument('--data', required=True, help='pictures of the domain, for ranges')
    a.add_argument('-o', required=True, dest='out')
    a.add_argument('--check', help='folder of test pictures')
    a.add_argument('--pictures', type=int, default=24)
    a.add_argument('--headroom', type=float, default=1.5, help='over the largest activation seen, of new channels')
    a = a.parse_args()
    net, weights = load(a.checkpoint, 'grown'), averaged_weights(a.checkpoint, part='source')
    old = as_deep(Flagship, weights)
    old.load_state_dict(weights)
    model = export(a.source, old.eval(), net, list(crops(a.data, a.pictures)), a.out, a.headroom)
    if a.check:
        check_int16.report(model, net, a.check, first=model.growths[0][0])


if __name__ == '__main__':
    main()
