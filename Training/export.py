# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoint to model file: calibrates exponents on training pictures, quantises, writes entropy tables.

python export.py base|flagship CKPT --data DIR_OF_TRAINING_PICTURES -o model.scm [--check DIR_OF_TEST_PICTURES]
"""
import argparse
import math

import numpy as np
import torch
import torch.nn.functional as F

import check_int16
import integer
from data import list_training_pictures, read_picture
from formats import folded
from graph import Graph, cdf, entropy_point, write_model
from integer import (ANALYSIS, COLOUR_PLANES, DECODED, EARLIER, FEATURES, GREY, HYPER_ANALYSIS, HYPER_LATENT, HYPER_SYNTHESIS, LATENT, PARAMETERS, RELU,
                     REPLICATE, SLICE, STATIC, SYNTHESIS, YUV420, ZERO)
from networks import NETWORKS, Flagship, load

HIDDEN, CODED = 0, 1        # width classes of the base network
Q = 5                       # of the flagship's latent: in int16 it reaches from −1024 to 1024
SCALE_LOW, SCALE_HIGH, LEVELS = Flagship.log_scale[0], 5.0, 64      # logarithms of the scales 0 and 255; CDFs for them


# ---- graphs ---------------------------------------------------------------------------------------------------------

def base_graphs(net):
    classes, points = [net.hidden, net.latent], len(net.lambdas)
    g = Graph(ANALYSIS, points, classes)
    x = g.plane(COLOUR_PLANES, 3, 1)
    for i, c in enumerate(net.ga):
        weight = c.weight / 510 if i == 0 else c.weight         # the input is 2 · sample − 255 = 510 (x − 0.5)
        x = g.conv(f'ga.{i}', x, weight, c.bias, CODED if i == 3 else HIDDEN, stride=2, activation=0 if i == 3 else RELU)
    g.output(LATENT, g.gain('gain', x, net.gain.exp(), q=0, bits=15))

    s = Graph(SYNTHESIS, points, classes)
    x = s.input(DECODED, net.latent[-1], 15, 0, 16, CODED)
    x = s.gain('igain', x, net.igain.exp())
    for i, c in enumerate(net.gs[:3]):
        x = s.transposed(f'gs.{i}', x, c.weight, c.bias, HIDDEN, activation=RELU)
    x = s.transposed('gs.3', x, net.gs[3].weight * 255, net.gs[3].bias * 255, q=6, bits=15)    # grey levels; saturates far outside of 0…255
    s.output(COLOUR_PLANES, x)
    return [g, s]


def joined(part, layer, dim=0, what='weight'):
    """Weights or biases of a layer of a block or slice, with those of its further units if it has grown."""
    value = getattr(getattr(part, layer), what)
    return torch.cat([value, getattr(part.more[layer], what)], dim) if hasattr(part, 'more') else value


def add_block(g, name, x, block, border=ZERO):
    y = g.depthwise(f'{name}.dw', x, block.dw.weight, block.dw.bias, border=border)
    y = g.conv(f'{name}.c1', y, joined(block, 'c1'), joined(block, 'c1', 0, 'bias'), activation=RELU, rate=(block.act.a, block.act.b))
    rate = (block.out.a, block.out.b) if hasattr(block, 'out') else None
    return g.add(f'{name}.add', x, g.conv(f'{name}.c2', y, joined(block, 'c2', 1), block.c2.bias, rate=rate))


def flagship_graphs(net):
    """Analysis, synthesis, hyper-analysis, hyper-synthesis and slices."""
    points = len(net.lambdas)
    gain, igain = net.gain.exp(), net.igain.exp()

    a = Graph(ANALYSIS, points)
    x = a.unshuffle('unshuffle', a.plane(COLOUR_PLANES, 3, 1), 8)
    x = a.conv('whiten', x, net.whiten / 510, torch.zeros(net.C))
    fine = a.conv('e_fine', x, net.e_fine.weight, net.e_fine.bias, stride=2)
    for i, block in enumerate(net.e1):
        x = add_block(a, f'e1.{i}', x, block)
    x = a.concat('concat', [a.conv('e_dn', x, net.e_dn.weight, net.e_dn.bias, stride=2), fine])
    for i, block in enumerate(net.e2):
        x = add_block(a, f'e2.{i}', x, block)
    a.output(LATENT, a.gain('gain', x, gain, q=Q, bits=15))

    s = Graph(SYNTHESIS, points)
    x = s.gain('igain', s.input(DECODED, net.M, 15, Q, 16), igain)
    x = s.transposed('d_up', x, net.d_up.weight, net.d_up.bias)
    for i, block in enumerate(net.d1):
        x = add_block(s, f'd1.{i}', x, block)
    colour = 255 * net.colour[:, :, 0, 0]
    x = s.conv('d_out', x, (colour @ net.d_out.weight[:, :, 0, 0])[:, :, None, None], colour @ net.d_out.bias, q=6, bits=15)
    s.output(COLOUR_PLANES, s.shuffle('shuffle', x, 8))

    return [a, s, *entropy_graphs(net)]


def entropy_graphs(net, context=None, q=Q):
    """Hyper-analysis, hyper-synthesis and slices. `context` is the port of what is added to the features, which has as many channels; `q` is the latent's.

    Inputs that other graphs give get their exponents in calibration.
    """
    points = len(net.lambdas)
    gain, igain = net.gain.exp(), net.igain.exp()

    # The network sees z and |z| of the latent without its gain: the sum and difference of ReLUs of z and −z.
    ha = Graph(HYPER_ANALYSIS, points)
    y = ha.input(LATENT, net.M, 15, q, 16)
    x = ha.concat('concat', [ha.gain('positive', y, igain, activation=RELU), ha.gain('negative', y, -igain, activation=RELU)])
    plain, magnitude = net.ha[0].weight.split(net.M, 1)
    x = ha.conv('ha.0', x, torch.cat([magnitude + plain, magnitude - plain], 1), net.ha[0].bias, activation=RELU)
    x = ha.conv('ha.1', x, net.ha[1].weight, net.ha[1].bias, stride=2, border=REPLICATE, activation=RELU)
    ha.output(HYPER_LATENT, ha.conv('ha.2', x, net.ha[2].weight * 4, net.ha[2].bias * 4, stride=2, border=REPLICATE, q=0, bits=15))

    hs = Graph(HYPER_SYNTHESIS, points)
    z = hs.input(HYPER_LATENT, net.Z, 15, 0, 64)
    extra = None if context is None else hs.input(context, net.hb.dw.out_channels, None, None, 16)
    x = hs.conv('hs.0', z, net.hs[0].weight / 4, net.hs[0].bias, border=REPLICATE, activation=RELU)
    x = hs.conv('hs.1', hs.shuffle('shuffle.0', x, 2), net.hs[1].weight, net.hs[1].bias, border=REPLICATE)
    x = add_block(hs, 'hb', hs.shuffle('shuffle.1', x, 2), net.hb, REPLICATE)
    hs.output(FEATURES, x if extra is None else hs.add('context', x, extra))

    slices, step = [], (SCALE_HIGH - SCALE_LOW) / 255 * 2 ** q       # a scale is an integer as it stands, whatever the exponent
    for i, (part, c) in enumerate(zip(net.slices, net.ranges())):
        g, m = Graph(SLICE + i, points), c.stop - c.start
        x = g.input(FEATURES, net.hb.dw.out_channels, None, None, 16)
        if i:
            known = g.input(EARLIER, c.start, 15, q, 16)
            x = g.concat('concat', [x, g.gain('igain', known, igain[:, :c.start])])
        x = g.conv('c1', x, joined(part, 'c1'), joined(part, 'c1', 0, 'bias'), activation=RELU)
        x = g.depthwise('dw', x, joined(part, 'dw'), joined(part, 'dw', 0, 'bias'), border=REPLICATE, activation=RELU, rate=(part.act.a, part.act.b))
        g.output(PARAMETERS, g.conv('c2', x, joined(part, 'c2', 1), part.c2.bias, q=q, bits=15, rate=(
            torch.cat([gain[:, c], torch.full((points, m), 2 / step)], 1), torch.cat([torch.zeros(points, m), (net.base[:, c] - SCALE_LOW) / step], 1))))
        slices.append(g)
    return [ha, hs, *slices]


# ---- calibration ----------------------------------------------------------------------------------------------------

def crops(folder, count, size=512):
    """The middle of pictures spread over the folder, uint8 [H, W, 3]."""
    files = list_training_pictures(folder)
    for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int):
        picture = read_picture(files[i])
        y, x = (max(0, (n - size) // 2) for n in picture.shape[:2])
        yield picture[y:y + size, x:x + size]


@torch.no_grad()
def observe(graphs, pictures):
    """Runs the float graphs on pictures at every rate point to learn the peaks of their tensors."""
    analysis, synthesis, *entropy = graphs
    multiple = math.lcm(*(t.divisor for g in graphs for t in g.tensors))
    for picture in pictures:
        planes = {COLOUR_PLANES: integer.plane_input(picture, multiple)}
        for k in range(analysis.points):
            y = analysis.run(planes, k)[LATENT]
            synthesis.run({DECODED: observe_entropy(entropy, {LATENT: y}, k) if entropy else y.round()}, k)


def observe_entropy(graphs, known, k):
    """The decoded latent that hyper-analysis, hyper-synthesis and slices make of known {port: tensor}, in units of the quantiser."""
    ha, hs, *slices = graphs
    known = known | {port: v.round() for port, v in ha.run(known, k).items()}
    known |= hs.run(known, k)
    y, decoded = known[LATENT], known[LATENT][:0]
    for g in slices:
        mean = g.run(known | {EARLIER: decoded}, k)[PARAMETERS].chunk(2)[0]
        decoded = torch.cat([decoded, (y[len(decoded):len(decoded) + len(mean)] - mean).round() + mean])
    return decoded


def calibrate(graphs, headroom):
    """Chooses scales and exponents of all graphs, in an order in which each input that another graph gives is known."""
    given = {}
    for g in graphs:
        g.equalise()
        for port, t in zip(g.inputs, g.tensors):
            if t.q is None:
                t.q, t.bits = given[port].q, given[port].bits
        g.calibrate(headroom)
        given |= {port: g.tensors[number] for port, number in g.outputs.items()}


# ---- entropy tables -------------------------------------------------------------------------------------------------

@torch.no_grad()
def mixture_cdfs(density, k, channels, reach=2047):
    """One CDF a channel from the trained density."""
    values = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weight = F.softmax(density.w[k, :channels].double(), -1)
    sharpness = torch.exp(-density.ls[k, :channels].double()).clamp_max(50.0)
    d = (values[:, None, None] - density.mu[k, :channels].double()).abs()
    p = (weight * (torch.sigmoid((0.5 - d) * sharpness) - torch.sigmoid((-0.5 - d) * sharpness))).sum(-1).T.numpy()
    return [cdf(row, -reach) for row in p]


def gaussian_cdfs(reach=2047):
    """(CDFs, first scales of their levels but the first) of rounded normal variables of mean zero; the coder's scales are 0…255.

    Levels grow from 1.5 to 6.5 scales, as at low rates most scales are small and bits depend most on them.
    """
    edge, part = torch.arange(-reach, reach + 2, dtype=torch.float64) - 0.5, np.linspace(0, 1, LEVELS + 1)
    starts = np.rint(256 * part * (0.375 + 0.625 * part)).astype(int)
    middle = SCALE_LOW + (SCALE_HIGH - SCALE_LOW) / 255 * (starts[:-1] + starts[1:] - 1) / 2
    middle[0] = SCALE_LOW       # where the bound piles them up
    return [cdf(torch.special.ndtr(edge / s).diff().numpy(), -reach) for s in np.exp(middle)], starts[1:-1].tolist()


def modes(cdfs):
    return [minimum + int(f[:-1].argmax()) for minimum, f in cdfs]


# ---- model files ----------------------------------------------------------------------------------------------------

def export(network, net, pictures, path, headroom):
    """Writes the model twice: the activity of channels is counted with the integer network of the first."""
    points = range(len(net.lambdas))
    if network == 'base':
        graphs = base_graphs(net)
        tables = [[mixture_cdfs(net.by, k, net.latent[k])] for k in points]
        text = 'Low-complexity auto-encoder (5x5 stride-2 convolutions, ReLU), slimmable, factorised density.'
    else:
        graphs, (differences, bounds) = flagship_graphs(net), gaussian_cdfs()
        tables = [[mixture_cdfs(net.bz, k, net.Z), differences] for k in points]
        text = 'Depthwise-separable residual blocks on a linear trunk, mean-scale hyperprior with channel slices.'
    observe(graphs, pictures)
    calibrate(graphs, headroom)
    if network == 'flagship':
        graphs[2:2] = [g for format in (GREY, YUV420) for g in folded(*graphs[:2], format, 'whiten', 'd_out')]

    def write(activity):
        """`activity` is [rate point][table][channel]."""
        entropy = [entropy_point(modes(t[0]), a[0], t[0]) for t, a in zip(tables, activity)]
        if network == 'flagship':
            entropy += [entropy_point([0] * net.M, a[1], t[1], bounds) for t, a in zip(tables, activity)]
        write_model(path, network, text, net.lambdas, graphs, [(STATIC, entropy)])

    def coded(k, picture):
        """Whether the channels of each table move in a picture."""
        known = {LATENT: integer.analyse(model, {COLOUR_PLANES: picture}, k)}
        if network == 'base':
            return [moves(known[LATENT], modes(tables[k][0]))]
        known |= model.run(HYPER_ANALYSIS, k, known)
        return [moves(known[HYPER_LATENT], modes(tables[k][0])), moves(integer.code_slices(model, known, k)[1], [0] * net.M)]

    write([[[0.5] * net.Z, [0.5] * net.M] if network == 'flagship' else [[0.5] * net.latent[k]] for k in points])
    model = integer.read_model(path)
    counts = [[np.sum(c, 0) for c in zip(*(coded(k, p) for p in pictures))] for k in points]
    write([[(c + 0.5) / (len(pictures) + 1) for c in row] for row in counts])
    for g in graphs:
        print(f'role {g.role}, format {g.format}: {g.macs(0):.0f} to {g.macs(points[-1]):.0f} MAC/pixel')


def moves(latent, mode):
    return (latent != torch.tensor(mode)[:, None, None]).flatten(1).any(1).numpy()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('network', choices=NETWORKS)
    a.add_argument('checkpoint')
    a.add_argument('--data', required=True)
    a.add_argument('-o', required=True, dest='out')
    a.add_argument('--check', help='folder of test pictures')
    a.add_argument('--pictures', type=int, default=24, help='for calibration')
    a.add_argument('--headroom', type=float, default=1.5, help='over the largest activation seen')
    a = a.parse_args()
    net = load(a.checkpoint, a.network)
    export(a.network, net, list(crops(a.data, a.pictures)), a.out, a.headroom)
    if a.check:
        check_int16.report(integer.read_model(a.out), net, a.check)


if __name__ == '__main__':
    main()
