# SPDX-License-Identifier: BSD-3-Clause
"""The networks, layer by layer as they stand in the model file.

Pictures are [B, 3, H, W] in [0, 1], H and W multiples of `multiple`. A batch holds pictures of several rate points: `points` names each
picture's, equal ones side by side. code() gives the dequantised latents, one tensor for pictures of equal width, and the bits of each picture; decode()
the pictures; forward() both steps at once, pictures and bits. Parameters keep the names of published checkpoints.
"""
import math
from itertools import groupby

import torch
import torch.nn as nn
import torch.nn.functional as F


def straight_through(x):
    return x + (torch.round(x) - x).detach()


def softly_rounded(x, alpha=4.0):
    m = torch.floor(x) + 0.5
    return m + torch.tanh(alpha * (x - m)) * (0.5 / math.tanh(alpha / 2))


def noisy(x):
    """Soft rounding, then uniform noise."""
    return softly_rounded(x) + torch.rand_like(x) - 0.5


ROUNDING = {'noise': noisy, 'hard': torch.round, 'coded': torch.round, 'none': lambda x: x}


def escape_length(x):
    """Bits of integers that no distribution holds: at most those of the escape, five, and one for each binary digit (docs/format/bitstream.md)."""
    return 20 + (2 * x.abs()).clamp_min(1).log2().floor()


def code_length(density, x, parameters, rounding, offset=0.0):
    """Bits of the values x [B, C, h, w] under density(values, *parameters), which gives probabilities; one sum for each of the batch.

    `coded` is `hard` as the coder does it: an integer that is rarer than an escape costs what the escape does.

    `offset` is what contexts expect of the value, a real number that moves the density and not the quantiser.

    `mixed` is for training: the bits are those of rounded values, and so is their gradient with respect to the parameters. That with respect to x
    is what the one with noise is on average, which also tells a value between −1/2 and 1/2 what it would cost to be 1: the mean slope over a unit is the
    difference at its ends. Noise alone charges values that mostly round to zero far too much, a third of all bits at the lowest rate point, and so
    teaches the parameters too wide a density.
    """
    def length(x):
        return -torch.log2(density(x, *parameters).clamp_min(1e-9))

    if rounding == 'coded':
        x = torch.round(x)
        return torch.minimum(length(x - offset), escape_length(x)).sum((1, 2, 3))
    if rounding != 'mixed':
        return length(ROUNDING[rounding](x) - offset).sum((1, 2, 3))
    soft = softly_rounded(x)
    with torch.no_grad():
        slope = length(soft + 0.5 - offset) - length(soft - 0.5 - offset)
    return (length(torch.round(x).detach() - offset) + slope * (soft - soft.detach())).sum((1, 2, 3))


class AtLeast(torch.autograd.Function):
    """max(x, bound), whose gradient still raises an x below the bound."""

    @staticmethod
    def forward(ctx, x, bound):
        ctx.save_for_backward(x < bound)
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx, gradient):
        below, = ctx.saved_tensors
        return gradient * ~(below & (gradient > 0)), None


def normal(v, log_scale):
    """Probabilities of the integers v under rounded normal variables of mean zero."""
    d, s = v.abs(), torch.exp(-log_scale) * math.sqrt(0.5)
    return 0.5 * (torch.erfc((d - 0.5) * s) - torch.erfc((d + 0.5) * s))


def quantise(x, rounding):
    """What the decoder gets."""
    return x if rounding == 'none' else straight_through(x)


def steps(lambdas):
    """Logarithms of the quantiser's gain that equates the slopes of distortion and rate at high rate."""
    return torch.log(torch.tensor(lambdas) / 4e-4) / 2


def principal(patches, count):
    """Orthonormal directions of most variance over the channels of [B, C, h, w], and their standard deviations."""
    v = patches.permute(1, 0, 2, 3).flatten(1).double()
    e, u = torch.linalg.eigh(v @ v.T / v.shape[1])
    order = e.argsort(descending=True)[:count]
    return u[:, order].to(patches.dtype), e[order].clamp_min(0).sqrt().to(patches.dtype)


def mirrored(w, inputs, outputs):
    """Weights [out, in, …] for ReLU between layers: every input, every output or both as a pair of channels, (+, −)."""
    if inputs:
        w = torch.stack([w, -w], 2).flatten(1, 2)
    return torch.stack([w, -w], 1).flatten(0, 1) if outputs else w


