# SPDX-License-Identifier: BSD-3-Clause
"""Video codecs of papers, shaped so that the runtime runs them as model files: no vectors, one latent a frame.

A system codes packed frames (video.py) along a chain. `begin` gives what the intra frame leaves to the next frame, its memory, a tensor for each frame;
`forward` codes frames given the memory: decoded frames (None where the transforms are not trained), the bits of each, and the next memory.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from networks import AtLeast, Mixture, RateReLU, averaged_weights, begin_with, code_length, conv, mirrored, normal, principal, quantise, steps
from video import IMAGE, MIDDLE, Intra

INTRA_POINTS = 2        # an intra frame is coded at so many rate points more in training; encoders do about the same


def padded(inputs, outputs, kernel, stride=1, gain=1.0):
    """A convolution of the entropy networks: borders are replicated."""
    return conv(inputs, outputs, kernel, stride, gain, 'replicate')


class STEM(Intra):
    """Sun et al. 2021 without the spatial prior, on the flagship's transforms, which stay as they are.

    The memory is the decoded latent of the frame before in units of the trunk (without its gain), so that frames of other rate points are as good. The
    temporal prior (TPM) makes features of it, which are added to those of the hyper-latent; hyper-analysis and slices see it itself, and the means start
    as the latent before: what does not change costs next to nothing. Other layers that are added are zero at first.
    """

    contexts = False
    HIDDEN = 96

    def __init__(self):
        super().__init__()
        M, n, points = self.M, self.HIDDEN, len(self.lambdas)
        features = self.hb.dw.out_channels
        self.tpm = nn.ModuleList([padded(M, n, 1), padded(n, n, 5), padded(n, features, 5, gain=0.0)])
        self.ha_before = padded(M, self.ha[0].out_channels, 1, gain=0.0)
        self.s_before = nn.ModuleList(padded(M, part.c1.out_channels, 1, gain=0.0) for part in self.slices)
        self.carry = nn.ModuleList(padded(M, 2 * (c.stop - c.start), 1, gain=0.0) for c in self.ranges())
        self.fold(averaged_weights(IMAGE))
        with torch.no_grad():
            for layer, part, c in zip(self.carry, self.slices, self.ranges()):
                m = c.stop - c.start
                layer.weight[range(m), range(c.start, c.stop)] = 1
                part.c2.weight[:m], part.c2.bias[:m] = 0, 0
        for p in self.transforms_of_pictures():
            p.requires_grad_(False)

    def transforms_of_pictures(self):
        return [p for n, p in self.named_parameters() if n.startswith(('e_dn', 'e_fine', 'e1', 'e2', 'd_up', 'd1', 'd_out', 'gain', 'igain', 'causal'))]

    def transforms(self):
        """What bears a small step: what the flagship begins with."""
        return [p for n, p in self.named_parameters() if n.startswith(('ha.', 'hs.', 'hb.', 'slices.', 'base', 'bz'))]

    def begin(self, x, points):
        points = [min(k + INTRA_POINTS, len(self.lambdas) - 1) for k in points]
        r = torch.tensor(points, device=x.device)
        y = Intra.entropy(self, self.analysis(x, r), points, r, 'hard')[1]
        return list(y * self.igain[r].exp()[:, :, None, None])

    def forward(self, x, before, points, rounding='mixed', decodes=False):
        r = torch.tensor(points, device=x.device)
        with torch.no_grad():
            y = self.analysis(x, r)
        bits, y = self.entropy_after(y, torch.stack(before), points, r, rounding)
        y = y.detach()
        return self.synthesis(y, r) if decodes else None, bits, list(y * self.igain[r].exp()[:, :, None, None])

    def entropy_after(self, y, before, points, r, rounding):
        """As `entropy`, given the memory."""
        gain, igain = self.gain[r].exp()[:, :, None, None], self.igain[r].exp()[:, :, None, None]
        t = before
        for i, layer in enumerate(self.tpm):
            t = layer(F.relu(t) if i else t)
        z = self.ha[0](torch.cat([y * igain, (y * igain).abs()], 1)) + self.ha_before(before)
        for layer in self.ha[1:]:
            z = layer(F.relu(z))
        z = z.float() * 4
        bits = self.bz(z, points, rounding)
        h = F.relu(F.pixel_shuffle(self.hs[0](quantise(z, rounding) / 4), 2))
        h = self.hb(F.pixel_shuffle(self.hs[1](h), 2), r) + t
        done = []
        for i, (part, c) in enumerate(zip(self.slices, self.ranges())):
            known = [v * igain[:, k] for k, v in zip(self.ranges(), done)]
            o = part.c1(torch.cat([h] + known, 1)) + self.s_before[i](before)
            o, carried, m = part.c2(part.act(part.dw(F.relu(o)), r)), self.carry[i](before), c.stop - c.start
            # The inverse of the synthesis' gain, which is not quite that of the analysis, gives the very latent again.
            mean = o[:, :m] * gain[:, c] + carried[:, :m] / igain[:, c]
            log_scale = self.base[r][:, c, None, None] + 2 * (o[:, m:] + carried[:, m:])
            log_scale = AtLeast.apply(log_scale.clamp_max(self.log_scale[1]), self.log_scale[0])
            v = y[:, c] - mean
            bits = bits + code_length(normal, v, [log_scale], rounding)
            done.append(quantise(v, rounding) + mean)
        return bits, torch.cat(done, 1)


# ---- SlimVC ---------------------------------------------------------------------------------------------------------

class SlimConv(nn.Module):
    """A convolution, or a transposed one, whose first inputs and outputs are used. Borders are zeros, or replicated."""

    def __init__(self, inputs, outputs, kernel, stride=1, transposed=False, border='zeros', gain=1.0):
        super().__init__()
        self.stride, self.transposed, self.border = stride, transposed, border
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        fan = inputs * kernel ** 2 / (stride ** 2 if transposed else 1)
        self.weight = nn.Parameter(torch.randn(*shape, kernel, kernel) * gain * math.sqrt(2 / fan))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, outputs):
        n, p = x.shape[1], self.weight.shape[-1] // 2
        if self.transposed:
            return F.conv_transpose2d(x, self.weight[:n, :outputs], self.bias[:outputs], self.stride, p, self.stride - 1)
        if self.border == 'replicate':
            x, p = F.pad(x, (p, p, p, p), 'replicate'), 0
        return F.conv2d(x, self.weight[:outputs, :n], self.bias[:outputs], self.stride, p)


class SlimReLU(nn.Module):
    """relu(a x + b), where a and b belong to the rate point: what is switchable in place of the paper's GDN."""

    def __init__(self, points, channels):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(points, channels)), nn.Parameter(torch.zeros(points, channels))

    def forward(self, x, k):
        n = x.shape[1]
        return F.relu(x * self.a[k, :n, None, None] + self.b[k, :n, None, None])


