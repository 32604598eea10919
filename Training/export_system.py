# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoint of a system (systems.py) to two model files: of intra frames, which leave behind what the first inter frame reads, and of inter frames.

python export_system.py stem CKPT --data DIR_OF_TRAINING_CLIPS -o PREFIX        writes PREFIX-intra.scm and PREFIX-inter.scm
python export_system.py slimvc CKPT --image IMAGE_CKPT …                        of both stages

Contexts of the entropy models are fitted afterwards (codec-bench fit --clips --intra-model).
"""
import argparse
import struct
from pathlib import Path

import crc32c
import numpy as np
import torch

import integer
from export import LEVELS, SCALE_HIGH, SCALE_LOW, add_block, calibrate, gaussian_cdfs, mixture_cdfs, modes, moves
from export_video import middles
from formats import packing
from graph import ALL, Graph, Layer, Tensor, entropy_point, section, write_model
from integer import (ANALYSIS, CHROMA, CONTEXT, CONTEXTS, DECODED, EARLIER, FEATURES, HYPER_ANALYSIS, HYPER_LATENT, HYPER_SYNTHESIS, LATENT, LEAKY, LUMA,
                     PARAMETERS, REFERENCE, RELU, REPLICATE, SLICE, STATE, STATIC, SYNTHESIS, YUV420)
from systems import SLOPE, SlimCAE, load_system
from train_video import packed
from video import MIDDLE, MULTIPLE, load_clips

FLAGSHIP = Path(__file__).resolve().parent.parent / 'Sources/CDefaultModel/models/flagship.scm'


# ---- parts of other model files -------------------------------------------------------------------------------------

def with_states(path, format, names):
    """The bytes of a model file, but the synthesis of a format gives the results of these layers as states, too."""
    data, graph = Path(path).read_bytes(), integer.read_model(path).graphs[SYNTHESIS, format]
    file, out = integer.Bytes(data), data[:8]
    file.take(8)
    while file.at < len(data):
        tag, size = file.take(4), file.read('I')
        body = file.take(size)
        file.take(4)
        if tag == b'GRPH' and (body[0], body[1]) == (SYNTHESIS, format):
            layers = [layer.name for layer in graph.layers]
            ports = list(graph.outputs.items()) + [(STATE + 256 * i, len(graph.inputs) + layers.index(name)) for i, name in enumerate(names)]
            body = body[:len(body) - 1 - 4 * len(graph.outputs)] + struct.pack('<B', len(ports))
            body += b''.join(struct.pack('<BBH', port % 256, port // 256, number) for port, number in ports)
        out += section(tag, body)
    return out


def frozen(model, role):
    """A graph of a model file as it stands there, to be written again."""
    source = model.graphs[role, YUV420]
    g = Graph(role, len(model.lambdas), format=YUV420)
    g.inputs, g.outputs = list(source.inputs), dict(source.outputs)
    g.tensors = [Tensor(t.channels, ALL, t.widths, t.divisor, t.q, t.bits, np.zeros(t.channels)) for t in source.tensors]
    for layer in source.layers:
        new = Layer(layer.op, layer.name, layer.inputs, layer.activation, layer.slope, layer.stride, layer.border, layer.factor, arrays=())
        if layer.weights is not None:
            new.weight = torch.zeros(len(layer.weights), 1, *layer.weights.shape[1:3])
            new.scale = layer.modulation
            new.arrays = tuple(a for a in (layer.weights, layer.exponents, layer.bias, layer.modulation) if a is not None)
        elif layer.gain is not None:
            new.gain, new.arrays = layer.gain, (layer.gain, layer.shift)
        g.layers.append(new)
    return g


# ---- STEM -----------------------------------------------------------------------------------------------------------

def scales_of_state(net, synthesis, q):
    """By what the exporter of the transforms has scaled the channels of the decoded latent without gain, powers of two [M]."""
    number = synthesis.outputs[STATE]
    gain, shift = synthesis.layer(number).arrays
    gain = torch.from_numpy(gain[0] * 2.0 ** (q - synthesis.tensors[number].q - shift[0].astype(float)))
    return torch.exp2(torch.log2(gain / net.igain[0].exp().double()).round()).float()


def stem_graphs(net, state, scale, q):
    """Context network, hyper-analysis, hyper-synthesis and slices.

    `state` is the tensor of the decoded latent without gain, its channels scaled by `scale`; `q` is the latent's.
    """
    points, M, features = len(net.lambdas), net.M, net.hb.dw.out_channels
    unscaled = lambda layer: layer.weight / scale[:, None, None]
    gain, igain = net.gain.exp(), net.igain.exp()
    before = lambda g: g.input(STATE, M, state.bits, state.q, state.divisor)

    c = Graph(CONTEXT, points)
    x = before(c)
    for i, layer in enumerate(net.tpm):
        x = c.conv(f'tpm.{i}', x, layer.weight if i else unscaled(layer), layer.bias, border=REPLICATE, activation=RELU if i < 2 else 0)
    c.output(CONTEXTS, x)

    ha = Graph(HYPER_ANALYSIS, points)
    y, s = ha.input(LATENT, M, 15, q, 16), before(ha)
    x = ha.concat('concat', [ha.gain('positive', y, igain, activation=RELU), ha.gain('negative', y, -igain, activation=RELU), s])
    plain, magnitude = net.ha[0].weight.split(M, 1)
    weight = torch.cat([magnitude + plain, magnitude - plain, unscaled(net.ha_before)], 1)
    x = ha.conv('ha.0', x, weight, net.ha[0].bias + net.ha_before.bias, activation=RELU)
    x = ha.conv('ha.1', x, net.ha[1].weight, net.ha[1].bias, stride=2, border=REPLICATE, activation=RELU)
    ha.output(HYPER_LATENT, ha.conv('ha.2', x, net.ha[2].weight * 4, net.ha[2].bias * 4, stride=2, border=REPLICATE, q=0, bits=15))

    hs = Graph(HYPER_SYNTHESIS, points)
    z, extra = hs.input(HYPER_LATENT, net.Z, 15, 0, 64), hs.input(CONTEXTS, features, None, None, 16)
    x = hs.conv('hs.0', z, net.hs[0].weight / 4, net.hs[0].bias, border=REPLICATE, activation=RELU)
    x = hs.conv('hs.1', hs.shuffle('shuffle.0', x, 2), net.hs[1].weight, net.hs[1].bias, border=REPLICATE)
    x = add_block(hs, 'hb', hs.shuffle('shuffle.1', x, 2), net.hb, REPLICATE)
    hs.output(FEATURES, hs.add('context', x, extra))

    slices, step = [], (SCALE_HIGH - SCALE_LOW) / 255 * 2 ** q
    for i, (part, c_) in enumerate(zip(net.slices, net.ranges())):
        g, m = Graph(SLICE + i, points), c_.stop - c_.start
        x = [g.input(FEATURES, features, None, None, 16)]
        known = [g.input(EARLIER, c_.start, 15, q, 16)] if i else []
        s = before(g)
        x += [g.gain('igain', k, igain[:, :c_.start]) for k in known] + [s]
        weight = torch.cat([part.c1.weight, unscaled(net.s_before[i])], 1)
        x = g.conv('c1', g.concat('concat', x), weight, part.c1.bias + net.s_before[i].bias, activation=RELU)
        x = g.depthwise('dw', x, part.dw.weight, part.dw.bias, border=REPLICATE, activation=RELU, rate=(part.act.a, part.act.b))
        units = torch.cat([gain[:, c_], torch.full((points, m), 2 / step)], 1)
        base = torch.cat([torch.zeros(points, m), (net.base[:, c_] - SCALE_LOW) / step], 1)
        x = g.conv('c2', x, part.c2.weight, part.c2.bias, q=q, bits=15, rate=(units, base))
        units = torch.cat([1 / igain[:, c_], units[:, m:]], 1)
        carry = g.conv('carry', s, unscaled(net.carry[i]), net.carry[i].bias, q=q, bits=15, rate=(units, torch.zeros_like(base)))
        g.output(PARAMETERS, g.add('sum', x, carry))
        slices.append(g)
    return [c, ha, hs, *slices]


@torch.no_grad()
def stem_chain(net, entropy, scale, frames, k, active):
    """Runs the float graphs along packed frames; counts which channels of z and of v move."""
    context, *prior = entropy
    before = net.begin(frames[0], [k])
    for x in frames[1:]:
        known = {LATENT: net.analysis(x, torch.tensor([k]))[0], STATE: before[0] * scale[:, None, None]}
        known |= context.run(known, k)
        z, v, decoded = observe_prior(prior, known, k)
        active[0] += z.round().flatten(1).any(1).numpy()
        active[1] += v.flatten(1).any(1).numpy()
        before = (decoded * net.igain[k].exp()[:, None, None])[None]


def observe_prior(graphs, known, k):
    """Hyper-latent, differences from means as they are coded, and the decoded latent, in units of the quantiser."""
    ha, hs, *slices = graphs
    known = known | {port: v.round() for port, v in ha.run(known, k).items()}
    z = known[HYPER_LATENT]
    known |= hs.run(known, k)
    y, decoded, differences = known[LATENT], known[LATENT][:0], []
    for g in slices:
        mean = g.run(known | {EARLIER: decoded}, k)[PARAMETERS].chunk(2)[0]
        differences.append((y[len(decoded):len(decoded) + len(mean)] - mean).round())
        decoded = torch.cat([decoded, differences[-1] + mean])
    return z, torch.cat(differences), decoded


def hyper_tables(net, active, frames):
    """Entropy points of z and of v of each rate point; `active` is [rate point][table][channel], counts in so many frames."""
    differences, bounds = gaussian_cdfs()
    probability = lambda c: (c + 0.5) / (frames + 1)
    hyper = [mixture_cdfs(net.bz, k, len(a[0])) for k, a in enumerate(active)]
    points = [entropy_point(modes(h), probability(a[0]), h) for h, a in zip(hyper, active)]
    return points + [entropy_point([0] * len(a[1]), probability(a[1]), differences, bounds) for a in active]


def export_stem(net, clips, prefix, headroom, frames):
    """Returns the graphs of inter frames."""
    path = f'{prefix}-intra.scm'
    Path(path).write_bytes(with_states(FLAGSHIP, YUV420, ['igain']))
    intra = integer.read_model(path)
    transforms = [frozen(intra, role) for role in (ANALYSIS, SYNTHESIS)]
    q, state = transforms[0].tensors[-1].q, transforms[1].tensors[transforms[1].outputs[STATE]]
    scale = scales_of_state(net, transforms[1], q)
    entropy = stem_graphs(net, state, scale, q)
    points = range(len(net.lambdas))
    active, count = [[np.zeros(net.Z), np.zeros(net.M)] for _ in points], 0
    for clip in clips:
        chain = chain_of(clip, frames)
        for k in points:
            stem_chain(net, entropy, scale, chain, k, active[k])
        count += len(chain) - 1
    calibrate(entropy, headroom)
    text = 'STEM (Sun et al. 2021) without spatial prior: the flagship\'s transforms, the latent before as input of the entropy networks.'
    write_model(f'{prefix}-inter.scm', 'stem', text, net.lambdas, [*transforms, *entropy], [(STATIC, hyper_tables(net, active, count))])
    return [*transforms, *entropy]


def chain_of(clip, frames):
    """Packed frames of a clip whose sides are cut to multiples of 64."""
    h, w = clip.height // MULTIPLE * MULTIPLE, clip.width // MULTIPLE * MULTIPLE
    return [packed([clip.crop(t, 0, 0, h, w)], 'cpu') for t in range(min(frames, len(clip)))]


# ---- SlimVC ---------------------------------------------------------------------------------------------------------

SLIM_Q = 5
N, P, H, WIDE, T0, T1, E0, E1 = range(8)       # width classes: latent, parameters, hyper-latent, features, hidden layers of TPM and EPM


def slim_classes(net):
    return [net.N, [2 * n for n in net.N], net.H] + ([net.F, *net.T, *net.E] if hasattr(net, 'tpm') else [])


def slim_transforms(net):
    """Analysis and synthesis for 4:2:0: chroma is repeated, and averaged of what comes out."""
    points, classes, n, rate = len(net.lambdas), slim_classes(net), net.N[-1], lambda act: (act.a, act.b)
    a = Graph(ANALYSIS, points, classes, format=YUV420)
    luma, chroma = a.plane(LUMA, 1, 1), a.plane(CHROMA, 2, 2)
    repeated = torch.eye(2)[:, :, None, None].expand(2, 2, 2, 2)
    x = a.concat('planes', [luma, a.transposed('repeat', chroma, repeated, torch.zeros(2), q=0, bits=8)])
    for i, (layer, act) in enumerate(zip(net.fe, net.fe_act)):
        x = a.conv(f'fe.{i}', x, layer.weight if i else layer.weight / 510, layer.bias, N, stride=layer.stride, activation=RELU, rate=rate(act))
    x = a.conv('fe.2', x, net.fe[2].weight, net.fe[2].bias, N, stride=2)
    a.output(LATENT, a.gain('gain', x, net.gain.exp(), q=SLIM_Q, bits=15))

    s = Graph(SYNTHESIS, points, classes, format=YUV420)
    x = s.gain('igain', s.input(DECODED, n, 15, SLIM_Q, 12, N), net.igain.exp())
    for i, (layer, act) in enumerate(zip(net.fd, net.fd_act)):
        x = s.transposed(f'fd.{i}', x, layer.weight, layer.bias, N, activation=RELU, rate=rate(act))
    weight, bias = 255 * net.fd[2].weight, 255 * net.fd[2].bias
    s.output(LUMA, s.transposed('fd.2.luma', x, weight[:, :1], bias[:1], stride=3, q=6, bits=15))
    x = s.transposed('fd.2.chroma', x, weight[:, 1:], bias[1:], stride=3, q=6, bits=15)
    s.output(CHROMA, s.depthwise('mean', x, torch.full((2, 1, 2, 2), 0.25), torch.zeros(2), stride=2, q=6, bits=15))
    return [a, s]


def slim_parameters(g, net, name, x, layer):
    """Means of differences, then scales, of as many channels as the rate point has."""
    step, points, n = (SCALE_HIGH - SCALE_LOW) / 255 * 2 ** SLIM_Q, len(net.lambdas), net.N[-1]
    scale, base = torch.ones(points, 2 * n), torch.zeros(points, 2 * n)
    for k, w in enumerate(net.N):
        scale[k, w:2 * w], base[k, w:2 * w] = 2 / step, (net.base[k, :w] - SCALE_LOW) / step
    return g.conv(name, x, layer.weight, layer.bias, P, border=REPLICATE, q=SLIM_Q, bits=15, rate=(scale, base))


def slim_image_entropy(net):
    """Hyper-analysis, hyper-synthesis and the slice of the first stage."""
    points, classes, n, h = len(net.lambdas), slim_classes(net), net.N[-1], net.H[-1]
    leaky = dict(activation=LEAKY, slope=SLOPE)
    ha = Graph(HYPER_ANALYSIS, points, classes)
    x = ha.gain('igain', ha.input(LATENT, n, 15, SLIM_Q, 12, N), net.igain.exp())
    x = ha.conv('ha.0', x, net.ha[0].weight, net.ha[0].bias, H, border=REPLICATE, **leaky)
    x = ha.conv('ha.1', x, net.ha[1].weight, net.ha[1].bias, H, stride=2, border=REPLICATE, **leaky)
    ha.output(HYPER_LATENT, ha.conv('ha.2', x, net.ha[2].weight * 4, net.ha[2].bias * 4, H, stride=2, border=REPLICATE, q=0, bits=15))
    hs = Graph(HYPER_SYNTHESIS, points, classes)
    x = hs.input(HYPER_LATENT, h, 15, 0, 48, H)
    for i, layer in enumerate(net.hs):
        x = hs.transposed(f'hs.{i}', x, layer.weight if i else layer.weight / 4, layer.bias, H, **leaky)
    hs.output(FEATURES, x)
    g = Graph(SLICE, points, classes)
    g.output(PARAMETERS, slim_parameters(g, net, 'out', g.input(FEATURES, h, None, None, 12, H), net.out))
    return [ha, hs, g]


def slim_entropy(net):
    """TPM as context network, HE, HD and EPM. Layers that read two tensors are two layers and their sum."""
    points, classes, n, h, f = len(net.lambdas), slim_classes(net), net.N[-1], net.H[-1], net.F[-1]
    leaky, igain, ones = dict(activation=LEAKY, slope=SLOPE), net.igain.exp(), lambda count: torch.ones(points, count)
    before = lambda g: g.input(REFERENCE, n, 15, SLIM_Q, 12, N)

    c = Graph(CONTEXT, points, classes)
    x = c.gain('igain', before(c), igain)
    for i, width in enumerate((T0, T1)):
        x = c.conv(f'tpm.{i}', x, net.tpm[i].weight, net.tpm[i].bias, width, border=REPLICATE, **leaky)
    c.output(CONTEXTS, c.conv('tpm.2', x, net.tpm[2].weight, net.tpm[2].bias, WIDE, border=REPLICATE))

    ha = Graph(HYPER_ANALYSIS, points, classes)
    y, s = ha.input(LATENT, n, 15, SLIM_Q, 12, N), before(ha)
    x = ha.add('sum', *(ha.conv(f'he.0.{name}', ha.gain(f'igain.{name}', t, igain), layer.weight, layer.bias, H, border=REPLICATE)
                        for name, t, layer in (('latent', y, net.he[0]), ('before', s, net.he_before))))
    x = ha.gain('leaky', x, ones(h), **leaky)
    x = ha.conv('he.1', x, net.he[1].weight, net.he[1].bias, H, stride=2, border=REPLICATE, **leaky)
    ha.output(HYPER_LATENT, ha.conv('he.2', x, net.he[2].weight * 4, net.he[2].bias * 4, H, stride=2, border=REPLICATE, q=0, bits=15))

    hs = Graph(HYPER_SYNTHESIS, points, classes)
    x = hs.input(HYPER_LATENT, h, 15, 0, 48, H)
    for i, layer in enumerate(net.hd[:2]):
        x = hs.transposed(f'hd.{i}', x, layer.weight if i else layer.weight / 4, layer.bias, H, **leaky)
    hs.output(FEATURES, hs.conv('hd.2', x, net.hd[2].weight, net.hd[2].bias, WIDE, border=REPLICATE))

    g = Graph(SLICE, points, classes)
    features, context, s = g.input(FEATURES, f, None, None, 12, WIDE), g.input(CONTEXTS, f, None, None, 12, WIDE), before(g)
    x = g.add('sum', *(g.conv(f'epm.0.{name}', t, layer.weight, layer.bias, E0)
                       for name, t, layer in (('hd', features, net.epm[0]), ('tpm', context, net.epm_tpm))))
    x = g.gain('leaky', x, ones(net.E[0][-1]), **leaky)
    x = g.conv('epm.1', x, net.epm[1].weight, net.epm[1].bias, E1, **leaky)
    x = slim_parameters(g, net, 'epm.2', x, net.epm[2])
    # Means are those of the difference to the latent before: its channels to means, nothing to scales, whatever the width.
    g.output(PARAMETERS, g.add('means', x, g.conv('before', s, torch.eye(2 * n, n)[:, :, None, None], torch.zeros(2 * n), P, q=SLIM_Q, bits=15)))
    return [c, ha, hs, g]


@torch.no_grad()
def slim_chain(transforms, image, entropy, frames, k, active):
    """Runs the float graphs along frames {port: integers}; counts which channels of z and of v move, of intra and of inter frames."""
    analysis, synthesis = transforms
    before = None
    for i, planes in enumerate(frames):
        known = analysis.run(planes, k)
        if i == 0:
            z, v, before = observe_prior(image, known, k)
        else:
            known[REFERENCE] = before
            known |= entropy[0].run(known, k)
            z, v, before = observe_prior(entropy[1:], known, k)
        synthesis.run({DECODED: before}, k)
        for count, moved in zip(active[i > 0], (z, v)):
            count += moved.flatten(1).any(1).numpy()


def export_slimvc(net, clips, prefix, headroom, frames, image):
    transforms, first, entropy = slim_transforms(net), slim_image_entropy(image), slim_entropy(net)
    points, intra, inter = range(len(net.lambdas)), 0, 0
    active = [[[np.zeros(net.H[k]), np.zeros(net.N[k])] for _ in range(2)] for k in points]
    for clip in clips:
        h, w = clip.height // 48 * 48, clip.width // 48 * 48
        chain = []
        for t in range(min(frames, len(clip))):
            y, uv = clip.crop(t, 0, 0, h, w)
            chain.append(integer.plane_inputs({LUMA: y, CHROMA: uv.transpose(1, 2, 0)}, 48))
        for k in points:
            slim_chain(transforms, first, entropy, chain, k, active[k])
        intra, inter = intra + 1, inter + len(chain) - 1
    calibrate([*transforms, *first], headroom)
    calibrate(entropy, headroom)
    text = 'SlimVC (Liu et al. 2022), 4:2:0, ReLU in place of GDN: '
    write_model(f'{prefix}-intra.scm', 'slimcae', text + 'first stage, images.', net.lambdas, [*transforms, *first],
                [(STATIC, hyper_tables(image, [a[0] for a in active], intra))])
    write_model(f'{prefix}-inter.scm', 'slimvc', text + 'second stage, the latent before in the entropy networks.', net.lambdas, [*transforms, *entropy],
                [(STATIC, hyper_tables(net, [a[1] for a in active], inter))])
    return [*transforms, *entropy]


# ---- FLAG -----------------------------------------------------------------------------------------------------------

FLAG_Q = 6
STATES = (STATE, STATE + 256)       # decoded luma and chroma, packed, in grey levels from 128 on: 64 and 32 channels at 1/8
GREY_STATES = dict(q=6, bits=15)


def flag_graphs(net):
    """Context network, analysis, synthesis, hyper-analysis, hyper-synthesis and the slice."""
    points, n, m, q, middle = len(net.lambdas), net.N, net.M, FLAG_Q, packing(YUV420)[2].double()
    before = lambda g: g.concat('before', [g.input(port, c, 15, 6, 8) for port, c in zip(STATES, (64, 32))])
    rate, zeros = lambda act: (act.a, act.b), torch.zeros(points, n)

    def block(g, name, x, layer):
        return g.conv(name, x, layer.conv.weight, layer.conv.bias, border=REPLICATE, activation=RELU, rate=rate(layer.act))

    def from_state(layer):
        """Weight and bias for grey levels from 128 on: a packed value is (level + 128) / 255 less the middle."""
        weight = layer.weight.double()
        return weight / 255, layer.bias.double() + weight.sum((2, 3)) @ (128 / 255 - middle)

    c = Graph(CONTEXT, points)
    x = before(c)
    for i, layer in enumerate(net.c):
        weight, bias = (layer.conv.weight, layer.conv.bias) if i else from_state(layer.conv)
        x = c.conv(f'c.{i}', x, weight, bias, border=REPLICATE, activation=RELU, rate=rate(layer.act))
    c.output(CONTEXTS, x)

    a = Graph(ANALYSIS, points, format=YUV420)
    planes = [a.plane(LUMA, 1, 1), a.plane(CHROMA, 2, 2)]
    inputs = [a.input(port, channels, 15, 6, 8) for port, channels in zip(STATES, (64, 32))]
    context = a.input(CONTEXTS, n, None, None, 8)
    new = a.concat('planes', [a.unshuffle(f'unshuffle.{i}', x, f) for i, (x, f) in enumerate(zip(planes, (8, 4)))])
    weight = net.a_new.weight.double()
    x = a.conv('a.new', new, weight / 510, net.a_new.bias + weight.sum((2, 3)) @ (0.5 - middle), border=REPLICATE, rate=rate(net.a_act))
    weight, bias = from_state(net.a_before)
    y = a.conv('a.before', a.concat('before', inputs), weight, bias, border=REPLICATE, rate=(net.a_act.a, zeros))
    x = block(a, 'a.1', a.concat('features', [a.add('sum', x, y, activation=RELU), context]), net.a1)
    x = a.conv('a.2', x, net.a2.weight, net.a2.bias, stride=2, border=REPLICATE)
    a.output(LATENT, a.gain('gain', x, net.gain.exp(), q=q, bits=15))

    s = Graph(SYNTHESIS, points, format=YUV420)
    y = s.input(DECODED, m, 15, q, 16)
    states = [s.input(port, channels, 15, 6, 8) for port, channels in zip(STATES, (64, 32))]
    context = s.input(CONTEXTS, n, None, None, 8)
    x = s.transposed('s.0', s.gain('igain', y, net.igain.exp()), net.s0.weight, net.s0.bias, activation=RELU, rate=rate(net.s0_act))
    x = block(s, 's.2', block(s, 's.1', s.concat('features', [x, context]), net.s1), net.s2)
    outputs = []
    for i, (port, part, factor) in enumerate(((LUMA, slice(64), 8), (CHROMA, slice(64, 96), 4))):
        x_ = s.conv(f's.3.{i}', x, 255 * net.s3.weight[part], 255 * net.s3.bias[part], border=REPLICATE, **GREY_STATES)
        outputs.append(s.add(f'sum.{i}', x_, states[i]))
        s.output(port, s.shuffle(f'shuffle.{i}', outputs[i], factor))
    for port, x in zip(STATES, outputs):
        s.output(port, x)

    ha = Graph(HYPER_ANALYSIS, points)
    y, igain = ha.input(LATENT, m, 15, q, 16), net.igain.exp()
    x = ha.add('magnitude', ha.gain('positive', y, igain, activation=RELU), ha.gain('negative', y, -igain, activation=RELU))
    x = ha.conv('ha.0', x, net.ha[0].weight, net.ha[0].bias, border=REPLICATE, activation=RELU)
    x = ha.conv('ha.1', x, net.ha[1].weight, net.ha[1].bias, stride=2, border=REPLICATE, activation=RELU)
    ha.output(HYPER_LATENT, ha.conv('ha.2', x, net.ha[2].weight * 4, net.ha[2].bias * 4, stride=2, border=REPLICATE, q=0, bits=15))
    hs = Graph(HYPER_SYNTHESIS, points)
    x = hs.input(HYPER_LATENT, net.Z, 15, 0, 64)
    for i, layer in enumerate(net.hs):
        x = hs.transposed(f'hs.{i}', x, layer.weight if i else layer.weight / 4, layer.bias, activation=RELU)
    hs.output(FEATURES, x)
    g, step = Graph(SLICE, points), (SCALE_HIGH - SCALE_LOW) / 255 * 2 ** q
    x = g.conv('scales', g.input(FEATURES, n, None, None, 16), net.scales.weight, net.scales.bias, border=REPLICATE, q=q, bits=15,
               rate=(torch.full((points, m), 2 / step), (net.base - SCALE_LOW) / step))
    g.output(PARAMETERS, g.concat('parameters', [g.gain('means', x, torch.zeros(points, m), q=q, bits=15), x]))
    return [c, a, s, ha, hs, g]


@torch.no_grad()
def flag_chain(net, graphs, clip, frames, k, active):
    context, analysis, synthesis, *entropy = graphs
    h, w = clip.height // MULTIPLE * MULTIPLE, clip.width // MULTIPLE * MULTIPLE
    for t in range(min(frames, len(clip))):
        y, uv = planes = clip.crop(t, 0, 0, h, w)
        if t == 0:
            before = 255 * (net.begin(packed([planes], 'cpu'), [k])[0] + MIDDLE[0]) - 128
            continue
        known = integer.plane_inputs({LUMA: y, CHROMA: uv.transpose(1, 2, 0)}, MULTIPLE) | dict(zip(STATES, (before[:64], before[64:])))
        known |= context.run(known, k)
        known |= analysis.run(known, k)
        z, v, decoded = observe_prior(entropy, known, k)
        out = synthesis.run(known | {DECODED: decoded}, k)
        before = torch.cat([out[port] for port in STATES])
        for count, moved in zip(active, (z, v)):
            count += moved.round().flatten(1).any(1).numpy()


def export_flag(net, clips, prefix, headroom, frames):
    Path(f'{prefix}-intra.scm').write_bytes(with_states(FLAGSHIP, YUV420, ['d_out.0', 'd_out.1']))
    graphs, points, count = flag_graphs(net), range(len(net.lambdas)), 0
    active = [[np.zeros(net.Z), np.zeros(net.M)] for _ in points]
    for clip in clips:
        for k in points:
            flag_chain(net, graphs, clip, frames, k, active[k])
        count += min(frames, len(clip)) - 1
    calibrate(graphs, headroom)
    text = 'MobileCodec\'s flow-agnostic codec (Le et al. 2022): no vectors, the decoded frame before as a state.'
    write_model(f'{prefix}-inter.scm', 'flag', text, net.lambdas, graphs, [(STATIC, hyper_tables(net, active, count))])
    return graphs


EXPORTS = {'stem': export_stem, 'slimvc': export_slimvc, 'flag': export_flag}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('system', choices=EXPORTS)
    a.add_argument('checkpoint')
    a.add_argument('--image', help='checkpoint of slimcae, whose transforms slimvc has')
    a.add_argument('--data', required=True, help='folder of training clips')
    a.add_argument('--cache', help='folder for decoded clips')
    a.add_argument('-o', required=True, dest='prefix')
    a.add_argument('--clips', type=int, default=8, help='for calibration')
    a.add_argument('--frames', type=int, default=4, help='of each, the intra frame counted')
    a.add_argument('--headroom', type=float, default=1.5, help='over the largest activation seen')
    a = a.parse_args()
    net, more = load_system(a.system, a.checkpoint), []
    if a.system == 'slimvc':
        more = [load_system('slimcae', a.image)]
        net.load_state_dict({name: p for name, p in more[0].state_dict().items() if name.startswith(SlimCAE.TRANSFORMS)}, strict=False)
    clips = list(middles(load_clips(a.data, a.cache, MULTIPLE, a.clips).values()))
    for g in EXPORTS[a.system](net, clips, a.prefix, a.headroom, a.frames, *more):
        print(f'role {g.role}: {g.macs(0):.0f} to {g.macs(len(net.lambdas) - 1):.0f} MAC/pixel')


if __name__ == '__main__':
    main()
