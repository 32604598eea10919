# SPDX-License-Identifier: BSD-3-Clause
"""Rate and distortion of a float checkpoint on whole pictures, hard rounding, the model's own code length.

python evaluate.py base|flagship CKPT DIR_OF_PICTURES [--anchors kodak_rd.csv]
"""
import argparse
import csv

import numpy as np
import torch
import torch.nn.functional as F

from data import list_pictures, read_picture
from networks import NETWORKS, load


def psnr(a, b):
    return 10 * np.log10(255 ** 2 / np.square(a.astype(float) - b).mean())


@torch.no_grad()
def code(net, picture, k, rounding='hard'):
    """Decoded picture, uint8 [H, W, 3], and bits of rate point k."""
    h, w = picture.shape[:2]
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].to(next(net.parameters()).device).float() / 255
    x = F.pad(x, (0, -w % net.multiple, 0, -h % net.multiple), mode='replicate').contiguous(memory_format=torch.channels_last)
    out, bits = net(x, [k], rounding)
    out = (out[0, :, :h, :w].clamp(0, 1) * 255).round().to(torch.uint8)
    return out.permute(1, 2, 0).cpu().numpy(), bits.item()


def curve(net, folder):
    """[(bpp, dB)], means over the pictures."""
    points = []
    for k in range(len(net.lambdas)):
        rows = []
        for f in list_pictures(folder):
            picture = read_picture(f)
            out, bits = code(net, picture, k)
            rows.append((bits / picture[..., 0].size, psnr(out, picture)))
        points.append(tuple(np.mean(rows, 0)))
        print(f'lambda {net.lambdas[k]:.4f} bpp {points[-1][0]:.4f} psnr {points[-1][1]:.3f}', flush=True)
    return points


def pchip(x, y, at):
    """Monotone piecewise cubic through (x, y), Fritsch and Carlson's slopes."""
    h, d = np.diff(x), np.diff(y) / np.diff(x)
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    inner = np.where(d[1:] * d[:-1] > 0, (w1 + w2) / (w1 / d[:-1] + w2 / d[1:]), 0)

    def end(h0, h1, d0, d1):
        s = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
        return 0 if s * d0 <= 0 else 3 * d0 if d0 * d1 <= 0 and abs(s) > 3 * abs(d0) else s

    m = np.concatenate([[end(h[0], h[1], d[0], d[1])], inner, [end(h[-1], h[-2], d[-1], d[-2])]])
    i = np.clip(np.searchsorted(x, at) - 1, 0, len(h) - 1)
    t = (at - x[i]) / h[i]
    return y[i] * (1 + 2 * t) * (1 - t) ** 2 + y[i + 1] * t ** 2 * (3 - 2 * t) + h[i] * (m[i] * t * (1 - t) ** 2 + m[i + 1] * t ** 2 * (t - 1))


def bd_rate(anchor, test):
    """Mean difference of rate in percent over the common range of PSNR; curves are [(bpp, dB)]."""
    a, t = (np.array(sorted(c, key=lambda p: p[1])).T for c in (anchor, test))
    at = np.linspace(max(a[1][0], t[1][0]), min(a[1][-1], t[1][-1]), 2001)
    difference = pchip(t[1], np.log(t[0]), at) - pchip(a[1], np.log(a[0]), at)
    return 100 * (np.exp(((difference[1:] + difference[:-1]) / 2).mean()) - 1)


def read_anchors(path):
    curves = {}
    with open(path) as file:
        for row in csv.DictReader(line for line in file if not line.startswith('#')):
            curves.setdefault(row['codec'], []).append((float(row['bpp']), float(row['psnr_rgb'])))
    return curves


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('network', choices=NETWORKS)
    a.add_argument('checkpoint')
    a.add_argument('pictures')
    a.add_argument('--anchors', help='table of published curves; prints the BD-rate against each')
    a = a.parse_args()
    points = curve(load(a.checkpoint, a.network), a.pictures)
    if a.anchors:
        for name, anchor in read_anchors(a.anchors).items():
            print(f'BD-rate against {name}: {bd_rate(anchor, points):+.1f} %')


if __name__ == '__main__':
    main()