def begin_with(down, up, to, back, spare):
    """Sets the first channels of a convolution's weights `down` and of the transposed one's, `up`, both [narrow, wide, …]; others keep `spare` of theirs."""
    down.mul_(spare)
    down[:len(to)] = 0
    down[:len(to), :to.shape[1]] = to
    up.mul_(spare)
    up[:, :back.shape[1]] = 0
    up[:len(back), :back.shape[1]] = back


class Mixture(nn.Module):
    """Factorised density of integers: three logistics per rate point and channel. Elementwise only, which is fast on few cores."""

    def __init__(self, points, channels):
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(points, channels, 3))
        self.w = nn.Parameter(torch.zeros(points, channels, 3))
        self.ls = nn.Parameter(torch.log(torch.tensor([0.3, 0.8, 2.0])).repeat(points, channels, 1))

    def forward(self, y, points, rounding):
        """Bits of the values y [B, C, h, w]; the first C channels are used."""
        r, n = torch.tensor(points, device=y.device), y.shape[1]
        parameters = [self.mu[r, :n], F.softmax(self.w[r, :n], -1), torch.exp(-self.ls[r, :n]).clamp_max(50.0)]
        return code_length(self.probability, y, parameters, rounding)

    @staticmethod
    def probability(y, *parameters):
        p = 0
        for j in range(3):
            mu, w, s = (t[..., j, None, None] for t in parameters)
            d = (y - mu).abs()
            p = p + w * (torch.sigmoid((0.5 - d) * s) - torch.sigmoid((-0.5 - d) * s))
        return p


class Codec(nn.Module):
    def forward(self, x, points, rounding='mixed'):
        latents, bits = self.code(x, points, rounding)
        return self.decode(latents, points), bits


# ---- base -----------------------------------------------------------------------------------------------------------

class SlimmableConv(nn.Module):
    """5×5 stride-2 (transposed) convolution; the first inputs and outputs are used."""

    def __init__(self, inputs, outputs, transposed=False):
        super().__init__()
        self.transposed = transposed
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(*shape, 5, 5) * 0.9 * math.sqrt(2 / (inputs * (25 / 4 if transposed else 25))))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, outputs):
        inputs, bias = x.shape[1], self.bias[:outputs]
        if self.transposed:
            return F.conv_transpose2d(x, self.weight[:inputs, :outputs], bias, 2, 2, 1)
        return F.conv2d(x, self.weight[:outputs, :inputs], bias, 2, 2)


class Base(Codec):
    """The network of the low-complexity paper: four 5×5 stride-2 convolutions with ReLU each way, factorised density."""

    lambdas = [0.0018, 0.0035, 0.0067, 0.0130, 0.0200, 0.0400, 0.0800]      # of λ · 255² · MSE + bits per pixel
    hidden = [48, 64, 64, 96, 96, 128, 128]                                 # channels in use at each rate point
    latent = [128, 128, 128, 144, 144, 192, 192]
    multiple = 16
    learning_rate, ratio = 1e-4, 20.0                                       # of the transforms; the density takes `ratio` times it

    def __init__(self):
        super().__init__()
        n, m, points = self.hidden[-1], self.latent[-1], len(self.lambdas)
        self.ga = nn.ModuleList(SlimmableConv(i, o) for i, o in ((3, n), (n, n), (n, n), (n, m)))
        self.gs = nn.ModuleList(SlimmableConv(i, o, transposed=True) for i, o in ((m, n), (n, n), (n, n), (n, 3)))
        self.gain = nn.Parameter(steps(self.lambdas)[:, None].repeat(1, m))     # logarithms
        self.igain = nn.Parameter(-steps(self.lambdas)[:, None].repeat(1, m))
        self.by = Mixture(points, m)

    def transforms(self):
        return [p for n, p in self.named_parameters() if not n.startswith('by.')]

    def analysis(self, x, k):
        x = x - 0.5
        for conv in self.ga[:3]:
            x = F.relu(conv(x, self.hidden[k]))
        return self.ga[3](x, self.latent[k]).float() * self.gain[k, :self.latent[k], None, None].exp()

    def synthesis(self, y, k):
        x = y * self.igain[k, :y.shape[1], None, None].exp()
        for conv in self.gs[:3]:
            x = F.relu(conv(x, self.hidden[k]))
        return self.gs[3](x, 3).float() + 0.5

    def code(self, x, points, rounding='mixed'):
        latents, bits, first = [], [], 0
        for k, group in groupby(points):
            n = len(list(group))
            y = self.analysis(x[first:first + n], k)
            with torch.autocast(x.device.type, enabled=False):
                bits.append(self.by(y, [k] * n, rounding))
            latents.append(quantise(y, rounding))
            first += n
        return latents, torch.cat(bits)

    def decode(self, latents, points):
        return torch.cat([self.synthesis(y, k) for y, (k, _) in zip(latents, groupby(points))])

    @torch.no_grad()
    def initialise(self, x, spare=0.5):
        """Starts as a cascade of 2×2 patch PCAs, exact through ReLU by mirrored (+w, −w) pairs of channels.

        A random start needs thousands of steps to leave 20 dB. Channels beyond the pairs keep `spare` of their random input weights.
        """
        n, a = self.hidden[-1] // 2, x - 0.5
        for i, count in enumerate((min(12, n), min(48, n), n, self.latent[-1])):
            channels = a.shape[1]
            u, _ = principal(F.pixel_unshuffle(a, 2), count)
            w = torch.zeros(count, channels, 5, 5, device=x.device)
            w[:, :, 2:4, 2:4] = u.T.reshape(-1, channels, 2, 2)
            a = F.conv2d(a, w, stride=2, padding=2)
            w = mirrored(w, i > 0, i < 3)
            begin_with(self.ga[i].weight, self.gs[3 - i].weight, w, w, spare)
        for k, m in enumerate(self.latent):
            spread = self.analysis(x, k).abs().mean((0, 2, 3)).clamp_min(0.03)[:, None]
            self.by.ls[k, :m] = torch.log(spread * torch.tensor([0.15, 0.5, 1.5], device=x.device)).clamp_min(-3.0)


