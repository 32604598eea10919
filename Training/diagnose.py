# SPDX-License-Identifier: BSD-3-Clause
"""What keeps a checkpoint from being better: looks at a folder of pictures that were not trained on.

python diagnose.py base|flagship CKPT DIR_OF_PICTURES

For every rate point, means over the pictures: the bits of hard rounding and those that training estimates with noise; the mean squared error, and
the part of it that remains without any quantisation, which the latent's dimension and the transforms owe. For every layer with a rate-dependent
ReLU: the units that are zero in more than 99.9 % of places, averaged over the rate points; they cost time and do nothing.
"""
import argparse

import numpy as np
import torch

from data import list_pictures, read_picture
from evaluate import code
from networks import NETWORKS, RateReLU, load


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('network', choices=NETWORKS)
    a.add_argument('checkpoint')
    a.add_argument('pictures')
    a = a.parse_args()
    net, active = load(a.checkpoint, a.network), {}

    def count(name):
        return lambda _module, _inputs, out: active.setdefault(name, []).append((out > 0).float().mean((0, 2, 3)))

    for name, module in net.named_modules():
        if isinstance(module, RateReLU):
            module.register_forward_hook(count(name))
    pictures = [read_picture(f) for f in list_pictures(a.pictures)]
    print('lambda     bpp  with noise      mse  unquantised')
    for k, l in enumerate(net.lambdas):
        rows = []
        for picture in pictures:
            (out, bits), (_, noisy), (whole, _) = (code(net, picture, k, rounding) for rounding in ('hard', 'noise', 'none'))
            errors = [np.square(o.astype(float) - picture).mean() for o in (out, whole)]
            rows.append([bits / picture[..., 0].size, noisy / picture[..., 0].size, *errors])
        b, n, e, w = np.mean(rows, 0)
        print(f'{l:.4f} {b:9.4f} {100 * (n / b - 1):+9.1f} % {e:8.3f} {w:12.3f}', flush=True)
    for name, parts in active.items():
        share = torch.stack(parts).mean(0)
        print(f'{name}: {(share < 1e-3).sum()} of {len(share)} units idle')


if __name__ == '__main__':
    main()