SLOPE = 7               # of leaky ReLUs: 2^−7


def leaky(x):
    return F.leaky_relu(x, 2.0 ** -SLOPE)


def slim(inputs, outputs, kernel, stride=1, **more):
    return SlimConv(inputs, outputs, kernel, stride, border='replicate', **more)


class SlimCAE(nn.Module):
    """SlimVC's first stage (Liu et al. 2022): a slimmable auto-encoder of images with a hyperprior; widths of Table 1.

    Chroma is repeated to the size of luma, and averaged of what is decoded, so the first and last layer have three channels as for RGB. The last layer of
    the encoder and the first one of the decoder have a gain in place of GDN.
    """

    lambdas = [0.0018, 0.0035, 0.0067, 0.0130, 0.0250]
    N = (48, 72, 96, 144, 192)
    H = (64, 96, 128, 192, 256)
    learned_means = True
    log_scale = (-2.0, 6.0)
    TRANSFORMS = ('fe', 'fd', 'gain', 'igain')

    def __init__(self):
        super().__init__()
        n, points = self.N[-1], len(self.lambdas)
        self.fe = nn.ModuleList([SlimConv(3, n, 9, 3), SlimConv(n, n, 5, 2), SlimConv(n, n, 5, 2)])
        self.fd = nn.ModuleList([SlimConv(n, n, 5, 2, True), SlimConv(n, n, 5, 2, True), SlimConv(n, 3, 9, 3, True)])
        self.fe_act, self.fd_act = (nn.ModuleList(SlimReLU(points, n) for _ in range(2)) for _ in range(2))
        self.gain = nn.Parameter(steps(self.lambdas)[:, None].repeat(1, n))         # logarithms
        self.igain = nn.Parameter(-steps(self.lambdas)[:, None].repeat(1, n))
        self.base = nn.Parameter(torch.zeros(points, n))
        self.prior()

    def prior(self):
        n, h = self.N[-1], self.H[-1]
        self.ha = nn.ModuleList([slim(n, h, 3), slim(h, h, 5, 2), slim(h, h, 5, 2)])
        self.hs = nn.ModuleList([SlimConv(h, h, 5, 2, True), SlimConv(h, h, 5, 2, True)])
        self.out = slim(h, 2 * n, 3, gain=0.0)
        self.bz = Mixture(len(self.lambdas), h)

    def transforms(self):
        return [p for n, p in self.named_parameters() if n.startswith(self.TRANSFORMS)]

    @staticmethod
    def planes(x):
        """[B, 3, H, W] in −0.5…0.5 of packed frames."""
        x = x + (MIDDLE - 0.5).to(x.device)
        chroma = F.interpolate(F.pixel_shuffle(x[:, 64:], 4), scale_factor=2)
        return torch.cat([F.pixel_shuffle(x[:, :64], 8), chroma], 1)

    @staticmethod
    def packed(x):
        x = torch.cat([F.pixel_unshuffle(x[:, :1], 8), F.pixel_unshuffle(F.avg_pool2d(x[:, 1:], 2), 4)], 1)
        return x - (MIDDLE - 0.5).to(x.device)

    def analysis(self, x, k):
        """Of planes, at one rate point."""
        n = self.N[k]
        for layer, act in zip(self.fe, self.fe_act):
            x = act(layer(x, n), k)
        return self.fe[2](x, n) * self.gain[k, :n, None, None].exp()

    def synthesis(self, y, k):
        n = self.N[k]
        x = y * self.igain[k, :n, None, None].exp()
        for layer, act in zip(self.fd, self.fd_act):
            x = act(layer(x, n), k)
        return self.fd[2](x, 3)

    def parameters_to_bits(self, y, o, mean, k, rounding):
        """Bits and the decoded latent, of the prior's output o and what its means are added to."""
        n = self.N[k]
        mean = mean + o[:, :n]
        log_scale = AtLeast.apply((self.base[k, :n, None, None] + 2 * o[:, n:]).clamp_max(self.log_scale[1]), self.log_scale[0])
        v = y - mean
        return code_length(normal, v, [log_scale], rounding), quantise(v, rounding) + mean

    def entropy(self, y, k, rounding):
        z, h = y * self.igain[k, :self.N[k], None, None].exp(), self.H[k]
        for i, layer in enumerate(self.ha):
            z = layer(leaky(z) if i else z, h)
        z = z * 4
        bits = self.bz(z, [k], rounding)
        x = quantise(z, rounding) / 4
        for layer in self.hs:
            x = leaky(layer(x, h))
        more, y = self.parameters_to_bits(y, self.out(x, 2 * self.N[k]), 0.0, k, rounding)
        return bits + more, y

    def begin(self, x, points):
        return [torch.zeros(1)] * len(points)

    def forward(self, x, before, points, rounding='mixed'):
        """Each frame by itself."""
        planes, out, bits = self.planes(x), [], []
        for i, k in enumerate(points):
            b, y = self.entropy(self.analysis(planes[i:i + 1], k), k, rounding)
            out.append(self.synthesis(y, k))
            bits.append(b)
        return self.packed(torch.cat(out)), torch.cat(bits), before

    @torch.no_grad()
    def prepare(self, x, spare=0.3):
        """Starts as a cascade of patch PCAs, exact through ReLU by mirrored pairs of channels, as networks.Base does. `x` are packed frames.

        Luma and chroma count as they do in the distortion; what channels are beyond the pairs keeps `spare` of its random input weights.
        """
        a, half = self.planes(x), self.N[-1] // 2
        scale = torch.tensor([1.5, 0.6, 0.6])[None, :, None, None]
        a = a * scale
        for i, (count, f, first) in enumerate(((min(27, half), 3, 4), (half, 2, 2), (2 * half, 2, 2))):
            channels, kernel = a.shape[1], self.fe[i].weight.shape[-1]
            u, _ = principal(F.pixel_unshuffle(a, f), count)
            w = torch.zeros(count, channels, kernel, kernel)
            w[:, :, first:first + f, first:first + f] = u.T.reshape(-1, channels, f, f)
            a = F.conv2d(a, w, stride=f, padding=kernel // 2)
            w = mirrored(w, i > 0, i < 2)
            begin_with(self.fe[i].weight, self.fd[2 - i].weight, w if i else w * scale, w if i else w / scale, spare)
        for k, n in enumerate(self.N):
            self.base[k, :n] = self.analysis(self.planes(x), k).square().mean((0, 2, 3)).sqrt().clamp(0.1, 200).log()


class SlimVC(SlimCAE):
    """The second stage: transforms stay, and hyper-encoder and -decoder (HE, HD), temporal prior (TPM) and entropy parameters (EPM) see the latent before.

    What is coded is the difference to the latent before, less the means. The memory is the decoded latent, of the same rate point.
    """

    F = (160, 240, 320, 480, 640)
    T = ((107, 160, 213, 320, 426), (133, 200, 267, 400, 533))
    E = ((400, 600, 800, 1200, 1600), (320, 480, 640, 960, 1280))

    def __init__(self):
        super().__init__()
        for p in self.transforms():
            p.requires_grad_(False)

    def prior(self):
        n, h, f, t, e = self.N[-1], self.H[-1], self.F[-1], [c[-1] for c in self.T], [c[-1] for c in self.E]
        self.he = nn.ModuleList([slim(n, h, 3), slim(h, h, 5, 2), slim(h, h, 5, 2)])
        self.he_before = slim(n, h, 3)
        self.hd = nn.ModuleList([SlimConv(h, h, 5, 2, True), SlimConv(h, h, 5, 2, True), slim(h, f, 3)])
        self.tpm = nn.ModuleList([slim(n, t[0], 5), slim(t[0], t[1], 5), slim(t[1], f, 5)])
        self.epm = nn.ModuleList([slim(f, e[0], 1), slim(e[0], e[1], 1), slim(e[1], 2 * n, 1, gain=0.0)])
        self.epm_tpm = slim(f, e[0], 1)
        self.bz = Mixture(len(self.lambdas), h)

    def temporal(self, before, k):
        t = leaky(self.tpm[0](before, self.T[0][k]))
        return self.tpm[2](leaky(self.tpm[1](t, self.T[1][k])), self.F[k])

    def entropy_after(self, y, before, k, rounding):
        igain, h = self.igain[k, :self.N[k], None, None].exp(), self.H[k]
        s = before * igain
        z = self.he[0](y * igain, h) + self.he_before(s, h)
        for layer in self.he[1:]:
            z = layer(leaky(z), h)
        z = z * 4
        bits = self.bz(z, [k], rounding)
        x = quantise(z, rounding) / 4
        for layer in self.hd[:2]:
            x = leaky(layer(x, h))
        x = leaky(self.epm[0](self.hd[2](x, self.F[k]), self.E[0][k]) + self.epm_tpm(self.temporal(s, k), self.E[0][k]))
        o = self.epm[2](leaky(self.epm[1](x, self.E[1][k])), 2 * self.N[k])
        more, y = self.parameters_to_bits(y, o, before, k, rounding)
        return bits + more, y

    def begin(self, x, points):
        """The image codec's decoded latent: its means do not matter much, so plain rounding."""
        return [self.analysis(p[None], k).round()[0] for p, k in zip(self.planes(x), points)]

    def forward(self, x, before, points, rounding='mixed', decodes=False):
        planes, out, bits, memory = self.planes(x), [], [], []
        for i, k in enumerate(points):
            with torch.no_grad():
                y = self.analysis(planes[i:i + 1], k)
            b, y = self.entropy_after(y, before[i][None], k, rounding)
            bits.append(b)
            memory.append(y[0].detach())
            out += [self.synthesis(y, k)] if decodes else []
        return self.packed(torch.cat(out)) if decodes else None, torch.cat(bits), memory

    @torch.no_grad()
    def prepare(self, x):
        """Scales as frames differ: `x` are packed frames, each two of them neighbours."""
        planes = self.planes(x)
        for k, n in enumerate(self.N):
            y = self.analysis(planes, k)
            self.base[k, :n] = (y[1::2] - y[::2]).square().mean((0, 2, 3)).sqrt().clamp(0.1, 200).log()


# ---- FLAG -----------------------------------------------------------------------------------------------------------

class RateConv(nn.Module):
    """relu(a conv(x) + b), where a and b belong to the rate point. Borders are replicated."""

    def __init__(self, points, inputs, outputs, kernel, gain=1.0):
        super().__init__()
        self.conv = padded(inputs, outputs, kernel, gain=gain)
        self.act = RateReLU(points, outputs)

    def forward(self, x, r):
        return self.act(self.conv(x), r)


class FLAG(nn.Module):
    """MobileCodec's flow-agnostic codec (Le et al. 2022), as far as it is published: no vectors and no warping, 3×3 and 5×5 convolutions with ReLU
    on features of the frame before and of the present one, a scale-only hyperprior.

    Motion and what it leaves are one latent here, since a frame has one. All is at 1/8 of packed samples. ReLUs have a scale and a bias of the rate point,
    so one network serves all. The memory is the decoded frame, neither rounded nor clamped, which what is decoded is added to; intra frames are the
    flagship's.
    """

    lambdas = Intra.lambdas
    N, M, Z = 128, 192, 48          # channels of features, latent, hyper-latent
    log_scale = (-2.0, 6.0)

    def __init__(self):
        super().__init__()
        n, m, points = self.N, self.M, len(self.lambdas)
        self.intra = Intra()
        for p in self.intra.parameters():
            p.requires_grad_(False)
        self.c = nn.ModuleList([RateConv(points, 96, n, 5), RateConv(points, n, n, 3)])
        self.a_new, self.a_before, self.a_act = padded(96, n, 5), padded(96, n, 5), RateReLU(points, n)
        self.a1 = RateConv(points, 2 * n, n, 3)
        self.a2 = padded(n, m, 5, 2)
        self.s0, self.s0_act = nn.ConvTranspose2d(m, n, 5, 2, 2, 1), RateReLU(points, n)
        self.s1, self.s2 = RateConv(points, 2 * n, n, 5), RateConv(points, n, n, 3)
        self.s3 = padded(n, 96, 3)
        self.gain = nn.Parameter(steps(self.lambdas)[:, None].repeat(1, m))         # logarithms
        self.igain = nn.Parameter(-steps(self.lambdas)[:, None].repeat(1, m))
        self.ha = nn.ModuleList([padded(m, n, 3), padded(n, n, 5, 2), padded(n, self.Z, 5, 2)])
        self.hs = nn.ModuleList([nn.ConvTranspose2d(self.Z, n, 5, 2, 2, 1), nn.ConvTranspose2d(n, n, 5, 2, 2, 1)])
        self.scales = padded(n, m, 3, gain=0.0)
        self.base = nn.Parameter(torch.zeros(points, m))
        self.bz = Mixture(points, self.Z)

    def transforms(self):
        return [p for n, p in self.named_parameters() if n.startswith(('a', 's0', 's1', 's2', 's3', 'gain', 'igain'))]

    def begin(self, x, points):
        return list(self.intra(x, [min(k + INTRA_POINTS, len(self.lambdas) - 1) for k in points])[0])

    def analysis(self, x, before, context, r):
        x = self.a_act(self.a_new(x) + self.a_before(before), r)
        return self.a2(self.a1(torch.cat([x, context], 1), r)) * self.gain[r].exp()[:, :, None, None]

    def synthesis(self, y, before, context, r):
        x = self.s0_act(self.s0(y * self.igain[r].exp()[:, :, None, None]), r)
        return before + self.s3(self.s2(self.s1(torch.cat([x, context], 1), r), r))

    def entropy(self, y, points, r, rounding):
        """Bits of each frame."""
        z = (y * self.igain[r].exp()[:, :, None, None]).abs()
        for i, layer in enumerate(self.ha):
            z = layer(F.relu(z) if i else z)
        z = z * 4
        bits = self.bz(z, points, rounding)
        h = quantise(z, rounding) / 4
        for layer in self.hs:
            h = F.relu(layer(h))
        log_scale = AtLeast.apply((self.base[r][:, :, None, None] + 2 * self.scales(h)).clamp_max(self.log_scale[1]), self.log_scale[0])
        return bits + code_length(normal, y, [log_scale], rounding)

    def forward(self, x, before, points, rounding='mixed'):
        r, before = torch.tensor(points, device=x.device), torch.stack(before)
        context = before
        for layer in self.c:
            context = layer(context, r)
        y = self.analysis(x, before, context, r)
        out = self.synthesis(quantise(y, rounding), before, context, r)
        return out, self.entropy(y, points, r, rounding), list(out)

    @torch.no_grad()
    def prepare(self, x):
        """Starts as plain coding of the difference to the frame before by a cascade of patch PCAs, as SlimCAE does; `x` are pairs of neighbours."""
        d, half, n = x[1::2] - x[::2], self.N // 2, self.N
        scale = torch.cat([torch.full((64,), 0.75 * 96 / 64), torch.full((32,), 0.25 * 96 / 32)]).sqrt()
        u, _ = principal(d * scale[:, None, None], half)
        pairs = torch.stack([u.T, -u.T], 1).flatten(0, 1)
        for layer in (self.a_new, self.a_before, self.a1.conv, self.s1.conv, self.s2.conv, self.s3, self.a2, self.s0):
            layer.weight.zero_()
        self.a_new.weight[:, :, 2, 2] = pairs * scale
        self.a_before.weight[:, :, 2, 2] = -pairs * scale
        self.s3.weight[:, :, 1, 1] = (pairs / scale).T
        for layer in (self.a1.conv, self.s1.conv, self.s2.conv):
            middle = layer.weight.shape[-1] // 2
            layer.weight[:, :n, middle, middle] = torch.eye(n)
        a = F.conv2d(d * scale[:, None, None], u.T[:, :, None, None])
        u, s = principal(F.pixel_unshuffle(a, 2), self.M)
        w = u.T.reshape(self.M, half, 2, 2)
        w = torch.stack([w, -w], 2).flatten(1, 2)
        self.a2.weight[:, :, 2:4, 2:4] = self.s0.weight[:, :, 2:4, 2:4] = w
        for k, gain in enumerate(self.gain):
            self.base[k] = (s * gain.exp()).clamp(0.1, 200).log()


SYSTEMS = {'stem': STEM, 'slimcae': SlimCAE, 'slimvc': SlimVC, 'flag': FLAG}


def load_system(name, path=None):
    """A system with the averaged weights of a checkpoint, which holds what was trained."""
    net = SYSTEMS[name]()
    if name == 'flag':
        net.intra.fold(averaged_weights(IMAGE))
    if path:
        net.load_state_dict(averaged_weights(path), strict=False)
    return net.eval()