# ---- flagship -------------------------------------------------------------------------------------------------------

def conv(inputs, outputs, kernel=3, stride=1, gain=1.0, border='zeros'):
    m = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode=border)
    nn.init.normal_(m.weight, std=gain * math.sqrt(2 / (inputs * kernel ** 2)))
    nn.init.zeros_(m.bias)
    return m


def depthwise(channels, border='zeros'):
    """3×3: the weight gradient of a depthwise 5×5 is 25 times slower on a processor."""
    m = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, padding_mode=border)
    nn.init.normal_(m.weight, std=0.5 / 3)
    nn.init.zeros_(m.bias)
    with torch.no_grad():
        m.weight[:, 0, 1, 1] += 0.7
    return m


class RateScale(nn.Module):
    """a x + b, where a and b belong to the rate point. They fold into the convolution before."""

    def __init__(self, points, channels):
        super().__init__()
        self.a = nn.Parameter(torch.ones(points, channels))
        self.b = nn.Parameter(torch.zeros(points, channels))

    def forward(self, x, r):
        return x * self.a[r][:, :, None, None].to(x.dtype) + self.b[r][:, :, None, None].to(x.dtype)


class RateReLU(RateScale):
    """relu(a x + b)"""

    def forward(self, x, r):
        return F.relu(super().forward(x, r))


class Block(nn.Module):
    """x + c2 relu(a c1 dw x + b): depthwise 3×3, pointwise to `hidden` channels and back (zero at the start)."""

    def __init__(self, points, channels, hidden, border='zeros'):
        super().__init__()
        self.dw = depthwise(channels, border)
        self.c1 = conv(channels, hidden, 1)
        self.c2 = conv(hidden, channels, 1, gain=0.0)
        self.act = RateReLU(points, hidden)

    def forward(self, x, r):
        return x + self.c2(self.act(self.c1(self.dw(x)), r))


class Slice(nn.Module):
    """Means and logarithms of scales of one slice of the latent."""

    def __init__(self, points, inputs, hidden, outputs):
        super().__init__()
        self.c1 = conv(inputs, hidden, 1)
        self.dw = depthwise(hidden, 'replicate')
        self.act = RateReLU(points, hidden)
        self.c2 = conv(hidden, outputs, 1, gain=0.0)

    def forward(self, x, r):
        return self.c2(self.act(self.dw(F.relu(self.c1(x))), r))


CAUSAL = ((0, -1), (0, -2), (-1, -1), (-1, 0), (-1, 1), (-2, 0))        # rows and columns of the neighbours that contexts see, in the coder's order


