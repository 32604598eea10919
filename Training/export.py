"""Checkpoint to model file: calibrates exponents on training pictures, quantises, writes entropy tables.

python export.py base CKPT --data DIR_OF_TRAINING_PICTURES -o model.scm [--check DIR_OF_TEST_PICTURES]
"""
import argparse

import numpy as np
import torch
import torch.nn.functional as F

import check_int16
import integer
from data import list_pictures, read_picture
from graph import ALL, Graph, cdf, entropy_point, write_model
from integer import ANALYSIS, RELU, SYNTHESIS
from networks import load

HIDDEN, LATENT = 0, 1       # width classes


def base_graphs(net):
    classes = [net.hidden, net.latent]
    g = Graph(ANALYSIS, classes)
    x = g.input(3, ALL, 8, 0, 0)
    for i, c in enumerate(net.ga):
        weight = c.weight / 510 if i == 0 else c.weight         # the input is 2 · sample − 255 = 510 (x − 0.5)
        x = g.conv(f'ga.{i}', x, weight, c.bias, LATENT if i == 3 else HIDDEN, stride=2, activation=0 if i == 3 else RELU)
    g.gain('gain', x, net.gain.exp(), q=0, bits=15)

    s = Graph(SYNTHESIS, classes)
    x = s.input(net.latent[-1], LATENT, 15, 0, 4)
    x = s.gain('igain', x, net.igain.exp())
    for i, c in enumerate(net.gs[:3]):
        x = s.transposed(f'gs.{i}', x, c.weight, c.bias, HIDDEN, activation=RELU)
    s.transposed('gs.3', x, net.gs[3].weight * 255, net.gs[3].bias * 255, q=6, bits=15)    # grey levels; saturates far outside of 0…255
    return g, s


def crops(folder, count, size=512):
    """The middle of pictures spread over the folder, uint8 [H, W, 3]."""
    files = list_pictures(folder)
    for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int):
        picture = read_picture(files[i])
        y, x = (max(0, (n - size) // 2) for n in picture.shape[:2])
        yield picture[y:y + size, x:x + size]


@torch.no_grad()
def observe(graphs, pictures):
    """Runs the float graphs on pictures at every rate point to learn the peaks of their tensors."""
    analysis, synthesis = graphs
    for picture in pictures:
        x = integer.picture_input(picture, analysis.tensors[-1].level).float()
        for k in range(analysis.points):
            synthesis.run([analysis.run([x], k).round()], k)


@torch.no_grad()
def mixture_cdfs(density, k, channels, reach=2047):
    """One CDF a channel from the trained density."""
    values = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weight = F.softmax(density.w[k, :channels].double(), -1)
    sharpness = torch.exp(-density.ls[k, :channels].double()).clamp_max(50.0)
    d = (values[:, None, None] - density.mu[k, :channels].double()).abs()
    p = (weight * (torch.sigmoid((0.5 - d) * sharpness) - torch.sigmoid((-0.5 - d) * sharpness))).sum(-1).T.numpy()
    return [cdf(row, -reach) for row in p]


def modes(cdfs):
    return [minimum + int(f[:-1].argmax()) for minimum, f in cdfs]


def export_base(net, pictures, path, bits, headroom):
    """Writes the model twice: the activity of channels is counted with the integer network of the first."""
    graphs = base_graphs(net)
    observe(graphs, pictures)
    for g in graphs:
        g.calibrate(bits, headroom)
    tables = [mixture_cdfs(net.by, k, net.latent[k]) for k in range(len(net.lambdas))]
    active = [np.full(m, 0.5) for m in net.latent]
    text = 'Low-complexity auto-encoder (5x5 stride-2 convolutions, ReLU), slimmable, factorised density.'

    def write():
        points = [entropy_point(modes(t), a, t) for t, a in zip(tables, active)]
        write_model(path, 'base', text, net.lambdas, graphs, [(0, points, None)])

    write()
    model = integer.read_model(path)
    for k, table in enumerate(tables):
        mode = torch.tensor(modes(table))[:, None, None]
        moved = [(integer.analyse(model, p, k) != mode).flatten(1).any(1).numpy() for p in pictures]
        active[k] = (np.sum(moved, 0) + 0.5) / (len(moved) + 1)
    write()


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('network', choices=['base'])
    a.add_argument('checkpoint')
    a.add_argument('--data', required=True)
    a.add_argument('-o', required=True, dest='out')
    a.add_argument('--check', help='folder of test pictures')
    a.add_argument('--pictures', type=int, default=24, help='for calibration')
    a.add_argument('--bits', type=int, default=13, help='of activations between convolutions')
    a.add_argument('--headroom', type=float, default=1.5, help='over the largest activation seen')
    a = a.parse_args()
    net = load(a.checkpoint, a.network)
    export_base(net, list(crops(a.data, a.pictures)), a.out, a.bits, a.headroom)
    if a.check:
        check_int16.report(integer.read_model(a.out), net, a.check)


if __name__ == '__main__':
    main()
