"""The networks, layer by layer as they stand in the model file.

Pictures are [B, 3, H, W] in [0, 1]; latents [B, M, H / 16, W / 16].
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Mixture(nn.Module):
    """Factorised density of integers: three logistics per rate point and channel. Elementwise only, which is fast on few cores."""

    def __init__(self, rate_points, channels):
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(rate_points, channels, 3))
        self.w = nn.Parameter(torch.zeros(rate_points, channels, 3))
        self.ls = nn.Parameter(torch.log(torch.tensor([0.3, 0.8, 2.0])).repeat(rate_points, channels, 1))

    def forward(self, y, k):
        """Probabilities of the values y [B, C, h, w] at rate point k."""
        n = y.shape[1]
        weight = F.softmax(self.w[k, :n], -1)
        sharpness = torch.exp(-self.ls[k, :n]).clamp_max(50.0)
        p = 0
        for j in range(3):
            channel = lambda t: t[:, j, None, None]
            d, s = (y - channel(self.mu[k, :n])).abs(), channel(sharpness)
            p = p + channel(weight) * (torch.sigmoid((0.5 - d) * s) - torch.sigmoid((-0.5 - d) * s))
        return p.clamp_min(1e-9)


class SlimmableConv(nn.Module):
    """5×5 stride-2 (transposed) convolution; the first inputs and outputs are used."""

    def __init__(self, inputs, outputs, transposed=False):
        super().__init__()
        self.transposed = transposed
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(*shape, 5, 5) * 0.9 * (2 / (inputs * (25 / 4 if transposed else 25))) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, outputs):
        inputs, bias = x.shape[1], self.bias[:outputs]
        if self.transposed:
            return F.conv_transpose2d(x, self.weight[:inputs, :outputs], bias, 2, 2, 1)
        return F.conv2d(x, self.weight[:outputs, :inputs], bias, 2, 2)


class Base(nn.Module):
    """The network of the low-complexity paper: four 5×5 stride-2 convolutions with ReLU each way, factorised density."""

    lambdas = [0.0018, 0.0035, 0.0067, 0.0130, 0.0200, 0.0400, 0.0800]
    hidden = [48, 64, 64, 96, 96, 128, 128]         # channels in use at each rate point
    latent = [128, 128, 128, 144, 144, 192, 192]

    def __init__(self):
        super().__init__()
        n, m, points = self.hidden[-1], self.latent[-1], len(self.lambdas)
        self.ga = nn.ModuleList(SlimmableConv(i, o) for i, o in ((3, n), (n, n), (n, n), (n, m)))
        self.gs = nn.ModuleList(SlimmableConv(i, o, transposed=True) for i, o in ((m, n), (n, n), (n, n), (n, 3)))
        step = torch.linspace(0.7, 2.6, points)[:, None]
        self.gain = nn.Parameter(step.repeat(1, m))     # logarithms
        self.igain = nn.Parameter(-step.repeat(1, m))
        self.by = Mixture(points, m)

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