def causal_mean(symbols, weights):
    """What the causal neighbours of each of the symbols [B, C, h, w] say of it, by weights [B, C, 6]; zeros beyond the borders."""
    h, w = symbols.shape[2:]
    padded = F.pad(symbols, (2, 1, 2, 0))
    return sum(weights[:, :, i, None, None] * padded[:, :, 2 + dy:2 + dy + h, 2 + dx:2 + dx + w] for i, (dy, dx) in enumerate(CAUSAL))


class Flagship(Codec):
    """One width for all rates: whitened linear trunk, depthwise-separable residual blocks, mean-scale hyperprior with channel slices.

    The last FINE channels of the latent, fine texture that only high rates pay for, are filters of the picture's patches of 16×16×3 samples, which have
    more than 192 directions whose variance exceeds the quantiser's error.

    The hyper-latent, one place for 64×64 samples, says little of the level of 16×16: the first few channels, the mean colours above all, are coded first
    and by their causal neighbours, and the others know them all around.

    Borders are replicated in the entropy networks: training crops are 3×3 hyper-latents, nearly all border, and must look like whole pictures.
    """

    lambdas = [0.0018, 0.0035, 0.0067, 0.0130, 0.0250, 0.0483, 0.0932, 0.1800]
    multiple = 64
    learning_rate, ratio = 3e-4, 3.0
    C, D, M, FINE, Z = 192, 128, 320, 128, 64   # channels of trunk up and down, latent, of that fine, hyper-latent
    TAIL = 3                                    # blocks of the analysis at 1/16, which cost the decoder nothing
    S = (8, 40, 48, 48, 48, 128)                # channels of the latent's slices; of the first, contexts predict means, too
    BLOCK, SLICE = Block, Slice
    contexts = True                             # whether bits count what contexts say of means; the coder's are fitted after training
    log_scale = (-2.0, 6.0)                     # bounds of the logarithm of a scale; below them a 1 would have no probability to learn from

    def __init__(self):
        super().__init__()
        C, D, M, fine, Z, points, context = self.C, self.D, self.M, self.FINE, self.Z, len(self.lambdas), 96
        blocks = lambda n, c, h: nn.ModuleList(self.BLOCK(points, c, h) for _ in range(n))
        self.register_buffer('whiten', torch.zeros(C, 192, 1, 1))       # fixed; they fold into their neighbours
        self.register_buffer('colour', torch.zeros(192, 192, 1, 1))
        self.e1, self.e_dn, self.e_fine = blocks(4, C, 256), nn.Conv2d(C, M - fine, 4, 2, 1), nn.Conv2d(C, fine, 2, 2)
        self.deepen(self.TAIL)
        self.d_up, self.d1 = nn.ConvTranspose2d(M, D, 2, 2), blocks(3, D, 192)
        self.d_out = conv(D, 192, 1, gain=0.0)
        self.gain = nn.Parameter(steps(self.lambdas)[:, None].repeat(1, M))
        self.igain = nn.Parameter(-steps(self.lambdas)[:, None].repeat(1, M))
        self.ha = nn.ModuleList([conv(2 * M, 128, 1), conv(128, 128, 5, 2, border='replicate'), conv(128, Z, 5, 2, border='replicate')])
        self.hs = nn.ModuleList([conv(Z, 4 * context, border='replicate'), conv(context, 4 * context, border='replicate')])
        self.hb = self.BLOCK(points, context, 2 * context, 'replicate')
        hidden = lambda c: 64 if c.start == 0 else 96 if c.start == M - fine else 128
        self.slices = nn.ModuleList(self.SLICE(points, context + c.start, hidden(c), 2 * (c.stop - c.start)) for c in self.ranges())
        self.causal = nn.Parameter(torch.zeros(points, self.S[0], len(CAUSAL)))
        self.base = nn.Parameter(torch.zeros(points, M))
        self.bz = Mixture(points, Z)

    def ranges(self):
        """Channels of each slice."""
        return [slice(sum(self.S[:i]), sum(self.S[:i + 1])) for i in range(len(self.S))]

    def transforms(self):
        """The linear trunk, and the blocks that work on the latent itself; other branches and the entropy model bear a larger step."""
        return [p for n, p in self.named_parameters() if n.startswith(('e_dn', 'e_fine', 'e2', 'd_up', 'd_out', 'gain', 'igain'))]

    def analysis(self, x, r):
        x = F.conv2d(F.pixel_unshuffle(x - 0.5, 8), self.whiten)
        fine = self.e_fine(x)
        for b in self.e1:
            x = b(x, r)
        return self.finish(torch.cat([self.e_dn(x), fine], 1), r)

    def deepen(self, count):
        """Takes so many new blocks at 1/16, which change nothing yet."""
        self.e2 = nn.ModuleList(self.BLOCK(len(self.lambdas), self.M, 512) for _ in range(count))

    def finish(self, y, r):
        """The latent from its linear parts."""
        y = y.float()
        for b in self.e2:
            y = b(y, r)
        return y * self.gain[r].exp()[:, :, None, None]

    def synthesis(self, y, r):
        x = self.d_up(y * self.igain[r].exp()[:, :, None, None])
        for b in self.d1:
            x = b(x, r)
        return F.pixel_shuffle(F.conv2d(self.d_out(x), self.colour), 8).float() + 0.5

    def entropy(self, y, points, r, rounding, extra=0.0):
        """Bits of each picture and the dequantised latent. `extra` is added to the features that come from the hyper-latent."""
        gain, igain = self.gain[r].exp()[:, :, None, None], self.igain[r].exp()[:, :, None, None]
        z = torch.cat([y * igain, (y * igain).abs()], 1)
        for i, c in enumerate(self.ha):
            z = c(F.relu(z) if i else z)
        z = z.float() * 4
        with torch.autocast(z.device.type, enabled=False):
            bits = self.bz(z, points, rounding)
        h = quantise(z, rounding) / 4
        h = F.relu(F.pixel_shuffle(self.hs[0](h), 2))
        h = self.hb(F.pixel_shuffle(self.hs[1](h), 2), r) + extra
        done = []
        for part, c in zip(self.slices, self.ranges()):
            known = [(v * igain[:, k]).to(h.dtype) for k, v in zip(self.ranges(), done)]
            o, m = part(torch.cat([h] + known, 1), r).float(), c.stop - c.start
            mean = o[:, :m] * gain[:, c]
            log_scale = AtLeast.apply((self.base[r][:, c, None, None] + 2 * o[:, m:]).clamp_max(self.log_scale[1]), self.log_scale[0])
            v = y[:, c] - mean
            with torch.autocast(v.device.type, enabled=False):
                first = self.contexts and c.start == 0
                offset = causal_mean((v if rounding == 'none' else torch.round(v)).detach(), self.causal[r]) if first else 0.0
                bits = bits + code_length(normal, v, [log_scale], rounding, offset)
            done.append(quantise(v, rounding) + mean)
        return bits, torch.cat(done, 1)

    def code(self, x, points, rounding='mixed'):
        r = torch.tensor(points, device=x.device)
        bits, y = self.entropy(self.analysis(x, r), points, r, rounding)
        return [y], bits

    def decode(self, latents, points):
        y, = latents
        return self.synthesis(y, torch.tensor(points, device=y.device))

    @torch.no_grad()
    def initialise(self, x, floor=0.03):
        """The trunk starts as a two-level PCA of patches (8×8×3, then 2×2 of those), every channel scaled to unit variance.

        Without the scaling the branches see only the few channels of large variance, and small optimiser steps harm the others.
        """
        C, D, M = self.C, self.D, self.M
        p = F.pixel_unshuffle(x - 0.5, 8)
        u8, s8 = principal(p, 192)
        s8 = (s8 ** 2 + floor ** 2).sqrt()
        self.whiten.copy_((u8 / s8).T[:C, :, None, None])
        self.colour.copy_((u8 * s8)[:, :, None, None])
        self.d_out.weight[:D, :, 0, 0] = torch.eye(D, device=x.device)
        a = F.pixel_unshuffle(F.conv2d(p, u8.T[:D, :, None, None]), 2)
        u2, s2 = principal(a, M)
        s2 = (s2 ** 2 + floor ** 2).sqrt()
        w = s8[:D].repeat_interleave(4)[:, None]                         # rows of u2: 4 channel + 2 dy + dx
        for layer in (self.e_dn, self.e_fine, self.d_up):
            layer.weight.zero_()
            layer.bias.zero_()
        down = (u2 * w / s2).T.reshape(M, D, 2, 2)
        self.e_dn.weight[:, :D, 1:3, 1:3], self.e_fine.weight[:, :D] = down[:-self.FINE], down[-self.FINE:]
        self.d_up.weight.copy_((u2 * s2 / w).T.reshape(M, D, 2, 2))
        self.gain.add_(s2.log())
        self.igain.sub_(s2.log())
        y = F.conv2d(a, u2.T[:, :, None, None]) / s2[:, None, None]
        for k, gain in enumerate(self.gain):
            self.base[k] = torch.log((y * gain[:, None, None].exp()).pow(2).mean((0, 2, 3)).sqrt().clamp(0.1, 200))


# ---- another domain -------------------------------------------------------------------------------------------------

def more_units(hidden):
    """Hidden units that another domain has beside `hidden`."""
    return hidden // 2


class GrownBlock(Block):
    """A block with more hidden units, and with a scale and bias of the branch by rate point."""

    def __init__(self, points, channels, hidden, border='zeros'):
        super().__init__(points, channels, hidden, border)
        more = more_units(hidden)
        self.more = nn.ModuleDict(dict(c1=conv(channels, more, 1), c2=nn.Conv2d(more, channels, 1, bias=False)))
        nn.init.zeros_(self.more.c2.weight)
        self.act = RateReLU(points, hidden + more)
        self.out = RateScale(points, channels)

    def forward(self, x, r):
        y = self.dw(x)
        y = self.act(torch.cat([self.c1(y), self.more.c1(y)], 1), r)
        return x + self.out(F.conv2d(y, torch.cat([self.c2.weight, self.more.c2.weight], 1), self.c2.bias), r)


class GrownSlice(Slice):
    """A slice with more hidden units."""

    def __init__(self, points, inputs, hidden, outputs):
        super().__init__(points, inputs, hidden, outputs)
        more = more_units(hidden)
        self.more = nn.ModuleDict(dict(c1=conv(inputs, more, 1), dw=depthwise(more, 'replicate'), c2=nn.Conv2d(more, outputs, 1, bias=False)))
        nn.init.zeros_(self.more.c2.weight)
        self.act = RateReLU(points, hidden + more)

    def forward(self, x, r):
        y = torch.cat([self.dw(F.relu(self.c1(x))), self.more.dw(F.relu(self.more.c1(x)))], 1)
        return F.conv2d(self.act(y, r), torch.cat([self.c2.weight, self.more.c2.weight], 1), self.c2.bias)


class GrownFlagship(Flagship):
    """The flagship for pictures of another domain: its weights, which stay as they are, more hidden units beside its own, and everything else that
    depends on the rate point anew. It starts as the flagship is.

    So both are one slimmable network: what the first domain uses is a part of it, bit for bit (codec adaptation without forgetting, Katakol et al.,
    DANICE, CLIC 2021).
    """

    BLOCK, SLICE = GrownBlock, GrownSlice
    OWN = ('gain', 'igain', 'causal', 'base', 'bz')

    def own(self):
        """Names of the parameters that are this domain's."""
        return {n for n, _ in self.named_parameters() if n.split('.')[0] in self.OWN or {'act', 'out', 'more'} & set(n.split('.'))}

    @torch.no_grad()
    def start_from(self, weights):
        """Takes over a flagship's weights; others stay fixed in training."""
        own = self.own()
        for n, p in self.state_dict().items():
            if n not in weights:
                assert n in own, n
            elif weights[n].shape == p.shape:
                p.copy_(weights[n])
            else:                                       # scales and biases of hidden units, of which there are more
                p[:, :weights[n].shape[1]] = weights[n]
        for n, p in self.named_parameters():
            p.requires_grad_(n in own)


def depth(weights):
    """Blocks at 1/16 that weights have."""
    return len({n.split('.')[1] for n in weights if n.startswith('e2.')})


def as_deep(network, weights):
    """A new network with as many blocks at 1/16 as the weights have."""
    return type(network.__name__, (network,), dict(TAIL=depth(weights)))()


NETWORKS = {'base': Base, 'flagship': Flagship, 'grown': GrownFlagship}


def averaged_weights(path, device='cpu', part='ema'):
    """Of a checkpoint; `source` are those of what a grown network began with."""
    return {n: p.float() for n, p in torch.load(path, weights_only=True, map_location=device)[part].items()}


def load(path, network, device='cpu', grow=False):
    """The network of a checkpoint, with its averaged weights and as many blocks at 1/16 as it has; or as many as a new one, to train on: those that the
    checkpoint lacks change nothing yet.
    """
    weights = averaged_weights(path, device)
    net = NETWORKS[network]() if grow else as_deep(NETWORKS[network], weights)
    start = {n: p for n, p in net.state_dict().items() if n.startswith('e2.')} if grow else {}
    net.load_state_dict(start | weights)
    return net.to(device).eval()
